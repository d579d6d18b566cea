"""The scans of a JPEG: how many, whether one is enough, and those that a smaller decoding needs.

Reads and writes nothing. `images.py` calls it before Pillow decodes. A progressive JPEG (ITU-T T.81, annex G) tells its
coefficients in several scans, the blocks' means first, and a decoder goes through the whole picture for each: a small
file of a million scans would keep it busy for days, and decoding at an eighth, which looks at the means alone, still
reads all the others.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SCANS = 64  # of real files, ten or so; of those optimised to the utmost, thirty
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not a stuffed \xff, a restart or a filler
_START_OF_SCAN, _END = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_LAST_NEEDED = {8: 0, 4: 4, 2: 24}  # in zigzag order: the last coefficient of a block's first 1, 2², 4²
_LONE = 0x01, *range(0xD0, 0xD9)  # markers without a length


class _Scan(NamedTuple):
    start: int
    end: int
    components: int
    first: int  # coefficient
    refines: bool  # tells more bits of what an earlier scan told


class Scans(NamedTuple):
    """What the markers say. `whole` when they end as they should."""

    found: tuple[_Scan, ...]
    sampling: tuple[int, ...]  # of each component, how many blocks it has where the others have theirs
    progressive: bool
    whole: bool
    densest: int = 1  # blocks there of a component that is sampled as finely as any

    @property
    def components(self) -> int:
        return len(self.sampling)

    @property
    def held_bytes(self) -> float:
        """Of each pixel, while all coefficients are held, two bytes each."""
        return 2 * sum(self.sampling) / self.densest

    @property
    def one_pass(self) -> bool:
        """Whether the rows can be decoded as they come, without a store of all coefficients."""
        return not self.progressive and len(self.found) == 1 and self.found[0].components == self.components

    @property
    def too_many(self) -> bool:
        return len(self.found) > MAX_SCANS


def read_scans(data: bytes) -> Scans:
    """The scans of `data`, which begins as a JPEG does; at most one more than are allowed. Raises nothing."""
    found: list[_Scan] = []
    sampling: tuple[int, ...]
    sampling, densest, progressive, at = (), 1, False, 2
    while len(found) <= MAX_SCANS and (marker := _MARKER.search(data, at)):
        kind, start = data[marker.start() + 1], marker.start()
        if kind == _END:
            return Scans(tuple(found), sampling, progressive, True, densest)
        if kind in _LONE:
            at = marker.end()
            continue
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        head = data[marker.end() + 2 : at]
        if kind in _FRAMES and len(head) > 5:
            (sampling, densest), progressive = _sampling(head[5], head[6:]), kind in _PROGRESSIVE
        if kind == _START_OF_SCAN and len(head) > 3:
            following = _MARKER.search(data, at)
            at = following.start() if following else len(data)
            found.append(_Scan(start, at, head[0], head[-3], head[-1] > 15))
    return Scans(tuple(found), sampling, progressive, False, densest)


def _sampling(components: int, told: bytes) -> tuple[tuple[int, ...], int]:
    """Blocks of each component, and of the densest: a component has three bytes, its second two numbers of four bits.

    One of which nothing is told, in a head cut short, counts as dense as any.
    """
    sides = [(max(1, factors >> 4), max(1, factors & 15)) for factors in told[1 : 3 * components : 3]]
    densest = max((across for across, _ in sides), default=1) * max((down for _, down in sides), default=1)
    blocks = tuple(across * down for across, down in sides)
    return blocks + (densest,) * (components - len(blocks)), densest


def without_details(data: bytes, scans: Scans, divisor: int) -> bytes:
    """`data` without the scans that decoding at 1/`divisor` does not look at; whole where it is not progressive.

    The first scan of what varies slowest stays: libjpeg blurs the means of blocks of which it knows nothing else.
    """
    if not (scans.progressive and scans.whole and divisor in _LAST_NEEDED):
        return data
    kept, at = [], 0
    for scan in scans.found:
        if scan.first > _LAST_NEEDED[divisor] and (scan.first > 1 or scan.refines):
            kept.append(data[at : scan.start])
            at = scan.end
    return b"".join([*kept, data[at:]])
