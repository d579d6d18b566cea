"""`relevance experiment latency`: what accuracy a millisecond buys, over student sizes and teachers.

Every arm's accuracy on held-out pairs is set against the time of one request about a hundred pins (all, where fewer
are judged), on one thread pool of this machine: students S, M, L from packed payloads on, teachers of each backbone
from texts on, each also reading at most 80 tokens. Reading the online store comes on top, the same for all. The front
joins those that none betters at its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import polars as pl

from relevance.drawings.front import Dot, front, on_front
from relevance.experiments import students
from relevance.experiments.arms import Arm, Model, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.records import ArmFigures, Drawing, Found, Table, Value
from relevance.experiments.site import Experiment, Fields, Site, Wanted, runs
from relevance.experiments.timing import Requests, Times, timed
from relevance.judging.figures import Measure, Versus
from relevance.learning.network import Size
from relevance.teacher import Teacher
from relevance.text import pin_texts_from_frame

_REQUEST = 100  # pins, at most
_SHORT = 80  # tokens of a teacher that reads less
_STUDENT_ROUNDS, _TEACHER_ROUNDS = 400, 50  # requests of each, at most
_SHARE = 0.06  # of the minutes that timing either may take


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    kinds = ("", *wanted.backbones)
    each = runs(scale)
    both = 2.0 if scale.groups > 1 else 1.0  # with those that read less
    asked = dict.fromkeys(kinds, both * each * scale.test_pairs)
    asked[""] += each * scale.soft_pairs
    students_rows = len(Size) * each * (2.0 * scale.train_pairs + scale.soft_pairs)
    return Demand(
        dict.fromkeys(kinds, both * each), asked, students_rows, seconds=40 + 2 * _SHARE * 60 * wanted.minutes
    )


def run(site: Site) -> Found:
    arms = _Arms(site)
    gathered = site.gather(arms.all())
    figures = Figures(gathered.answers)
    site.bench.clock.essential = True  # what was trained is timed
    times = arms.times(list(gathered.answers))
    numbers = {
        arm: {"p50_ms": one.p50, "p99_ms": one.p99, "requests": float(one.requests)} for arm, one in times.items()
    }
    found = figures.arms(numbers)
    names = list(gathered.answers)
    best = names[0]
    comparisons = figures.compare([Versus(best, name) for name in names[1:]])
    notes = [
        "Times are of this machine as it was; p99 is of the requests that the table counts: "
        "of a few dozen it is about the slowest.",
    ]
    if len(site.wanted.backbones) == 0:
        notes.append("Only the installed backbone was compared; --backbone names others.")
    pins = arms.asked.height
    drawings = tuple(_drawing(found, measure, pins) for measure in (Measure.ACCURACY, Measure.NDCG))
    return Found(found, comparisons, (_table(found, times, pins),), drawings, tuple(notes), gathered.left_out)


class _Arms:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._models: dict[str, Callable[[Ground, int], Model]] = {}

    def all(self) -> list[Arm]:
        for backbone in ("", *self._site.wanted.backbones):
            self._models[self._named(backbone)] = partial(self._teacher, backbone, None)
        for size in (Size.M, Size.S, Size.L):
            self._models[f"student {size}"] = partial(self._student, size)
        for backbone in ("", *self._site.wanted.backbones) if self._site.scale.groups > 1 else ():
            self._models[f"{self._named(backbone)}, {_SHORT} tokens"] = partial(self._teacher, backbone, _SHORT)
        essential = {self._named(""), f"student {Size.M}"}
        return [Arm(name, partial(self._answer, name), essential=name in essential) for name in self._models]

    def _named(self, backbone: str) -> str:
        return f"teacher {self._site.wanted.label(backbone)}"

    def _answer(self, name: str, ground: Ground, seed: int) -> Scored:
        return self._site.bench.answered(self._models[name](ground, seed), ground.test)

    def _teacher(self, backbone: str, tokens: int | None, ground: Ground, seed: int) -> Model:
        settings = self._site.bench.teacher_settings
        if backbone:
            settings = settings.on(backbone)
        if tokens is not None:
            settings = replace(settings, text=replace(settings.text, max_tokens=tokens))
        return self._site.teacher(ground, seed, settings=settings)

    def _student(self, size: Size, ground: Ground, seed: int) -> Model:
        bench = self._site.bench
        network = replace(bench.student_settings.network, size=size)
        settings = replace(bench.student_settings, seed=seed, network=network)
        soft = self._site.soft_labels(ground, self._site.teacher(ground, seed))
        return bench.student(ground.train, ground.dev, soft if soft.height else None, settings)

    def times(self, names: list[str]) -> dict[str, Times]:
        """Of the first fold's and seed's models, teachers and students each in turn."""
        site = self._site
        ground, seed = site.grounds[0], site.seeds[0]
        models = {name: self._models[name](ground, seed) for name in names}
        found: dict[str, Times] = {}
        for kind, rounds, request in (
            ("student", _STUDENT_ROUNDS, self._student_request),
            ("teacher", _TEACHER_ROUNDS, self._teacher_request),
        ):
            chosen = {name: model for name, model in models.items() if name.startswith(kind)}
            of = (*((name, model.made_from) for name, model in chosen.items()), self.asked.select("query", "pin_id"))
            requests = partial(self._requests, chosen, request)
            found |= timed(site.bench.room, of, requests, rounds, _SHARE * 60 * site.wanted.minutes)
        return found

    @cached_property
    def asked(self) -> pl.DataFrame:
        """The request's rows: pins of the first fold's tested pairs, each once, for the query of the first."""
        pins = self._site.grounds[0].test.unique("pin_id", keep="first", maintain_order=True).head(_REQUEST)
        return pins.with_columns(query=pl.lit(pins["query"][0]))

    def _requests(self, models: Mapping[str, Model], request: Callable[[Path], Callable[[], object]]) -> Requests:
        return {name: request(self._site.bench.trained(model)) for name, model in models.items()}

    def _student_request(self, folder: Path) -> Callable[[], object]:
        return students.request(folder, self.asked, self._site.encoder)

    def _teacher_request(self, folder: Path) -> Callable[[], object]:
        teacher: list[Teacher] = []
        queries, pins = self.asked["query"].to_list(), pin_texts_from_frame(self.asked)

        def answer() -> object:
            if not teacher:  # loaded by the first request, which does not count
                teacher.append(Teacher.load(folder))
            return teacher[0].predict(queries, pins)

        return answer


def _dots(found: tuple[ArmFigures, ...], measure: Measure) -> list[Dot]:
    return [
        Dot(one.arm, one.numbers["p99_ms"], one.estimate(measure), 0 if one.arm.startswith("teacher") else 1)
        for one in found
        if "p99_ms" in one.numbers
    ]


def _drawing(found: tuple[ArmFigures, ...], measure: Measure, pins: int) -> Drawing:
    svg = front(
        f"{measure} against p99", f"p99 of a request of {pins} pins, ms (log)", measure.value, _dots(found, measure)
    )
    said = "Circles are teachers, squares students; the dotted line joins those that none betters at its cost."
    return Drawing(f"{measure.heading} against time", svg, said)


def _table(found: tuple[ArmFigures, ...], times: dict[str, Times], pins: int) -> Table:
    best = {dot.name for dot in on_front(_dots(found, Measure.ACCURACY))}
    rows: list[tuple[Value, ...]] = [
        (
            one.arm,
            round(times[one.arm].p50, 2),
            round(times[one.arm].p99, 2),
            times[one.arm].requests,
            round(1000 * pins / times[one.arm].p50),
            one.estimate(Measure.ACCURACY),
            one.estimate(Measure.NDCG),
            "yes" if one.arm in best else "",
        )
        for one in found
        if one.arm in times
    ]
    columns = ("arm", "p50 ms", "p99 ms", "requests", "pins a second", "accuracy", "nDCG@20", "on the front")
    return Table(
        "Time and worth", f"A request is about {pins} pins; the front is of accuracy and p99.", columns, tuple(rows)
    )


LATENCY = Experiment(demand, run, groups=2, compares_backbones=True)
