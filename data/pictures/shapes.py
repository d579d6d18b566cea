"""What a drawing is: a tuple of shapes on a 100 × 100 square, painted first to last (`rendering.py` paints it).

A shape's role says what it is painted with: BODY carries the scene's colour and material, SHADE and TINT are a darker
and a lighter tone of that colour, the others are fixed. The tables are drawings_home.py and drawings_away.py.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Role(Enum):
    BODY = auto()
    SHADE = auto()
    TINT = auto()
    DARK = auto()
    PALE = auto()
    LEAF = auto()
    WOOD = auto()
    STEEL = auto()
    GOLD = auto()


class Kind(Enum):
    POLYGON = auto()  # x0, y0, x1, y1, ...
    OVAL = auto()  # its box: left, top, right, bottom
    BOX = auto()  # left, top, right, bottom, corner radius
    LINE = auto()  # x0, y0, x1, y1, ...; width
    ARC = auto()  # box, then start and end in degrees clockwise from three o'clock; width


class Shape(NamedTuple):
    kind: Kind
    role: Role
    points: tuple[float, ...]
    width: float = 0.0


Drawing = tuple[Shape, ...]
BODY, SHADE, TINT, DARK, PALE = Role.BODY, Role.SHADE, Role.TINT, Role.DARK, Role.PALE
LEAF, WOOD, STEEL, GOLD = Role.LEAF, Role.WOOD, Role.STEEL, Role.GOLD


def poly(role: Role, *points: float) -> Shape:
    return Shape(Kind.POLYGON, role, points)


def oval(role: Role, left: float, top: float, right: float, bottom: float) -> Shape:
    return Shape(Kind.OVAL, role, (left, top, right, bottom))


def disc(role: Role, x: float, y: float, radius: float) -> Shape:
    return oval(role, x - radius, y - radius, x + radius, y + radius)


def box(role: Role, left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Shape:
    return Shape(Kind.BOX, role, (left, top, right, bottom, radius))


def line(role: Role, width: float, *points: float) -> Shape:
    return Shape(Kind.LINE, role, points, width)


def arc(role: Role, width: float, x: float, y: float, rx: float, ry: float, start: float, end: float) -> Shape:
    return Shape(Kind.ARC, role, (x - rx, y - ry, x + rx, y + ry, start, end), width)
