"""`relevance experiment ablation`: what each text field is worth, and what it costs.

    teacher                      reads all fields
    teacher, F not given         the same one, asked about pins that lack F: what losing F in production costs
    teacher without F            retrained without F: what F adds
    teacher A + B                retrained on the first fields alone, added in the order in which they are read
    student, …                   all of these of the student, whose soft labels are the whole teacher's in every arm

A field that a student lacks is gone from its matching features, its payload and its text vector, which is made anew;
the graph vector stays. `--fields boards,queries` makes the arms of these fields alone and adds nothing one by one.
Gains are set against what the field costs: tokens and time of the teacher, payload bytes of the student.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from functools import partial
from math import isnan
from typing import Protocol

import polars as pl

from enrich.errors import BadInput
from relevance.drawings.rows import differences, estimates
from relevance.experiments.arms import Arm, Kind, Model, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.fields import (
    ALL_FIELDS,
    FieldCost,
    costs,
    present,
    renderer_of,
    vectors_of,
    without_fields,
)
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.records import ArmFigures, Compared, Drawing, Found, Table, Value
from relevance.experiments.remembered import remembered
from relevance.experiments.site import STUDENT_ARM, TEACHER_ARM, Experiment, Fields, Site, Wanted, runs
from relevance.experiments.timing import Requests, Times, timed
from relevance.intervals import Estimate
from relevance.judging.figures import Measure, Versus
from relevance.teacher import Teacher
from relevance.teaching.field_dropout import without
from relevance.text import pin_texts_from_frame
from relevance.text_fields import Field

_CONTENT_FIELDS = 4
_STUDENTS, _ADDED = 2, 3  # groups of arms after the teachers that lack a field
_REQUEST, _ROUNDS = 100, 9  # pins of a timed request, and how often it is timed, at most
_SHARE = 0.08  # of the minutes that timing may take
_LEAST_MS, _LEAST_BYTES = 0.5, 1.0  # of a field's cost that a gain is set against


def demand(scale: Scale, wanted: Wanted, fields: Fields) -> Demand:
    """The last one added is a `without` too, made once."""
    chosen, each = len(fields), runs(scale)
    learning = scale.groups >= _STUDENTS
    one_by_one = 0 if wanted.fields or scale.groups < _ADDED else max(0, chosen - 2)
    teachers = 1 + chosen + one_by_one
    asks = (1 + 2 * chosen + one_by_one) * scale.test_pairs + scale.soft_pairs * learning
    students = (1 + chosen + one_by_one) * (2 * scale.train_pairs + scale.soft_pairs) * learning
    backbone = wanted.backbones[0] if wanted.backbones else ""
    texts = (_CONTENT_FIELDS + one_by_one) * 0.4 * (scale.train_pairs + scale.folds * scale.test_pairs) * learning
    asked = {backbone: float(each * asks)}
    timing = _SHARE * 60 * wanted.minutes
    return Demand({backbone: float(teachers * each)}, asked, float(students * each), texts, seconds=20 + timing)


def run(site: Site) -> Found:
    fields = _fields(site)
    arms = _Arms(site)
    one_by_one = not site.wanted.fields and site.scale.groups >= _ADDED
    gathered = site.gather(arms.all(fields, one_by_one))
    figures = Figures(gathered.answers)
    found = figures.arms()
    comparisons = figures.compare(_versus(fields, one_by_one))
    paid, spent = _costs(site, arms, fields)
    drawings = [
        _drawing(comparisons, fields, TEACHER_ARM),
        _drawing(comparisons, fields, STUDENT_ARM),
        *([_added(found, fields, model) for model in (TEACHER_ARM, STUDENT_ARM)] if one_by_one else []),
    ]
    notes = [
        f"No pin has {field}: nothing to take out." for field in site.wanted.fields or ALL_FIELDS if field not in fields
    ]
    if site.scale.groups < _STUDENTS:
        notes.append("There was no time for students, nor for adding fields one by one.")
    elif site.scale.groups < _ADDED and not site.wanted.fields:
        notes.append("There was no time for adding fields one by one.")
    if site.scale.groups >= _STUDENTS and not any(
        site.bench.soft(g, site.scale.soft_pairs).height for g in site.grounds
    ):
        notes.append("There were no pairs for the teacher to label: the students learned from people's labels alone.")
    table = _table(comparisons, fields, paid, spent)
    return Found(found, comparisons, (table,), tuple(filter(None, drawings)), tuple(notes), gathered.left_out)


def _fields(site: Site) -> list[Field]:
    """Those asked for that some pin has. Raises BadInput where there is none."""
    wanted = site.wanted.fields or ALL_FIELDS
    there = present(site.judged, wanted)
    if not there:
        raise BadInput(f"expected judged pins that have {' or '.join(wanted)}, found none; name other --fields")
    return there


def not_given(model: str, field: Field) -> str:
    return f"{model}, {field} not given"


def without_it(model: str, field: Field) -> str:
    return f"{model} without {field}"


def _one_by_one(fields: Sequence[Field], model: str) -> list[tuple[str, tuple[Field, ...]]]:
    """Fields added one by one up to the last but one: each arm's name, and what it does not read."""
    return [(f"{model} {' + '.join(fields[:count])}", tuple(fields[count:])) for count in range(1, len(fields))]


class _Made(Protocol):
    def __call__(self, ground: Ground, seed: int, left_out: Collection[Field] = ()) -> Model: ...


class _Arms:
    """The arms' models and answers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._vectors = vectors_of(site.encoder)

    def all(self, fields: Sequence[Field], one_by_one: bool) -> list[Arm]:
        """The most telling ones first."""
        teachers = [Arm(not_given(TEACHER_ARM, f), partial(self._dropped, self.teacher, (f,))) for f in fields]
        teachers += [Arm(without_it(TEACHER_ARM, f), partial(self._retrained, self.teacher, (f,))) for f in fields]
        students = [Arm(STUDENT_ARM, partial(self._dropped, self.student, ()))]
        students += [Arm(not_given(STUDENT_ARM, f), partial(self._dropped, self.student, (f,))) for f in fields]
        students += [Arm(without_it(STUDENT_ARM, f), partial(self._retrained, self.student, (f,))) for f in fields]
        added = [
            Arm(name, partial(self._retrained, made, left_out))
            for model, made in ((TEACHER_ARM, self.teacher), (STUDENT_ARM, self.student))
            for name, left_out in _one_by_one(fields, model)
        ]
        whole = Arm(TEACHER_ARM, partial(self._dropped, self.teacher, ()), essential=True)
        students = students if self._site.scale.groups >= _STUDENTS else []
        return [whole, *teachers, *students, *(added if one_by_one else [])]

    def teacher(self, ground: Ground, seed: int, left_out: Collection[Field] = ()) -> Model:
        return self._site.teacher(ground, seed, partial(without_fields, fields=left_out, vectors=None))

    def student(self, ground: Ground, seed: int, left_out: Collection[Field] = ()) -> Model:
        teacher = self.teacher(ground, seed)
        return self._site.student(
            ground, seed, teacher, partial(without_fields, fields=left_out, vectors=self._vectors)
        )

    def _dropped(self, made: _Made, left_out: Collection[Field], ground: Ground, seed: int) -> Scored:
        return self._answered(made(ground, seed), left_out, ground)

    def _retrained(self, made: _Made, left_out: Collection[Field], ground: Ground, seed: int) -> Scored:
        return self._answered(made(ground, seed, left_out), left_out, ground)

    def _answered(self, model: Model, left_out: Collection[Field], ground: Ground) -> Scored:
        """A teacher reads no vector: none is made anew for it."""
        vectors = self._vectors if model.kind is Kind.STUDENT else None
        return self._site.bench.answered(model, without_fields(ground.test, left_out, vectors))


def _versus(fields: Sequence[Field], one_by_one: bool) -> list[Versus]:
    """The whole model against each that lacks a field; each field that is added against what was there before."""
    lacking = [
        Versus(model, name(model, field))
        for model in (TEACHER_ARM, STUDENT_ARM)
        for name in (without_it, not_given)
        for field in fields
    ]
    added = [
        Versus(more, less)
        for model in (TEACHER_ARM, STUDENT_ARM)
        for less, more in itertools.pairwise([*(name for name, _ in _one_by_one(fields, model)), model])
    ]
    return [*lacking, *(added if one_by_one else [])]


def _costs(site: Site, arms: _Arms, fields: Sequence[Field]) -> tuple[dict[Field, FieldCost], dict[str, Times]]:
    """Each field's tokens and bytes, and the teacher's times with and without it, on the first fold's test pairs."""
    ground = site.grounds[0]
    model = arms.teacher(ground, site.seeds[0])
    site.bench.clock.essential = True
    some = ground.test.head(_REQUEST)

    def teacher() -> Teacher:
        return site.bench.load(site.bench.trained(model))

    def paid() -> dict[str, FieldCost]:
        renderer = renderer_of(model.folder, teacher().record.settings.text)
        return {str(field): cost for field, cost in costs(ground.test, fields, renderer).items()}

    def requests() -> Requests:
        left_out: list[tuple[Field, ...]] = [(), *((field,) for field in fields)]
        return {"".join(fields): partial(_ask, teacher(), some, fields) for fields in left_out}

    of = ("ablation", model.made_from, fields)
    told = remembered(site.bench.room, "costs", (*of, ground.test), paid)
    times = timed(site.bench.room, (*of, some), requests, _ROUNDS, _SHARE * 60 * site.wanted.minutes)
    return {field: FieldCost(*told[field]) for field in fields}, times


def _ask(teacher: Teacher, rows: pl.DataFrame, left_out: Collection[Field]) -> object:
    pins = [without(pin, left_out) for pin in pin_texts_from_frame(rows)]
    return teacher.predict(rows["query"].to_list(), pins)


def _table(
    comparisons: Sequence[Compared], fields: Sequence[Field], paid: dict[Field, FieldCost], spent: dict[str, Times]
) -> Table:
    gains = {(one.arm, one.rival): one for one in comparisons if one.measure is Measure.ACCURACY}
    rows: list[tuple[Value, ...]] = []
    for field in fields:
        teacher, student = (gains.get((m, without_it(m, field))) for m in (TEACHER_ARM, STUDENT_ARM))
        milliseconds = spent[""].p50 - spent[field].p50
        rows.append(
            (
                str(field),
                f"{paid[field].coverage:.0%}",
                round(paid[field].tokens, 1),
                round(milliseconds, 1),
                teacher.difference if teacher else None,
                _share(teacher, milliseconds, _LEAST_MS),
                round(paid[field].payload_bytes),
                student.difference if student else None,
                _share(student, paid[field].payload_bytes / 100, _LEAST_BYTES / 100),
            )
        )
    return Table(
        "What each field adds, and costs",
        f"Accuracy with the field less accuracy of a model retrained without it; milliseconds are of a request of "
        f"{_REQUEST} pins (median of a few), bytes of a pin's payload in the online store. Points of accuracy "
        "a millisecond and a hundred bytes, with the gain's interval, are given where the field costs half a "
        "millisecond and a byte or more; of the cost's own error they know nothing.",
        (
            *("field", "pins that have it", "tokens", "teacher's ms", "teacher's gain", "points a ms"),
            *("payload bytes", "student's gain", "points a 100 bytes"),
        ),
        tuple(rows),
    )


def _share(gain: Compared | None, cost: float, least: float) -> Value:
    """Points of accuracy a unit of the cost, with the gain's interval; nothing where it costs less than `least`."""
    if gain is None or isnan(gain.difference.value) or cost < least:
        return None
    value, low, high, *_ = gain.difference
    points = 100 / cost
    return Estimate(value * points, low * points, high * points)


def _drawing(comparisons: Sequence[Compared], fields: Sequence[Field], model: str) -> Drawing | None:
    told = {(one.arm, one.rival): one.difference for one in comparisons if one.measure is Measure.ACCURACY}
    rows = [
        (said, told[model, name(model, field)])
        for field in fields
        for name, said in ((without_it, f"{field}, retrained"), (not_given, f"{field}, not given"))
        if (model, name(model, field)) in told
    ]
    if not rows:
        return None
    said = "Accuracy of the whole model less that of the one that lacks the field, with 95 % intervals."
    return Drawing(f"What the {model} loses with a field", differences(f"Fields of the {model}", rows), said, True)


def _added(found: Sequence[ArmFigures], fields: Sequence[Field], model: str) -> Drawing | None:
    arms = {one.arm: one for one in found}
    names = [*(name for name, _ in _one_by_one(fields, model)), model]
    rows = [
        (fields[0] if place == 0 else f"+ {fields[place]}", arms[name].estimate(Measure.ACCURACY))
        for place, name in enumerate(names)
        if name in arms
    ]
    if len(rows) < 2:
        return None
    return Drawing(
        f"Fields added one by one to the {model}",
        estimates(f"Accuracy of the {model} as fields are added", rows),
        f"Accuracy of the {model}.",
        True,
    )


ABLATION = Experiment(demand, run, groups=_ADDED)
