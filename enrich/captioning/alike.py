"""Pictures that look like one described before take over what was said of it (`picture_twins.py` tells which).

Between what decodes pictures and what describes them: a copy is not described; its row follows that of its original.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import polars as pl

from enrich.job import PART_ROWS
from enrich.picture_prints import PicturePrint
from enrich.picture_twins import PictureTwins

_RECENT = 2 * PART_ROWS  # descriptions kept; by then the tables have them
EARLIER_AT_ONCE = 4_000  # copies of pictures that only the tables have: finding theirs reads all that was described

Values = Callable[[pl.DataFrame], pl.DataFrame]  # (input_hash, place) -> rows of `working.SCHEMA`, from the tables


class Alike:
    """Of the pictures (place, input_hash; places ascend) of one run. Asked in the order of places."""

    def __init__(self, twins: PictureTwins, pictures: pl.DataFrame, values: Values) -> None:
        self._twins, self._values = twins, values
        self._places, self._hashes = pictures["place"], pictures["input_hash"]
        self._coming = set[str]()  # originals that are being described
        self._recent = OrderedDict[str, pl.DataFrame]()
        self._copies: list[tuple[str, int]] = []
        self._of_earlier: list[tuple[str, int]] = []

    def is_copy(self, place: int, seen: PicturePrint) -> bool:
        """Whether another picture's description is taken over; else this one is to be described."""
        own = self._hash(place)
        original = self._twins.original(own, seen)
        if original == own:
            self._coming.add(own)
            return False
        self._copies.append((original, place))
        return True

    def with_copies(self, made: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """`made`, and after it what took it over; what the answers rest on is kept before their rows are written."""
        for some in made:
            for row in some.filter(pl.col("reason").is_null()).iter_slices(1):
                own = self._hash(row["place"].item())
                self._recent[own] = row
                self._coming.discard(own)
            self._twins.commit()
            yield some
            yield from self._followers()
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        self._twins.commit()
        yield from self._followers()
        yield from self._from_tables()

    def _hash(self, place: int) -> str:
        return str(self._hashes[int(self._places.search_sorted(place))])

    def _followers(self) -> Iterator[pl.DataFrame]:
        copies, self._copies = self._copies, []
        self._copies += [copy for copy in copies if copy[0] in self._coming]
        ready = [copy for copy in copies if copy[0] not in self._coming]
        here = [
            self._recent[original].with_columns(place=pl.lit(place, pl.Int64))
            for original, place in ready
            if original in self._recent
        ]
        self._of_earlier += [copy for copy in ready if copy[0] not in self._recent]
        if here:
            yield pl.concat(here)
        if len(self._of_earlier) >= EARLIER_AT_ONCE:
            yield from self._from_tables()

    def _from_tables(self) -> Iterator[pl.DataFrame]:
        copies, self._of_earlier = self._of_earlier, []
        if copies:
            yield self._values(pl.DataFrame(copies, schema={"input_hash": pl.String, "place": pl.Int64}, orient="row"))
