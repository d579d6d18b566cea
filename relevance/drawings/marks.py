"""The marks of a series: a shape and a colour of its own, its interval, and its name below the drawing.

Pure functions. A series is told apart by its shape as well as by its colour, so that no one needs the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from markupsafe import escape

from relevance.drawings.axes import HEIGHT, LEFT, WIDTH, Axis
from relevance.intervals import Estimate

MARKS = 6  # kinds there are; a seventh series looks like the first


def whisker(e: Estimate, x: float, y: Axis, number: int) -> str:
    if isnan(e.low):
        return ""
    return (
        f'<line class="whisker c{number % MARKS}" x1="{x:.1f}" x2="{x:.1f}" y1="{y(e.low):.1f}" y2="{y(e.high):.1f}"/>'
    )


def mark(x: float, y: float, number: int, said: str) -> str:
    """A shape of the series' own."""
    kind, r = number % MARKS, 5.0
    told = f"<title>{escape(said)}</title>"
    if kind == 0:
        return f'<circle class="mark c0" cx="{x:.1f}" cy="{y:.1f}" r="{r}">{told}</circle>'
    shapes = (
        ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        ((0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
        ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
        ((0, 1.3), (1.2, -0.9), (-1.2, -0.9)),
        ((-0.5, -1.3), (0.5, -1.3), (0.5, -0.5), (1.3, -0.5), (1.3, 0.5), (0.5, 0.5), (0.5, 1.3), (-0.5, 1.3),
         (-0.5, 0.5), (-1.3, 0.5), (-1.3, -0.5), (-0.5, -0.5)),
    )  # fmt: skip
    points = " ".join(f"{x + r * 0.85 * dx:.1f},{y + r * 0.85 * dy:.1f}" for dx, dy in shapes[kind - 1])
    return f'<polygon class="mark c{kind}" points="{points}">{told}</polygon>'


def legend(names: Sequence[str], looks: Sequence[int]) -> tuple[str, int]:
    """The series' marks and names below a drawing, and the room that they take."""
    if len(names) < 2:
        return "", 0
    parts, x, y = list[str](), float(LEFT), HEIGHT + 8
    for number, name in zip(looks, names, strict=True):
        width = 26 + 6.6 * len(name)
        if x + width > WIDTH and x > LEFT:
            x, y = float(LEFT), y + 20
        parts.append(mark(x + 6, y - 4, number, name))
        parts.append(f'<text class="name" x="{x + 17:.1f}" y="{y}">{escape(name)}</text>')
        x += width + 12
    return "".join(parts), y + 8 - HEIGHT


def words(e: Estimate) -> str:
    return f"{e.value:.3f}" if isnan(e.low) else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"
