"""`relevance experiment robustness`: which damage to which text breaks which model.

One teacher and one student a fold, taught on whole texts and asked about damaged ones (perturbations.py): each text
field, all of them, and the query; missing, misspelled, noisy, repeated, long; at several strengths. A student's
matching features and its vectors of query and text are made anew from the damaged texts, as serving would; a damaged
query is one that nobody asked before. Every figure stands beside the same model's on whole texts, paired by query.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from enrich.errors import BadInput
from relevance.drawings.curves import Curve, curves
from relevance.experiments.arms import Arm, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.fields import ALL_FIELDS, present, vectors_of
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.perturbations import QUERY, Damage, Perturbation, changed, damaged
from relevance.experiments.records import ArmFigures, Compared, Drawing, Found, Table, Value
from relevance.experiments.site import STUDENT_ARM, TEACHER_ARM, Experiment, Fields, Site, Wanted, runs
from relevance.judging.figures import Measure, Versus
from relevance.text_fields import Field

ALL = "all fields"
_STRENGTHS = (0.2, 0.5, 1.0)
_DAMAGES = (Damage.MISSING, Damage.MISSPELLED, Damage.NOISY, Damage.REPEATED, Damage.LONG)
_MODELS = (TEACHER_ARM, STUDENT_ARM)


def demand(scale: Scale, wanted: Wanted, fields: Fields) -> Demand:
    """All fields are asked about for nothing where there is one."""
    each = runs(scale)
    same = len(_DAMAGES) if len(fields) == 1 else 0
    asks = len(_asks(fields, scale.groups)) - same + 1
    backbone = wanted.backbones[0] if wanted.backbones else ""
    texts = scale.folds * scale.test_pairs * 0.7 * (asks - 1) * 0.5
    student = each * (2.0 * scale.train_pairs + scale.soft_pairs) + each * asks * scale.test_pairs / 10
    asked = float(each * (asks * scale.test_pairs + scale.soft_pairs))
    return Demand({backbone: float(each)}, {backbone: asked}, student, texts, seconds=30)


def _asks(fields: Sequence[Field], groups: int) -> list[tuple[str, Damage, float]]:
    """The most telling ones first: query and all fields at full strength, each field, then weaker ones by group."""
    by_strength = [
        [
            (target, damage, strength)
            for target in (QUERY, ALL)
            for damage in _DAMAGES
            if not (target == QUERY and damage is Damage.MISSING)
        ]
        for strength in reversed(_STRENGTHS)
    ]
    single = [(field, damage, _STRENGTHS[-1]) for field in fields for damage in _DAMAGES]
    return [*by_strength[0], *single, *(ask for group in by_strength[1:groups] for ask in group)]


def run(site: Site) -> Found:
    fields = present(site.judged, ALL_FIELDS)
    if not fields:
        raise BadInput("expected judged pins with texts to damage, found none; run `enrich run`")
    asks = _asks(fields, site.scale.groups)
    made = _Made(site, fields)
    arms = [Arm(model, partial(made.whole, model), essential=True) for model in _MODELS]
    arms += [
        Arm(arm_name(model, *ask), partial(made.damaged, model, *ask), essential=False)
        for ask in asks
        for model in _MODELS
    ]
    gathered = site.gather(arms)
    figures = Figures(gathered.answers)
    versus = [Versus(arm_name(model, *ask), model) for model in _MODELS for ask in asks]
    comparisons = figures.compare(versus, (Measure.ACCURACY, Measure.AUROC_4, Measure.NDCG))
    found = figures.arms({arm_name(m, *ask): {"strength": ask[2]} for m in _MODELS for ask in asks})
    missing = [field for field in ALL_FIELDS if field not in fields]
    notes = [f"No judged pin has {', '.join(missing)}: damage there cannot be shown."] if missing else []
    drawings = [one for damage in _DAMAGES if (one := _drawing(found, damage)) is not None]
    tables = (*(_table(comparisons, model, fields) for model in _MODELS), _reached(site, fields))
    return Found(found, comparisons, tables, tuple(drawings), tuple(notes), gathered.left_out)


def arm_name(model: str, target: str, damage: Damage, strength: float) -> str:
    return f"{model}, {target} {damage} {strength:g}"


class _Made:
    def __init__(self, site: Site, fields: Sequence[Field]) -> None:
        self._site = site
        self._fields = fields
        self._vectors = vectors_of(site.encoder)

    def whole(self, model: str, ground: Ground, seed: int) -> Scored:
        return self._ask(model, ground, seed, None)

    def damaged(self, model: str, target: str, damage: Damage, strength: float, ground: Ground, seed: int) -> Scored:
        return self._ask(model, ground, seed, (target, Perturbation(damage, strength, self._site.wanted.seed)))

    def _ask(self, model: str, ground: Ground, seed: int, change: tuple[str, Perturbation] | None) -> Scored:
        site = self._site
        teacher = site.teacher(ground, seed)
        made = teacher if model == TEACHER_ARM else site.student(ground, seed, teacher)
        rows = ground.test
        if change is not None:
            targets = self._fields if change[0] == ALL else (change[0],)
            rows = damaged(rows, targets, change[1], self._vectors if model == STUDENT_ARM else None)
        return site.bench.answered(made, rows)


def _drawing(found: Sequence[ArmFigures], damage: Damage) -> Drawing | None:
    by_name = {one.arm: one for one in found}
    series = []
    for place, model in enumerate(_MODELS):
        for further, target in enumerate((QUERY, ALL)):
            points = [(0.0, by_name[model].estimate(Measure.ACCURACY))]
            points += [
                (strength, by_name[name].estimate(Measure.ACCURACY))
                for strength in _STRENGTHS
                if (name := arm_name(model, target, damage, strength)) in by_name
            ]
            if len(points) > 1:
                series.append(Curve(f"{model}, {target}", tuple(points), 2 * place + further))
    if not series:
        return None
    svg = curves(f"{damage} texts", "strength (0: whole texts)", "accuracy", series)
    return Drawing(f"{damage.capitalize()} texts", svg, _SAID[damage])


_SAID = {
    Damage.MISSING: "Strength: share of the texts that are not there.",
    Damage.MISSPELLED: "Strength: share of the longer words with one slip.",
    Damage.NOISY: "Strength: foreign pieces (markup, article numbers) for each word.",
    Damage.REPEATED: "Strength 1: the text ten times.",
    Damage.LONG: "Strength 1: two hundred words of other pins after it.",
}


def _table(comparisons: Sequence[Compared], model: str, fields: Sequence[Field]) -> Table:
    told = {one.arm: one.difference for one in comparisons if one.measure is Measure.ACCURACY}
    rows: list[tuple[Value, ...]] = [
        (target, *(told.get(arm_name(model, target, damage, _STRENGTHS[-1])) for damage in _DAMAGES))
        for target in (QUERY, *fields, ALL)
    ]
    return Table(
        f"What the {model} loses, by field",
        "Accuracy with the text damaged at strength 1 less accuracy on whole texts, paired by query.",
        ("text", *(damage.value for damage in _DAMAGES)),
        tuple(rows),
    )


def _reached(site: Site, fields: Sequence[Field]) -> Table:
    """What damage does nothing to counts among the losses as 0."""
    test = pl.concat([ground.test for ground in site.grounds])
    rows: list[tuple[Value, ...]] = []
    for target in (QUERY, *fields, ALL):
        targets = fields if target == ALL else (target,)
        shares = list[Value]()
        for damage in _DAMAGES:
            other = damaged(test, targets, Perturbation(damage, _STRENGTHS[-1], site.wanted.seed))
            asked = not (target == QUERY and damage is Damage.MISSING)
            shares.append(f"{changed(test, other, targets):.0%}" if asked else None)
        rows.append((target, *shares))
    return Table(
        "How many pairs are damaged",
        "Share of the tested pairs whose text strength 1 changes; the others, without such a text or with no word to "
        "misspell, are answered as before and count as no loss.",
        ("text", *(damage.value for damage in _DAMAGES)),
        tuple(rows),
    )


ROBUSTNESS = Experiment(demand, run, groups=len(_STRENGTHS))
