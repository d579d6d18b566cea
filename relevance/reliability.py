"""Whether probabilities mean what they say: reliability curves and expected calibration errors, a level at a time.

Pure. A claim is a probability and whether what it speaks of came true: the most probable level being right, the level
being k, the level being k or more. `relevance evaluate` measures test pairs; a model's record holds what `cross_fitted`
measured on its dev pairs, before and after calibration, and its model card says it in a table (`card_table`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from enrich.job import input_hash
from enrich.tables import LEVELS
from relevance.calibration import Calibration
from relevance.metrics import Floats, Ints, confidence_bin, most_probable, probability_at_least

DEV_BINS = 10  # of a model's record: dev sides are small, and fifteen bins of a few pairs each show noise
CUMULATIVE = (3, 4)  # levels whose "or more" is worth a column: that of 2 errs as level 1 does, that of 5 as level 5
PARTS = 5  # of the dev queries, each measured under a calibration fitted on the others


class Claim(NamedTuple):
    """What was said of each pair, and whether it came true."""

    confidence: Floats  # [n]
    true: npt.NDArray[np.bool_]  # [n]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows with a confidence in (low, high]: their mean confidence, and the share of them of which it was true."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One claim's expected calibration error, Σ rows / n · |accuracy - confidence|, and the bins it is a sum over."""

    error: float
    bins: tuple[ReliabilityBin, ...]  # those that have rows

    @classmethod
    def of(cls, claim: Claim, bins: int) -> Self:
        """In `bins` equal bins of confidence (Guo et al. 2017, arXiv 1706.04599)."""
        found = tuple(_bins(claim, bins))
        gaps = sum(one.rows * abs(one.accuracy - one.confidence) for one in found)
        return cls(gaps / max(1, len(claim.confidence)), found)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        return cls(float(raw["error"]), tuple(ReliabilityBin(**one) for one in raw["bins"]))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of one set of pairs and one model."""

    most_probable: Curve  # the most probable level is right
    exactly: tuple[Curve, ...]  # the level is k; k = 1..5
    at_least: tuple[Curve, ...]  # the level is k or more; k = 2..5

    @classmethod
    def of(cls, levels: Ints, probabilities: Floats, bins: int = DEV_BINS) -> Self:
        """Measured on gold `levels` [n] in 1..5 and `probabilities` [n, 5]."""
        return cls(
            Curve.of(top_claim(levels, probabilities), bins),
            tuple(Curve.of(claim, bins) for claim in exact_claims(levels, probabilities)),
            tuple(Curve.of(claim, bins) for claim in cumulative_claims(levels, probabilities)),
        )

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        exactly, at_least = (tuple(Curve.read(one) for one in raw[name]) for name in ("exactly", "at_least"))
        return cls(Curve.read(raw["most_probable"]), exactly, at_least)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Of the most probable level, of levels 1..5, and of 2..5 or more: ten."""
        return (self.most_probable, *self.exactly, *self.at_least)


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What a calibration did for the dev pairs that it was fitted on, kept with the model."""

    rows: int  # judged dev pairs
    queries: int  # that they are of
    parts: int  # of the queries, each measured under a calibration fitted on the others
    before: Reliability
    after: Reliability  # cross-fitted

    @classmethod
    def read(cls, raw: Mapping[str, Any] | None) -> Self | None:
        """As it was written with a model; None of a model without. Raises KeyError, TypeError or ValueError."""
        if raw is None:
            return None
        before, after = (Reliability.read(raw[name]) for name in ("before", "after"))
        return cls(int(raw["rows"]), int(raw["queries"]), int(raw["parts"]), before, after)


def top_claim(levels: Ints, probabilities: Floats) -> Claim:
    """The most probable level is right."""
    return Claim(probabilities.max(axis=1), most_probable(probabilities) == levels)


def exact_claims(levels: Ints, probabilities: Floats) -> list[Claim]:
    """The level is k, for k = 1..5."""
    return [Claim(probabilities[:, k - 1], levels == k) for k in LEVELS]


def cumulative_claims(levels: Ints, probabilities: Floats) -> list[Claim]:
    """The level is k or more, for k = 2..5; of 1 nothing can be wrong."""
    return [Claim(probability_at_least(probabilities, k).clip(0, 1), levels >= k) for k in LEVELS[1:]]


def cross_fitted(
    logits: npt.NDArray[np.floating[Any]], levels: Ints, queries: Sequence[str], parts: int = PARTS
) -> CalibrationReport | None:
    """Dev logits [n, 5] before calibration, and after one that was fitted on other queries than it is measured on.

    A calibration flatters on the rows that it was fitted on. Five parts rather than two halves, so that each fit sees
    nearly as many queries as the one that is kept. None where there are not two queries.
    """
    distinct = sorted(set(queries), key=input_hash)
    parts = min(parts, len(distinct))
    if parts < 2:
        return None
    part_of = {query: place % parts for place, query in enumerate(distinct)}
    part = np.array([part_of[query] for query in queries])
    after = np.zeros(logits.shape)
    for one in range(parts):
        inside, outside = part == one, np.flatnonzero(part != one).tolist()
        fitted = Calibration.fit(logits[outside], levels[outside], [queries[i] for i in outside])
        after[inside] = fitted.probabilities(logits[inside])
    before = Calibration().probabilities(logits).astype(np.float64)
    measured = (Reliability.of(levels, probabilities) for probabilities in (before, after))
    return CalibrationReport(len(levels), len(distinct), parts, *measured)


def card_table(report: CalibrationReport | None) -> str:
    """For a model card: the errors before and after, and what they were measured on."""
    if report is None:
        return "Calibration was not measured: that needs judged dev pairs of two queries or more."
    names = ["right", *(f"= {k}" for k in LEVELS), *(f"≥ {k}" for k in CUMULATIVE)]
    lines = [_row("ECE of", names), "|---" * (len(names) + 1) + "|"]
    for name, measured in (("before", report.before), ("after", report.after)):
        at_least = [measured.at_least[LEVELS[1:].index(k)] for k in CUMULATIVE]
        curves = [measured.most_probable, *measured.exactly, *at_least]
        lines.append(_row(name, [f"{curve.error:.3f}" for curve in curves]))
    said = (
        f"On the {report.rows:,} dev pairs of {report.queries:,} queries, {DEV_BINS} bins: of the most probable level "
        f"being right, of each\nlevel, of 3 and of 4 or more. After calibration is cross-fitted: each of "
        f"{report.parts} parts of the queries under a\ncalibration fitted on the others."
    )
    return "\n".join([said, "", *lines])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _bins(claim: Claim, bins: int) -> Iterator[ReliabilityBin]:
    bin_of = confidence_bin(claim.confidence, bins)
    for k in np.unique(bin_of):
        inside = bin_of == k
        confidence, accuracy = float(claim.confidence[inside].mean()), float(claim.true[inside].mean())
        yield ReliabilityBin(float(k / bins), float((k + 1) / bins), int(inside.sum()), confidence, accuracy)
