"""The records of an evaluation: measures, figures with their intervals, comparisons, segments; and their JSON form.

`evaluation.py` fills them, `report.py` renders them, `relevance evaluate --json` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from enrich.errors import BadInput
from enrich.records import to_json
from relevance.intervals import BootstrapSettings, Difference, Estimate
from relevance.rankings import RELEVANT
from relevance.reliability import ReliabilityBin

CUTOFF, SDCG_CUTOFF, PRECISION_CUTOFF, JUDGED_CUTOFF = 20, 25, 8, 10
PEOPLE = "people"  # whose gold levels a model's fidelity is to


class Versus(NamedTuple):
    """Two of an evaluation or experiment: is `model` better than `rival`, or how far does it say what `rival` says?"""

    model: str
    rival: str


class Measure(StrEnum):
    """The figures of an evaluation, as reports name them.

    AUROC k+ separates levels k and more from the rest. Kendall τ is τ-b of gold and most probable levels over all
    pairs, as arXiv 2509.03764 gives it; τ by query is the mean of τ-b of levels and scores within each query.
    """

    ACCURACY = "accuracy"
    WITHIN_ONE = "within one"
    AUROC_3 = "AUROC 3+"
    AUROC_4 = "AUROC 4+"
    AUROC_5 = "AUROC 5+"
    KAPPA = "quadratic κ"
    TAU = "Kendall τ"
    ECE = "ECE"
    NDCG = f"nDCG@{CUTOFF}"
    SDCG = f"sDCG@{SDCG_CUTOFF}"
    PRECISION = f"P(rel={RELEVANT})@{PRECISION_CUTOFF}"
    TAU_BY_QUERY = "τ by query"
    JUDGED = f"Judged@{JUDGED_CUTOFF}"

    @property
    def heading(self) -> str:
        """At the head of a title."""
        return "Accuracy" if self is Measure.ACCURACY else self.value

    @property
    def lower_is_better(self) -> bool:
        return self is Measure.ECE

    @property
    def has_ratio(self) -> bool:
        """Whether a share of the rival's figure means something: AUROC, κ, τ count from chance, ECE down to zero."""
        return self in (Measure.ACCURACY, Measure.WITHIN_ONE, Measure.NDCG, Measure.SDCG, Measure.PRECISION)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    bins: int = 15  # of confidence, for calibration
    segments: tuple[str, ...] = ("lang",)  # columns of the predictions by whose values figures are also given
    segment_pairs: int = 30  # judged pairs below which a segment is not shown
    segment_values: int = 12  # segments of one column, the largest


class Figure(NamedTuple):
    measure: Measure
    estimate: Estimate


class LevelErrors(NamedTuple):
    """Expected calibration errors of P(level) and of P(level or more), which of level 1 is always right: None."""

    level: int
    exactly: Estimate
    at_least: Estimate | None


class ModelFigures(NamedTuple):
    """One model's figures. `confusion` is rows by gold level, columns by predicted; empty for a model of scores."""

    model: str
    answered: int
    figures: tuple[Figure, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()  # of the most probable level
    level_errors: tuple[LevelErrors, ...] = ()
    level_reliability: tuple[tuple[ReliabilityBin, ...], ...] = ()  # of the probability of each level, 1..5

    def estimate(self, measure: Measure) -> Estimate | None:
        return next((figure.estimate for figure in self.figures if figure.measure is measure), None)


def _named(models: Sequence[ModelFigures], name: str) -> ModelFigures:
    for figures in models:
        if figures.model == name:
            return figures
    raise BadInput(f"expected one of {', '.join(m.model for m in models)}, found model {name!r}")


class Comparison(NamedTuple):
    model: str
    rival: str
    measure: Measure
    difference: Difference
    p_holm: float = float("nan")  # corrected for all comparisons of the measure


class Fidelity(NamedTuple):
    """How far a model says the levels that another one, or people, say of the same pairs; `column` "" for all pairs."""

    model: str
    rival: str
    column: str
    value: str
    pairs: int
    queries: int
    same: Estimate  # share of pairs with one level
    within_one: Estimate
    kappa: Estimate
    lean: Estimate  # mean level of the model less that of the other


class Shares(NamedTuple):
    """How often people (gold) or a model (most probable level) say each of the five levels."""

    who: str
    levels: tuple[float, ...]


class Distribution(NamedTuple):
    """Who says which levels in a segment; `column` "" for all pairs."""

    column: str
    value: str
    pairs: int
    shares: tuple[Shares, ...]


class SegmentFigures(NamedTuple):
    column: str
    value: str
    pairs: int
    queries: int
    models: tuple[ModelFigures, ...]

    def model(self, name: str) -> ModelFigures:
        return _named(self.models, name)


class FieldCoverage(NamedTuple):
    """How many of the catalogue's pins have an input, or a reason why they could not have it."""

    field: str
    pins: int
    of: int

    @property
    def share(self) -> float:
        return self.pins / self.of if self.of else float("nan")


class InputDrop(NamedTuple):
    """What the student loses where one input is missing at serving, on the same pairs."""

    input: str  # as ScoredPin.missing names it
    pairs: int  # that had it
    of: int
    accuracy: Difference  # without it, less with it
    ndcg: Difference


@dataclass(frozen=True, slots=True)
class Evaluation:
    pairs: int
    queries: int
    folds: int
    level_counts: tuple[int, ...]  # gold pairs of levels 1..5
    gains: str  # the gain table of nDCG
    models: tuple[ModelFigures, ...]
    comparisons: tuple[Comparison, ...]
    segments: tuple[SegmentFigures, ...]
    fidelity: tuple[Fidelity, ...]
    distributions: tuple[Distribution, ...]
    coverage: tuple[FieldCoverage, ...]
    caveats: tuple[str, ...]
    settings: EvaluationSettings
    drops: tuple[InputDrop, ...] = ()  # dearest first
    made_from: Mapping[str, str] = field(default_factory=dict)  # of each model that serves, as it was then (stages.py)

    def model(self, name: str) -> ModelFigures:
        return _named(self.models, name)

    def to_json(self) -> str:
        """One JSON object; a figure without a value is null."""
        return to_json(self, indent=1) + "\n"
