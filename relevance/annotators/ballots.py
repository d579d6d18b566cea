"""Votes by position: who gave which level to which pair, and what the pair's other votes say.

Reads rows of the `judgments` table (query, pin_id, annotator_id or null, level, judged_at); pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.errors import BadInput
from relevance.annotators.coincidences import Votes
from relevance.intervals import divided
from relevance.metrics import Floats, Ints

MOST_LEVELS = 100  # a finer scale is a continuous one, which a matrix of levels cannot tell of
_LEVEL_DIGITS = 6  # votes that differ by less are of one level
_MICROSECONDS_A_DAY = 86_400_000_000


class Ballots(NamedTuple):
    """All by position [n]: the votes; beside each the level itself, the mean of the pair's other votes, who, when."""

    votes: Votes
    level: Floats
    others: Floats  # nan where the pair has no other vote
    annotator: Ints  # place in `names`; -1 without a name
    day: Floats  # days since the first vote
    names: tuple[str, ...]  # most votes first

    @property
    def shared(self) -> Floats:
        """Whether the pair has another vote, bool [n]."""
        return np.asarray(~np.isnan(self.others))


def ballots_of(rows: pl.DataFrame) -> Ballots:
    """The rows by position. Raises BadInput for no rows, or for more than `MOST_LEVELS` levels."""
    if rows.is_empty():
        raise BadInput("expected judgments, found none; import a catalogue with a judgments table")
    level = rows["level"].cast(pl.Float64).round(_LEVEL_DIGITS).to_numpy()
    levels, place = np.unique(level, return_inverse=True)
    if len(levels) > MOST_LEVELS:
        raise BadInput(f"expected votes on at most {MOST_LEVELS} levels, found {len(levels)}; round the judgments")
    query, pair = _places(rows, "query"), _places(rows, "query", "pin_id")
    votes = Votes(query, pair, place.astype(np.int64), levels, int(query.max()) + 1)
    size, total = np.bincount(pair).astype(np.float64), np.bincount(pair, weights=level)
    names, annotator = _annotators(rows["annotator_id"])
    day = (rows["judged_at"] - rows["judged_at"].min()).dt.total_microseconds().to_numpy() / _MICROSECONDS_A_DAY
    others = divided(total[pair] - level, size[pair] - 1)
    return Ballots(votes, level, others, annotator, day, names)


def _places(rows: pl.DataFrame, *columns: str) -> Ints:
    """Equal rows have the same number, 0 upwards."""
    return rows.select(pl.struct(columns).rank("dense") - 1).to_series().to_numpy().astype(np.int64)


def _annotators(ids: pl.Series) -> tuple[tuple[str, ...], Ints]:
    counts = ids.drop_nulls().value_counts().sort(["count", ids.name], descending=[True, False])
    names = tuple(counts[ids.name].to_list())
    place = {name: number for number, name in enumerate(names)}
    return names, np.asarray([place.get(one, -1) for one in ids], dtype=np.int64)
