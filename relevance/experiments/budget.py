"""How an experiment is made to fit the minutes it is given, and what of it was cut for that.

Pure but for `Clock`. The full size comes from the workspace and the flags; `plan` cuts it, in the order of `_CUTS`,
until what the experiment says it has to do (`Demand`), at the speeds measured on this machine (`Rates`), fits. The
order puts first what costs precision alone (seeds, folds), then what makes all models weaker alike; a large test side
before models learn from so little that they show nothing. The dev side is cut along with the training side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple

from enrich.errors import BadInput

DEFAULT_MINUTES = 10.0
_SPENT = 0.85  # of the minutes: joins, intervals and the page want some, and speeds are estimates
_LEAST_TRAINING, _LEAST_TESTED, _LEAST_SOFT, _LEAST_DEV = 300, 300, 500, 100  # pairs
_DEV = 5  # training pairs for a dev pair, or more, once the former are cut


@dataclass(frozen=True, slots=True)
class Scale:
    """How large an experiment is."""

    seeds: int  # of training; figures are means over them
    folds: int  # in which queries are tested
    train_pairs: int  # judged pairs that a model learns from, at most (whole queries)
    weak_pairs: int  # pairs of the log that a teacher learns from first, at most
    epochs: int  # of a teacher over the judged pairs, at most
    soft_pairs: int  # pairs that a teacher labels for a student, at most
    test_pairs: int  # judged pairs of a fold that are asked about, at most (whole queries)
    dev_pairs: int  # judged pairs of a fold that stop training and calibrate, at most (whole queries)
    groups: int = 1  # of arms, the most telling first; each experiment says what they are
    other_pairs: int = 0  # judged pairs of other languages that `transfer` adds to a model's, at most (whole queries)


class Rates(NamedTuple):
    """Speeds measured on this machine; by backbone, "" being the default one."""

    taught: Mapping[str, float]  # pairs a second that a teacher learns from
    asked: Mapping[str, float]  # pairs a second that a teacher answers
    student: float  # rows a second of a student's whole training
    encoded: float  # texts a second that the text encoder embeds


class Demand(NamedTuple):
    """What there is to do, over all folds and seeds."""

    teachers: Mapping[str, float] = MappingProxyType({})  # trainings, by backbone
    asked: Mapping[str, float] = MappingProxyType({})  # pairs, by backbone
    student_rows: float = 0.0  # rows of all students' trainings together
    encoded: float = 0.0  # texts
    seconds: float = 0.0  # whatever the scale is
    more_rows: Mapping[str, float] = MappingProxyType({})  # judged pairs an epoch beyond the scale's, of all trainings


class Cut(NamedTuple):
    """One of the scale's numbers, made smaller."""

    what: str
    full: int
    now: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The scale that is run, and how it came to be."""

    scale: Scale
    full: Scale
    budget_minutes: float
    expected_minutes: float
    full_minutes: float  # that the full scale would have taken
    cuts: tuple[Cut, ...]
    rates: Rates

    @property
    def fits(self) -> bool:
        return self.expected_minutes <= self.budget_minutes

    def lines(self) -> list[str]:
        """For a terminal and the page: what was cut, and why."""
        if not self.cuts:
            return [f"full size: {_minutes(self.full_minutes)} expected of {self.budget_minutes:g}"]
        said = ", ".join(f"{cut.what} {cut.full:,} → {cut.now:,}" for cut in self.cuts)
        lines = [
            f"shrunk to fit {self.budget_minutes:g} minutes, for the full size wants {_minutes(self.full_minutes)}: "
            + said
        ]
        if not self.fits:
            lines.append(f"even so it wants {_minutes(self.expected_minutes)}; what is not done in time is left out")
        return lines


def _minutes(minutes: float) -> str:
    """As one says it: a plan is no better than this."""
    if minutes < 0.95:
        return "less than a minute"
    return "about a minute" if minutes < 1.5 else f"about {minutes:,.0f} minutes"


class _Step(NamedTuple):
    field: str
    what: str
    least: int
    factor: float  # 0: to the least at once


_CUTS = (
    _Step("seeds", "seeds", 1, 0),
    _Step("folds", "folds", 1, 0),
    _Step("soft_pairs", "soft labels", _LEAST_SOFT, 0.5),
    _Step("weak_pairs", "pairs of the log taught first", 0, 0.5),
    _Step("groups", "groups of arms", 2, 0),
    _Step("other_pairs", "judged pairs of other languages", 1_200, 0.75),
    _Step("train_pairs", "judged training pairs", 1_200, 0.75),
    _Step("epochs", "epochs", 2, 0),
    _Step("groups", "groups of arms", 1, 0),
    _Step("test_pairs", "test pairs a fold", 1_000, 0.75),
    _Step("other_pairs", "judged pairs of other languages", _LEAST_TRAINING, 0.75),
    _Step("train_pairs", "judged training pairs", _LEAST_TRAINING, 0.75),
    _Step("test_pairs", "test pairs a fold", _LEAST_TESTED, 0.75),
    _Step("epochs", "epochs", 1, 0),
)
_NAMES = {step.field: step.what for step in _CUTS} | {"dev_pairs": "dev pairs"}
_LITTLE = 6  # of these, after which models learn from little: seeds, folds, the log, half the arms, half the judgments
_SMALLEST_LOG = 500  # pairs of the log; fewer are none


def plan(
    full: Scale,
    demand: Callable[[Scale], Demand],
    rates: Rates,
    minutes: float,
    kept: frozenset[str] = frozenset(),
    precious: str | None = None,
) -> Plan:
    """The largest scale in the order of cuts that fits; `kept` names fields that were asked for and stay.

    `precious` is a field that an experiment is about: it is cut once models learn from little.

    Raises BadInput for minutes of 0 or less.
    """
    if not minutes > 0:
        raise BadInput(f"expected --budget in minutes, above 0, found {minutes:g}")
    allowed = _SPENT * minutes * 60
    scale = full
    for scale in _smaller(full, kept, precious):
        if seconds(demand(scale), scale, rates) <= allowed:
            break
    cuts = tuple(
        Cut(_NAMES[field.name], getattr(full, field.name), getattr(scale, field.name))
        for field in fields(Scale)
        if getattr(full, field.name) != getattr(scale, field.name)
    )
    now, whole = (seconds(demand(one), one, rates) / 60 for one in (scale, full))
    return Plan(scale, full, minutes, now, whole, cuts, rates)


def seconds(demand: Demand, scale: Scale, rates: Rates) -> float:
    """What the demand takes at these rates."""
    passes = scale.train_pairs * scale.epochs + 1.3 * scale.weak_pairs  # to the log's come random pairs, 0.3 for each
    stops = (scale.epochs + 1) * scale.dev_pairs  # answers about dev pairs: after each epoch, and to calibrate
    teachers = sum(
        count * (passes / rates.taught[name] + stops / rates.asked[name]) for name, count in demand.teachers.items()
    )
    asked = sum(pairs / rates.asked[name] for name, pairs in demand.asked.items())
    teachers += sum(scale.epochs * rows / rates.taught[name] for name, rows in demand.more_rows.items())
    return teachers + asked + demand.student_rows / rates.student + demand.encoded / rates.encoded + demand.seconds


def _smaller(full: Scale, kept: frozenset[str], precious: str | None) -> Iterator[Scale]:
    """The full scale, then ever smaller ones."""
    late = [step for step in _CUTS if step.field == precious]
    steps = [step for step in _CUTS if step not in late]
    scale = full
    yield scale
    for step in [*steps[:_LITTLE], *late, *steps[_LITTLE:]]:
        while step.field not in kept and getattr(scale, step.field) > step.least:
            scale = _cut(scale, step)
            yield scale


def _cut(scale: Scale, step: _Step) -> Scale:
    lower = max(step.least, int(getattr(scale, step.field) * step.factor))
    if step.field == "weak_pairs" and lower < _SMALLEST_LOG:
        lower = 0
    if step.field == "train_pairs":
        scale = replace(scale, dev_pairs=min(scale.dev_pairs, max(_LEAST_DEV, lower // _DEV)))
    return replace(scale, **{step.field: lower})


class OutOfTime(Exception):
    """The minutes are over and the work that is wanted is not kept from an earlier run."""


class Clock:
    """Refuses to begin work once the minutes are over, but for what an experiment cannot do without."""

    def __init__(self, minutes: float, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._end = now() + minutes * 60
        self.essential = False  # whether what is asked now has to be done whatever the time

    @property
    def over(self) -> bool:
        return not self.essential and self._now() > self._end

    def check(self) -> None:
        """Raises OutOfTime."""
        if self.over:
            raise OutOfTime
