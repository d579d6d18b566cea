"""`relevance experiment label-budget`: the student's accuracy by how many labels it learned from, and whose.

    people N             a quarter, a half, all of the judged training rows, by whole queries
    people + teacher M   all of them, and once, twice, four times ... as many soft labels, last all of 200,000 at most
    teacher M            soft labels alone

One teacher a fold, taught by all judged training rows, gives the soft labels, and is the line that students are held
against. A smaller set of soft labels is part of every larger one.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from math import log2

import polars as pl

from relevance.drawings.curves import Curve, Level, curves
from relevance.experiments.arms import Arm, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground, subset, thinned
from relevance.experiments.records import ArmFigures, Drawing, Found
from relevance.experiments.site import TEACHER_ARM, Experiment, Fields, Site, Wanted, plain_arms, runs
from relevance.judging.figures import Measure, Versus

_SHARES = (0.25, 0.5, 1.0)  # of the human rows
_MOST_SOFT = 200_000  # asked of the log; caps a query and a pin leave fewer
_OPINIONS = (
    "Beside people's labels half of each soft label is the opinion of a student whom they alone taught, as in "
    "`relevance train-student`; without them it is all the teacher's."
)
_DRAWN = (Measure.ACCURACY, Measure.AUROC_4)


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    times = _multiples(scale.train_pairs, scale.soft_pairs)
    human = sum(_SHARES) * scale.train_pairs
    soft = sum((2 * (1 + many) + many) * scale.train_pairs for many in times)
    backbone = wanted.backbones[0] if wanted.backbones else ""
    asked = float(runs(scale) * (scale.soft_pairs + scale.test_pairs))
    return Demand({backbone: float(runs(scale))}, {backbone: asked}, runs(scale) * (human + soft), seconds=30)


def run(site: Site) -> Found:
    held = min((site.bench.soft(ground, site.scale.soft_pairs).height for ground in site.grounds), default=0)
    rows = min(ground.train.height for ground in site.grounds)
    times = _multiples(rows, held)
    arms = _Arms(site)
    made = [*plain_arms(site, student=False), *arms.of_people(), *arms.of_both(times), *arms.of_teacher(times)]
    gathered = site.gather(made)
    figures = Figures(gathered.answers)
    found = figures.arms({arm.name: arms.numbers(arm.name, rows) for arm in made})
    all_people = _people(_SHARES[-1])
    versus = [Versus(_both(many), all_people) for many in times]
    versus += [Versus(_alone(many), all_people) for many in times]
    versus += [Versus(_people(more), _people(less)) for less, more in itertools.pairwise(_SHARES)]
    versus += [Versus(_both(many), TEACHER_ARM) for many in times]
    dev = min(ground.dev.height for ground in site.grounds)
    notes = [
        f"{dev:,} dev pairs that people judged stop and calibrate each model, beside the labels that it learned from."
    ]
    notes += [_OPINIONS] if times else []
    if not times:
        notes.append(f"The teacher had fewer than {rows:,} pairs to label: what soft labels add cannot be shown.")
    elif held < site.scale.soft_pairs:
        notes.append(f"There are {held:,} pairs to label within the caps a query and a pin.")
    drawings = tuple(one for m in _DRAWN if (one := _drawing(found, m)) is not None)
    return Found(found, figures.compare(versus), (), drawings, tuple(notes), gathered.left_out)


def _multiples(human: int, soft: int) -> list[float]:
    """1, 2, 4 ... times the human rows, and last as many times, in tenths, as there are soft labels.

    A last one within a tenth of the power of two before it takes its place: it would be no point of its own.
    """
    if not 0 < human <= soft:
        return []
    powers, most = [float(2**power) for power in range(int(log2(soft / human)) + 1)], 10 * soft // human / 10
    return [one for one in powers if most >= 1.1 * one] + [most]


def _people(share: float) -> str:
    return "people's labels" if share == 1 else f"{share:.0%} of people's labels"


def _both(many: float) -> str:
    return f"people's + {many:g}x teacher's"


def _alone(many: float) -> str:
    return f"{many:g}x teacher's alone"


class _Arms:
    """The students by their labels."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers: dict[str, dict[str, float]] = {}

    def numbers(self, arm: str, rows: int) -> dict[str, float]:
        return self._numbers.get(arm, {"human_rows": float(rows), "soft_rows": 0.0})

    def of_people(self) -> list[Arm]:
        return [self._arm(_people(share), share, 0, essential=share == 1) for share in reversed(_SHARES)]

    def of_both(self, times: list[float]) -> list[Arm]:
        return [self._arm(_both(many), 1.0, many) for many in times]

    def of_teacher(self, times: list[float]) -> list[Arm]:
        return [self._arm(_alone(many), 0.0, many) for many in times]

    def _arm(self, name: str, share: float, many: float, essential: bool = False) -> Arm:
        rows = min(ground.train.height for ground in self._site.grounds)
        human = min(self._of_people(share, ground).height for ground in self._site.grounds)
        self._numbers[name] = {"human_rows": float(human), "soft_rows": float(round(many * rows))}
        return Arm(name, partial(self._answer, share, many), essential=essential)

    def _of_people(self, share: float, ground: Ground) -> pl.DataFrame:
        """As many rows as whole queries allow."""
        wanted = round(share * ground.train.height)
        return subset(ground.train, wanted, self._site.wanted.seed) if wanted else ground.train.head(0)

    def _answer(self, share: float, many: float, ground: Ground, seed: int) -> Scored:
        site, bench = self._site, self._site.bench
        settings = replace(bench.student_settings, seed=seed)
        human = self._of_people(share, ground)
        soft: pl.DataFrame | None = None
        if many:
            labelled = site.soft_labels(ground, site.teacher(ground, seed))
            soft = thinned(labelled, round(many * ground.train.height), site.wanted.seed)
        return bench.answered(bench.student(human, ground.dev, soft, settings), ground.test)


def _drawing(found: tuple[ArmFigures, ...], measure: Measure) -> Drawing | None:
    students = [one for one in found if one.arm != TEACHER_ARM]
    series: list[Curve] = []
    everyone = max(one.numbers["human_rows"] for one in students)
    for name, chosen in (
        ("people's labels", [o for o in students if not o.numbers["soft_rows"]]),
        (
            "all of people's and teacher's",
            [o for o in students if o.numbers["human_rows"] == everyone],
        ),
        ("teacher's alone", [o for o in students if not o.numbers["human_rows"]]),
    ):
        points = sorted((o.numbers["human_rows"] + o.numbers["soft_rows"], o.estimate(measure)) for o in chosen)
        if len({x for x, _ in points}) > 1 or (points and not series):
            series.append(Curve(name, tuple(points)))
    teacher = [Level("teacher", one.estimate(measure).value) for one in found if one.arm == TEACHER_ARM]
    svg = curves(f"{measure} by labels", "labels learned from", measure.value, series, teacher, log=True)
    return (
        Drawing(
            f"{measure.heading} by labels",
            svg,
            "Students, with 95 % intervals; the dashed line is the teacher.",
        )
        if svg
        else None
    )


LABEL_BUDGET = Experiment(demand, run, soft_pairs=_MOST_SOFT, precious="soft_pairs")
