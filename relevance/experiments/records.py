"""The records of an experiment: what each arm is worth, how arms differ, and whatever else it has to tell; their JSON.

An arm is one way to make or ask a model. An experiment gives a `Found`; run.py makes it a `Result`, which page.py
draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from markupsafe import Markup

from enrich.records import to_json
from relevance.experiments.budget import Plan
from relevance.intervals import Difference, Estimate
from relevance.judging.figures import Figure, Measure


class ArmFigures(NamedTuple):
    """One arm's figures, means over its seeds. `numbers` are what it is set against: labels, milliseconds, rates."""

    arm: str
    seeds: int
    pairs: int
    queries: int
    figures: tuple[Figure, ...]
    numbers: Mapping[str, float] = MappingProxyType({})

    def estimate(self, measure: Measure) -> Estimate:
        """Not a number where the arm has no such figure."""
        nothing = Estimate(float("nan"), float("nan"), float("nan"), "not measured")
        return next((one.estimate for one in self.figures if one.measure is measure), nothing)


class Compared(NamedTuple):
    """arm - rival by query; `holm_p` is corrected for the comparisons of this measure that were made together."""

    arm: str
    rival: str
    measure: Measure
    difference: Difference
    holm_p: float


Value = str | int | float | Estimate | Difference | None


class Table(NamedTuple):
    """What does not fit among the arms; the first column names the row."""

    title: str
    said: str  # how to read it
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


class Drawing(NamedTuple):
    title: str
    svg: Markup
    said: str = ""  # what it shows, in a line
    wide: bool = False  # whether it wants a row of the page for itself


@dataclass(frozen=True, slots=True)
class Found:
    """What an experiment found."""

    arms: tuple[ArmFigures, ...]
    comparisons: tuple[Compared, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # arms for which there was no time


@dataclass(frozen=True, slots=True)
class Result:
    """A finished experiment."""

    experiment: str
    question: str
    catalogue: str
    made: str  # when and by which command
    plan: Plan
    found: Found

    def to_json(self) -> str:
        """One JSON object, without the drawings; a figure that cannot be had is null."""
        found = self.found
        plain = {
            **{name: getattr(self, name) for name in ("experiment", "question", "catalogue", "made")},
            "plan": {"said": self.plan.lines(), "fits": self.plan.fits, **_fields(self.plan)},
            **{name: getattr(found, name) for name in ("arms", "comparisons", "tables", "notes", "left_out")},
        }
        return to_json(plain, indent=1) + "\n"


def _fields(plan: Plan) -> dict[str, object]:
    names = ("budget_minutes", "expected_minutes", "full_minutes", "scale", "full", "cuts", "rates")
    return {name: getattr(plan, name) for name in names}
