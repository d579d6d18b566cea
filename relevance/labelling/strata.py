"""Strata of pairs that nobody judged: which there are, which are too small to stand alone, how many pairs each gives.

Pure functions of counts; log_pairs.py counts them. A stratum is `frequency/interest/language/kind`:

- frequency of its query: head, torso and tail are thirds of all rows of the log, by the query's own number of rows.
  Queries with the same number are of one class, the one in which the middle of their rows lies.
- interest: its query's best one (query_features), "unknown" where none is known.
- language of the pair, "unknown" where the log has none.
- kind: engaged or only shown, of the log; hard or random, negatives.

A stratum whose share of the sample would be less than LEAST_QUOTA pairs is counted with its like of every such
interest, as "other"; where that is still too small, with its like of every such language too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

UNKNOWN, OTHER, JUDGED = "unknown", "other", "judged"  # JUDGED: the frequency of a query that the log sample lacks
HEAD, TORSO, TAIL = FREQUENCIES = ("head", "torso", "tail")
ENGAGED, SHOWN, HARD, RANDOM = KINDS = ("engaged", "shown", "hard", "random")
LEAST_QUOTA = 10  # pairs; fewer say nothing of a stratum


class Stratum(NamedTuple):
    frequency: str
    interest: str
    language: str
    kind: str

    @classmethod
    def of(cls, name: str) -> Stratum | None:
        """The stratum of that name; None for a name that is not one."""
        found = name.split("/")
        return cls(*found) if len(found) == len(cls._fields) else None

    @property
    def name(self) -> str:
        return "/".join(self)


def frequency_classes(queries: Mapping[int, int]) -> dict[int, str]:
    """The class of each volume (rows of a query), from how many `queries` have it."""
    total, above = sum(volume * count for volume, count in queries.items()), 0
    classes: dict[int, str] = {}
    for volume in sorted(queries, reverse=True):
        here = volume * queries[volume]
        classes[volume] = FREQUENCIES[min(2, 3 * (2 * above + here) // (2 * max(1, total)))]
        above += here
    return classes


def merged(sizes: Mapping[str, int], wanted: int, least: int = LEAST_QUOTA) -> dict[str, str]:
    """Of each stratum the one that it is counted with, itself where its share of `wanted` pairs is `least` or more."""
    kept = {name: name for name in sizes}
    for coarser in ({"interest": OTHER}, {"interest": OTHER, "language": OTHER}):
        quotas = root_quotas(counted(sizes, kept), wanted)
        small = {name for name, quota in quotas.items() if quota < least}
        kept = {name: _coarser(one, coarser) if one in small else one for name, one in kept.items()}
    return kept


def counted(sizes: Mapping[str, int], kept: Mapping[str, str]) -> dict[str, int]:
    """The sizes of the strata that the others are counted with."""
    total: Counter[str] = Counter()
    for name, size in sizes.items():
        total[kept[name]] += size
    return dict(total)


def root_quotas(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """How many of each stratum, about in proportion to √size; what a small stratum lacks goes to the others."""
    quotas: dict[str, int] = {}
    left, weight = wanted, sum(math.sqrt(size) for size in sizes.values())
    for stratum, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        quotas[stratum] = min(size, round(left * math.sqrt(size) / weight))
        left, weight = left - quotas[stratum], weight - math.sqrt(size)
    return quotas


def _coarser(name: str, fields: Mapping[str, str]) -> str:
    stratum = Stratum.of(name)
    return stratum._replace(**fields).name if stratum else name
