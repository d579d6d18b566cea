"""`relevance experiment noise`: what wrong labels and missing annotators cost, and what wins some of it back.

Noise is put into training and dev judgments, never into the tested ones: a share of the pairs gets another level.
Teachers learn from judgments alone, so that no cleaner label helps them; students from the same judgments and their
teacher's labels. Against 30 % noise stand, each by itself:

    pruned        suspect labels left out: confident learning over three students, each asked about queries it never saw
    relabelled    suspect labels replaced by the likelier level
    augmented     every pair once more with a misspelled query
    spread        half the pairs, taken from all queries, beside half the pairs as all those of half the queries
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import isnan

import polars as pl

from relevance.drawings.curves import Curve, curves
from relevance.experiments import wrong_labels
from relevance.experiments.arms import Arm, Model, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground, subset, thinned
from relevance.experiments.records import ArmFigures, Compared, Drawing, Found, Table, Value
from relevance.experiments.site import STUDENT_ARM, TEACHER_ARM, Experiment, Fields, Site, Wanted, runs
from relevance.judging.figures import Measure, Versus
from relevance.metrics import Floats

_RATES = (0.15, 0.3, 0.5)
_REMEDIED = 0.3
_PARTS = 3  # of the queries, for out-of-sample probabilities
_MODELS = (TEACHER_ARM, STUDENT_ARM)
CLEAN, PRUNED, RELABELLED, AUGMENTED = "clean", "pruned", "relabelled", "augmented"
NARROW, SPREAD = "half, few queries", "half, all queries"
HALF, ONE = "half the annotators", "one vote a pair"


def _noisy(rate: float) -> str:
    return f"{rate:.0%} noise"


_GROUPS = (
    (CLEAN, _noisy(_REMEDIED), PRUNED, RELABELLED, AUGMENTED),
    (HALF, ONE, SPREAD, NARROW),
    tuple(_noisy(rate) for rate in _RATES if rate != _REMEDIED),
)


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    each = runs(scale)
    backbone = wanted.backbones[0] if wanted.backbones else ""
    variants = sum(len(group) for group in _GROUPS[: scale.groups])
    students = each * (variants * (2.0 * scale.train_pairs + scale.soft_pairs) + 3 * scale.train_pairs)
    asked = each * variants * (scale.test_pairs + scale.soft_pairs)
    return Demand({backbone: (variants + 0.5) * each}, {backbone: float(asked)}, students, seconds=20)


def run(site: Site) -> Found:
    rows = _Rows(site)
    names = rows.names()
    arms = [
        Arm(f"{model}, {name}", partial(rows.answer, model, name), essential=name in (CLEAN, _noisy(_REMEDIED)))
        for name in names
        for model in _MODELS
    ]
    gathered = site.gather(arms)
    figures = Figures(gathered.answers)
    found = figures.arms({f"{m}, {_noisy(rate)}": {"rate": rate} for m in _MODELS for rate in _RATES})
    comparisons = figures.compare(_versus(names))
    drawings = tuple(filter(None, (_drawing(found, measure) for measure in (Measure.ACCURACY, Measure.AUROC_4))))
    notes = ["Dev judgments, which stop training and calibrate, are as noisy as those that are learned from."]
    if site.scale.groups < len(_GROUPS):
        told = "other rates" if site.scale.groups > 1 else "other rates, dropped annotators and half the pairs"
        notes.append(f"There was no time for {told}.")
    if HALF in names:
        notes.append(f"{HALF[:1].upper()}{HALF[1:]}: {rows.dropped} of {rows.people} were left out.")
    if site.scale.groups > 1 and HALF not in names:
        notes.append("No vote names its annotator, or one person gave them all: dropping annotators cannot be shown.")
    if site.scale.groups > 1 and ONE not in names:
        notes.append("No pair has a second vote: what one vote a pair costs cannot be shown.")
    return Found(found, comparisons, (_won_back(found, comparisons),), drawings, tuple(notes), gathered.left_out)


class _Rows:
    """The judged rows of each variant, and the models that they make."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._votes = site.votes()
        self._changes: dict[str, Callable[[Ground, pl.DataFrame], pl.DataFrame]] = {
            CLEAN: lambda ground, rows: rows,
            _noisy(_REMEDIED): lambda ground, rows: self._noise(rows),
            PRUNED: lambda ground, rows: wrong_labels.pruned(self._noise(rows), self._crossed(ground)),
            RELABELLED: lambda ground, rows: wrong_labels.relabelled(self._noise(rows), self._crossed(ground)),
            AUGMENTED: lambda ground, rows: wrong_labels.augmented(self._noise(rows), self._seed),
            _noisy(_RATES[-1]): lambda ground, rows: self._noise(rows, _RATES[-1]),
            _noisy(_RATES[0]): lambda ground, rows: self._noise(rows, _RATES[0]),
            SPREAD: lambda ground, rows: thinned(self._noise(rows), self._narrow(rows).height, self._seed),
            NARROW: lambda ground, rows: self._noise(self._narrow(rows)),
            HALF: lambda ground, rows: wrong_labels.without_annotators(rows, self._votes, self.dropped, self._seed),
            ONE: lambda ground, rows: wrong_labels.with_one_vote(rows, self._seed),
        }

    @property
    def _seed(self) -> int:
        return self._site.wanted.seed

    @property
    def people(self) -> int:
        """Annotators whom votes name."""
        return self._votes["annotator_id"].drop_nulls().n_unique() if self._votes.width else 0

    @property
    def dropped(self) -> int:
        """Half of them, rather fewer than more."""
        return self.people // 2

    def names(self) -> list[str]:
        """The variants that these judgments allow."""
        judged = self._site.judged
        several = "votes" in judged.columns and (judged["votes"].list.len() > 1).any()
        impossible = {HALF} if self.people < 2 else set()
        impossible |= set() if several else {ONE}
        there = [name for group in _GROUPS[: self._site.scale.groups] for name in group]
        return [name for name in there if name not in impossible]

    def answer(self, model: str, name: str, ground: Ground, seed: int) -> Scored:
        return self._site.bench.answered(self._model(model, name, ground, seed), ground.test)

    def _model(self, model: str, name: str, ground: Ground, seed: int) -> Model:
        bench = self._site.bench
        train = self._changes[name](ground, ground.train)
        dev = self._dev(name, ground)
        teacher = bench.teacher(train, dev, pl.DataFrame(), replace(bench.teacher_settings, seed=seed))
        if model == TEACHER_ARM:
            return teacher
        soft = self._site.soft_labels(ground, teacher)
        settings = replace(bench.student_settings, seed=seed)
        return bench.student(train, dev, soft if soft.height else None, settings)

    def _dev(self, name: str, ground: Ground) -> pl.DataFrame:
        """As noisy as training; nothing that a remedy does is done to it."""
        if name in (CLEAN, HALF, ONE):
            return self._changes[name](ground, ground.dev)
        rate = next((one for one in _RATES if name == _noisy(one)), _REMEDIED)
        return self._noise(ground.dev, rate)

    def _narrow(self, rows: pl.DataFrame) -> pl.DataFrame:
        """All pairs of as many queries as hold half of them, at most."""
        return subset(rows, rows.height // 2, self._seed)

    def _noise(self, rows: pl.DataFrame, rate: float = _REMEDIED) -> pl.DataFrame:
        return wrong_labels.with_noise(rows, rate, self._seed)

    def _crossed(self, ground: Ground) -> Floats:
        """What students that did not see them say of the noisy training rows."""
        bench, dev = self._site.bench, self._noise(ground.dev)

        def ask(taught: pl.DataFrame, asked: pl.DataFrame) -> Floats:
            return bench.ask(bench.student(taught, dev), asked)

        return wrong_labels.crossed(self._noise(ground.train), _PARTS, self._seed, ask)


def _versus(names: Sequence[str]) -> list[Versus]:
    noisy = _noisy(_REMEDIED)
    pairs = [(name, CLEAN) for name in (*(_noisy(rate) for rate in _RATES), HALF, ONE)]
    pairs += [(name, noisy) for name in (PRUNED, RELABELLED, AUGMENTED)] + [(SPREAD, NARROW)]
    there = [(a, b) for a, b in pairs if a in names and b in names]
    return [Versus(f"{model}, {a}", f"{model}, {b}") for model in _MODELS for a, b in there]


def _won_back(found: Sequence[ArmFigures], comparisons: Sequence[Compared]) -> Table:
    """Of what noise cost, how much each remedy brings back; where chance made that loss, no share."""
    costs = {
        model: one.difference.high < 0
        for model in _MODELS
        for one in comparisons
        if one.measure is Measure.ACCURACY
        and (one.arm, one.rival) == (f"{model}, {_noisy(_REMEDIED)}", f"{model}, {CLEAN}")
    }
    by_name = {one.arm: one.estimate(Measure.ACCURACY) for one in found}
    rows: list[tuple[Value, ...]] = []
    for model in _MODELS:
        clean, noisy = (by_name.get(f"{model}, {name}") for name in (CLEAN, _noisy(_REMEDIED)))
        for name in (PRUNED, RELABELLED, AUGMENTED):
            remedied = by_name.get(f"{model}, {name}")
            if clean is None or noisy is None or remedied is None:
                continue
            lost = clean.value - noisy.value
            share = (remedied.value - noisy.value) / lost if costs.get(model) else float("nan")
            rows.append((f"{model}, {name}", clean, noisy, remedied, "–" if isnan(share) else f"{share:.0%}"))
    return Table(
        "What wins the loss back",
        f"Accuracy on clean labels, with {_REMEDIED:.0%} noise, and with the remedy; the share of the loss that "
        "it brings back, where the loss is above 0 with its whole interval. Whether a remedy helps is among the "
        "differences below.",
        ("remedy", "clean", "noisy", "remedied", "won back"),
        tuple(rows),
    )


def _drawing(found: Sequence[ArmFigures], measure: Measure) -> Drawing | None:
    by_name = {one.arm: one for one in found}
    series = []
    for model in _MODELS:
        names = [(0.0, f"{model}, {CLEAN}"), *((rate, f"{model}, {_noisy(rate)}") for rate in _RATES)]
        points = tuple((rate, by_name[name].estimate(measure)) for rate, name in names if name in by_name)
        if len(points) > 1:
            series.append(Curve(model, points))
    if not series:
        return None
    svg = curves(f"{measure} by noise", "share of judgments made wrong", measure.value, series)
    return Drawing(f"{measure.heading} by noise", svg, "With 95 % intervals; tested on labels left as they were.")


NOISE = Experiment(demand, run, weak_pairs=0, groups=len(_GROUPS))
