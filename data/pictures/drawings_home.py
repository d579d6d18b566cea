"""How the objects of a home look: baking to gardening, crafts, stationery. Tables of `shapes.py` shapes."""

from __future__ import annotations

from data.pictures.shapes import (
    BODY,
    DARK,
    GOLD,
    LEAF,
    PALE,
    SHADE,
    STEEL,
    TINT,
    WOOD,
    Drawing,
    arc,
    box,
    disc,
    line,
    oval,
    poly,
)

_PETALS = tuple(
    disc(BODY, 50 + 21 * x, 32 + 21 * y, 10)
    for x, y in ((1, 0), (0.71, 0.71), (0, 1), (-0.71, 0.71), (-1, 0), (-0.71, -0.71), (0, -1), (0.71, -0.71))
)

HOME: dict[str, Drawing] = {
    # baking
    "cake": (
        oval(PALE, 4, 78, 96, 96),
        box(BODY, 14, 52, 86, 88, 4),
        box(PALE, 14, 50, 86, 60, 4),
        box(BODY, 28, 28, 72, 52, 4),
        box(PALE, 28, 26, 72, 34, 4),
        line(STEEL, 5, 50, 26, 50, 12),
        oval(GOLD, 46, 2, 54, 13),
    ),
    "cupcake": (
        poly(STEEL, 26, 56, 74, 56, 65, 94, 35, 94),
        line(DARK, 2, 40, 60, 43, 92),
        line(DARK, 2, 50, 60, 50, 92),
        line(DARK, 2, 60, 60, 57, 92),
        oval(BODY, 18, 40, 82, 66),
        oval(BODY, 27, 24, 73, 50),
        oval(BODY, 37, 10, 63, 34),
    ),
    "pie": (
        poly(STEEL, 6, 58, 94, 58, 80, 84, 20, 84),
        poly(BODY, 8, 58, 16, 42, 32, 32, 50, 29, 68, 32, 84, 42, 92, 58),
        line(SHADE, 4, 28, 36, 50, 57),
        line(SHADE, 4, 50, 30, 74, 57),
        line(SHADE, 4, 72, 36, 50, 57),
        line(SHADE, 4, 50, 30, 26, 57),
        box(BODY, 4, 54, 96, 63, 4),
    ),
    "cookie": (
        disc(BODY, 50, 50, 40),
        disc(DARK, 34, 36, 6),
        disc(DARK, 60, 30, 6),
        disc(DARK, 70, 54, 6),
        disc(DARK, 46, 56, 6),
        disc(DARK, 30, 64, 5),
        disc(DARK, 58, 76, 6),
    ),
    "bread": (
        box(BODY, 6, 44, 94, 86, 12),
        oval(BODY, 4, 26, 50, 62),
        oval(BODY, 28, 22, 74, 60),
        oval(BODY, 50, 26, 96, 62),
        line(PALE, 5, 24, 32, 32, 54),
        line(PALE, 5, 47, 28, 55, 50),
        line(PALE, 5, 70, 32, 78, 54),
    ),
    # kitchen
    "mug": (
        arc(BODY, 8, 72, 54, 18, 18, -100, 100),
        box(BODY, 20, 22, 72, 90, 8),
        oval(DARK, 22, 18, 70, 30),
    ),
    "teapot": (
        arc(BODY, 7, 80, 52, 15, 18, -110, 110),
        poly(BODY, 30, 66, 4, 34, 13, 30, 34, 48),
        oval(BODY, 20, 32, 82, 86),
        oval(SHADE, 34, 26, 68, 40),
        disc(DARK, 51, 23, 5),
    ),
    "bowl": (
        poly(BODY, 6, 42, 94, 42, 86, 64, 70, 78, 50, 82, 30, 78, 14, 64),
        oval(DARK, 6, 33, 94, 51),
        oval(SHADE, 14, 36, 86, 50),
        box(SHADE, 36, 80, 64, 88, 2),
    ),
    "pan": (
        line(DARK, 9, 58, 46, 96, 20),
        disc(BODY, 38, 58, 34),
        disc(DARK, 38, 58, 26),
        disc(PALE, 36, 58, 13),
        disc(GOLD, 37, 57, 6),
    ),
    "bottle": (
        box(WOOD, 43, 2, 57, 14, 2),
        box(BODY, 41, 10, 59, 40, 2),
        box(BODY, 29, 34, 71, 96, 12),
        box(PALE, 32, 54, 68, 76, 2),
        line(DARK, 3, 38, 65, 62, 65),
    ),
    # home_decor
    "vase": (
        poly(BODY, 36, 10, 64, 10, 57, 28, 74, 46, 75, 62, 62, 92, 38, 92, 25, 62, 26, 46, 43, 28),
        oval(DARK, 36, 6, 64, 15),
        arc(SHADE, 5, 32, 34, 13, 12, 90, 300),
        arc(SHADE, 5, 68, 34, 13, 12, 240, 450),
        line(SHADE, 4, 25, 58, 75, 58),
    ),
    "lamp": (
        line(DARK, 5, 50, 50, 50, 88),
        oval(GOLD, 40, 42, 60, 60),
        poly(BODY, 34, 8, 66, 8, 86, 52, 14, 52),
        oval(DARK, 28, 84, 72, 96),
    ),
    "cushion": (
        poly(BODY, 8, 12, 50, 20, 92, 12, 84, 50, 92, 88, 50, 80, 8, 88, 16, 50),
        disc(DARK, 50, 50, 4),
        line(SHADE, 2, 50, 50, 28, 30),
        line(SHADE, 2, 50, 50, 72, 30),
        line(SHADE, 2, 50, 50, 28, 70),
        line(SHADE, 2, 50, 50, 72, 70),
    ),
    "mirror": (
        box(BODY, 43, 62, 57, 98, 5),
        oval(BODY, 20, 2, 80, 72),
        oval(STEEL, 29, 11, 71, 63),
        line(PALE, 4, 38, 46, 56, 20),
        line(PALE, 4, 46, 54, 62, 30),
    ),
    "clock": (
        disc(SHADE, 26, 18, 12),
        disc(SHADE, 74, 18, 12),
        line(DARK, 6, 28, 84, 20, 96),
        line(DARK, 6, 72, 84, 80, 96),
        disc(BODY, 50, 54, 38),
        disc(PALE, 50, 54, 26),
        line(DARK, 4, 50, 54, 50, 36),
        line(DARK, 4, 50, 54, 63, 60),
    ),
    # furniture
    "chair": (
        box(BODY, 22, 4, 32, 96, 2),
        box(SHADE, 32, 62, 38, 92, 1),
        box(BODY, 22, 50, 78, 62, 3),
        box(BODY, 68, 60, 78, 96, 2),
        box(BODY, 22, 10, 44, 20, 2),
        box(BODY, 22, 28, 44, 38, 2),
        line(BODY, 5, 42, 10, 42, 52),
    ),
    "sofa": (
        line(DARK, 6, 16, 78, 16, 88),
        line(DARK, 6, 84, 78, 84, 88),
        box(BODY, 10, 26, 90, 68, 10),
        line(SHADE, 3, 50, 28, 50, 58),
        box(BODY, 14, 54, 86, 78, 5),
        box(BODY, 2, 42, 20, 82, 8),
        box(BODY, 80, 42, 98, 82, 8),
    ),
    "table": (
        box(SHADE, 26, 44, 33, 80),
        box(SHADE, 67, 44, 74, 80),
        box(BODY, 10, 44, 19, 92),
        box(BODY, 81, 44, 90, 92),
        box(BODY, 2, 32, 98, 48, 3),
    ),
    "bookshelf": (
        box(BODY, 16, 2, 84, 98, 2),
        box(DARK, 24, 9, 76, 33),
        box(DARK, 24, 40, 76, 62),
        box(DARK, 24, 69, 76, 91),
        *(box(role, x, 13, x + 7, 33) for x, role in ((27, PALE), (35, GOLD), (43, STEEL), (51, LEAF), (62, PALE))),
        *(box(role, x, 45, x + 7, 62) for x, role in ((30, STEEL), (38, PALE), (52, GOLD), (60, WOOD), (68, PALE))),
        *(box(role, x, 74, x + 7, 91) for x, role in ((26, GOLD), (34, LEAF), (48, PALE), (56, STEEL), (64, PALE))),
    ),
    "bed": (
        box(WOOD, 2, 22, 12, 90, 3),
        box(WOOD, 90, 46, 98, 90, 3),
        box(WOOD, 8, 70, 94, 80),
        box(PALE, 12, 50, 92, 70, 4),
        box(PALE, 14, 38, 36, 54, 6),
        box(BODY, 34, 44, 93, 76, 7),
    ),
    # gardening
    "potted plant": (
        oval(LEAF, 42, 4, 58, 58),
        poly(LEAF, 50, 60, 16, 40, 10, 18, 32, 26),
        poly(LEAF, 50, 60, 84, 40, 90, 18, 68, 26),
        poly(LEAF, 48, 62, 22, 58, 8, 44, 30, 42),
        poly(LEAF, 52, 62, 78, 58, 92, 44, 70, 42),
        poly(BODY, 26, 62, 74, 62, 67, 97, 33, 97),
        box(BODY, 22, 56, 78, 67, 3),
    ),
    "cactus": (
        poly(WOOD, 32, 78, 68, 78, 63, 97, 37, 97),
        line(BODY, 12, 50, 58, 22, 58, 22, 34),
        line(BODY, 12, 50, 48, 78, 48, 78, 22),
        box(BODY, 38, 4, 62, 80, 11),
        *(line(PALE, 2, x, y, x + 4, y - 4) for x, y in ((43, 16), (52, 26), (43, 36), (53, 46), (43, 58), (53, 68))),
        *(line(PALE, 2, x, y, x + 4, y - 4) for x, y in ((20, 46), (76, 34))),
    ),
    "sunflower": (
        line(LEAF, 5, 50, 50, 50, 98),
        poly(LEAF, 50, 84, 22, 76, 14, 62, 36, 66),
        poly(LEAF, 50, 90, 78, 82, 86, 68, 64, 72),
        *_PETALS,
        disc(WOOD, 50, 32, 14),
        disc(DARK, 50, 32, 8),
    ),
    "tree": (
        poly(WOOD, 44, 50, 56, 50, 60, 97, 40, 97),
        disc(BODY, 28, 46, 22),
        disc(BODY, 72, 46, 22),
        disc(BODY, 38, 26, 22),
        disc(BODY, 62, 26, 22),
        disc(BODY, 50, 44, 22),
    ),
    "watering can": (
        arc(DARK, 6, 60, 36, 24, 22, 180, 360),
        line(BODY, 9, 42, 78, 10, 38),
        poly(SHADE, 2, 40, 16, 26, 20, 34, 7, 46),
        poly(BODY, 38, 38, 82, 38, 88, 92, 32, 92),
        arc(DARK, 6, 84, 62, 13, 20, -90, 90),
    ),
    # crafts
    "yarn ball": (
        arc(BODY, 4, 84, 84, 14, 9, 60, 200),
        disc(BODY, 48, 48, 42),
        arc(SHADE, 3, 20, 30, 50, 50, -30, 70),
        arc(SHADE, 3, 10, 20, 50, 50, -10, 80),
        arc(SHADE, 3, 80, 30, 50, 50, 110, 200),
        arc(SHADE, 3, 92, 20, 52, 52, 100, 180),
        arc(SHADE, 3, 50, 96, 46, 40, 205, 330),
    ),
    "button": (
        disc(BODY, 50, 50, 42),
        arc(SHADE, 5, 50, 50, 32, 32, 0, 360),
        *(disc(DARK, x, y, 6) for x in (39, 61) for y in (39, 61)),
    ),
    "paintbrush": (
        line(BODY, 11, 6, 94, 50, 50),
        line(STEEL, 16, 48, 52, 66, 34),
        poly(DARK, 58, 30, 70, 42, 88, 32, 97, 3, 68, 12),
        poly(BODY, 80, 9, 97, 3, 91, 20),
    ),
    "scissors": (
        poly(STEEL, 46, 56, 70, 2, 76, 6, 56, 62),
        poly(STEEL, 54, 56, 30, 2, 24, 6, 44, 62),
        arc(BODY, 9, 30, 78, 20, 18, 0, 360),
        arc(BODY, 9, 70, 78, 20, 18, 0, 360),
        disc(DARK, 50, 52, 4),
    ),
    "quilt": (
        box(BODY, 6, 6, 94, 94),
        *(
            box(PALE, 12 + 19 * i, 12 + 19 * j, 31 + 19 * i, 31 + 19 * j)
            for i in range(4)
            for j in range(4)
            if (i + j) % 2
        ),
        *(disc(SHADE, 21.5 + 19 * i, 21.5 + 19 * j, 4) for i in range(4) for j in range(4) if (i + j) % 2),
    ),
    # stationery
    "notebook": (
        box(BODY, 20, 4, 86, 96, 4),
        box(PALE, 36, 20, 76, 42, 2),
        line(DARK, 2, 42, 28, 70, 28),
        line(DARK, 2, 42, 34, 64, 34),
        *(box(STEEL, 11, y, 30, y + 5, 2) for y in (12, 25, 38, 51, 64, 77, 88)),
    ),
    "pencil": (
        line(BODY, 17, 22, 78, 72, 28),
        line(STEEL, 17, 20, 80, 14, 86),
        line(PALE, 17, 14, 86, 6, 94),
        poly(PALE, 66, 22, 78, 34, 96, 4),
        poly(DARK, 84, 13, 89, 18, 98, 2),
    ),
    "envelope": (
        box(BODY, 4, 22, 96, 82, 2),
        line(SHADE, 3, 4, 82, 40, 52),
        line(SHADE, 3, 96, 82, 60, 52),
        poly(TINT, 5, 23, 95, 23, 50, 60),
        disc(GOLD, 50, 56, 7),
    ),
    "calendar": (
        box(PALE, 10, 12, 90, 94, 4),
        box(BODY, 10, 12, 90, 40, 4),
        box(STEEL, 26, 3, 33, 22, 2),
        box(STEEL, 67, 3, 74, 22, 2),
        *(box(DARK, x, y, x + 9, y + 8) for x in (20, 37, 54, 71) for y in (48, 62, 76) if (x, y) != (54, 62)),
        box(BODY, 52, 60, 65, 72),
    ),
    "book": (
        poly(PALE, 10, 74, 18, 62, 92, 62, 92, 84, 18, 92, 10, 86),
        poly(BODY, 8, 72, 30, 8, 98, 8, 84, 70),
        poly(BODY, 8, 72, 4, 82, 10, 94, 84, 94, 84, 88, 15, 88, 12, 80, 16, 74),
        line(TINT, 4, 38, 24, 80, 24),
        line(TINT, 4, 36, 34, 66, 34),
        line(STEEL, 2, 18, 82, 88, 79),
    ),
}
