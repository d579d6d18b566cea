"""`relevance experiment stability`: whom the teacher favours, how steady it is, and what of that reaches the student.

Steadiness is the share of the tested pairs whose level changes: with another seed of training, with the query
misspelled or its words in another order, one with an s more or less (which is no paraphrase); for the student apart,
with another teacher (its own seed the same) and with another seed of its own (its labels the same). Bias is the mean
level said less people's, on tested pairs of a segment; beside it stands what the teacher says of pairs that nobody
judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np
import polars as pl

from relevance import intervals
from relevance.drawings.rows import estimates
from relevance.experiments.arms import Arm, Gathered, Scored
from relevance.experiments.bias_segments import SEGMENTS, segmented
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.perturbations import QUERY, Damage, Perturbation, changed, damaged
from relevance.experiments.records import Drawing, Found, Table, Value
from relevance.experiments.site import STUDENT_ARM, TEACHER_ARM, Experiment, Fields, Site, Wanted, runs
from relevance.intervals import BootstrapSettings, Estimate
from relevance.judging.figures import Versus
from relevance.metrics import Floats, most_probable

_OTHER_TEACHER, _OTHER_SEED = "student, other teachers", "student, other seeds"
_SPELLINGS = ((Damage.MISSPELLED, 0.5), (Damage.REWORDED, 1.0))
_CALLED = {Damage.MISSPELLED: "misspelled", Damage.REWORDED: "turned round, an s more or less"}
_SEEDS = 3
_LEAST_PAIRS = 30  # of a segment that is shown


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    each = runs(scale)
    backbone = wanted.backbones[0] if wanted.backbones else ""
    asked = each * (3.0 * scale.test_pairs + scale.soft_pairs)
    return Demand(
        {backbone: float(each)}, {backbone: asked}, 3 * each * (2.0 * scale.train_pairs + scale.soft_pairs), seconds=20
    )


def run(site: Site) -> Found:
    made = _Made(site)
    arms = [
        Arm(TEACHER_ARM, made.teacher, essential=True),
        Arm(STUDENT_ARM, made.student, essential=True),
        *(
            Arm(_spelled(m, d), partial(made.spelled, m, d, s))
            for d, s in _SPELLINGS
            for m in (TEACHER_ARM, STUDENT_ARM)
        ),
    ]
    if site.scale.seeds > 1:
        arms += [Arm(_OTHER_TEACHER, made.other_teacher), Arm(_OTHER_SEED, made.other_seed)]
    gathered = site.gather(arms)
    figures = Figures(gathered.answers)
    versus = [Versus(_spelled(m, d), m) for m in (TEACHER_ARM, STUDENT_ARM) for d, _ in _SPELLINGS]
    changes = _changes(gathered, _asked_otherwise(site))
    shown = [(name, share) for name, _, share, _ in changes]
    drawings = [
        Drawing(
            "How many levels change",
            estimates("Share of pairs whose level changes", shown),
            "Share of the tested pairs whose most probable level changes, with 95 % intervals over queries.",
            True,
        )
    ]
    bias, bias_drawing = _bias(site, gathered)
    said = _said(site)
    notes = []
    if site.scale.seeds < 2:
        notes.append("One seed: what training itself changes cannot be shown; --seeds 3 does.")
    if said is None:
        notes.append("There were no pairs for the teacher to label: what it says beyond the judgments cannot be shown.")
    steadiness = Table(
        "Steadiness",
        "Share of the tested pairs whose level changes, and how far the expected level moves, on average over pairs, "
        "also those whose query no damage changed.",
        ("what changed", "pairs asked otherwise", "levels that change", "levels, mean distance"),
        tuple(changes),
    )
    tables = tuple(one for one in (steadiness, bias, said) if one is not None)
    return Found(
        figures.arms(), figures.compare(versus), tables, (*drawings, *bias_drawing), tuple(notes), gathered.left_out
    )


def _spelled(model: str, damage: Damage) -> str:
    return f"{model}, queries {_CALLED[damage]}"


class _Made:
    def __init__(self, site: Site) -> None:
        self._site = site

    def teacher(self, ground: Ground, seed: int) -> Scored:
        return self._site.bench.answered(self._site.teacher(ground, seed), ground.test)

    def student(self, ground: Ground, seed: int) -> Scored:
        return self._student(ground, seed, seed)

    def other_teacher(self, ground: Ground, seed: int) -> Scored:
        return self._student(ground, seed, self._site.seeds[0])

    def other_seed(self, ground: Ground, seed: int) -> Scored:
        return self._student(ground, self._site.seeds[0], seed)

    def _student(self, ground: Ground, teacher_seed: int, seed: int) -> Scored:
        site = self._site
        return site.bench.answered(site.student(ground, seed, site.teacher(ground, teacher_seed)), ground.test)

    def spelled(self, model: str, damage: Damage, strength: float, ground: Ground, seed: int) -> Scored:
        site = self._site
        teacher = site.teacher(ground, seed)
        asked = teacher if model == TEACHER_ARM else site.student(ground, seed, teacher)
        return site.bench.answered(
            asked, damaged(ground.test, (QUERY,), Perturbation(damage, strength, site.wanted.seed))
        )


def _asked_otherwise(site: Site) -> dict[Damage, float]:
    """Share of the tested pairs whose query each damage changes."""
    test = pl.concat([ground.test for ground in site.grounds])
    made = {d: damaged(test, (QUERY,), Perturbation(d, strength, site.wanted.seed)) for d, strength in _SPELLINGS}
    return {damage: changed(test, other, (QUERY,)) for damage, other in made.items()}


def _changes(gathered: Gathered, otherwise: dict[Damage, float]) -> list[tuple[str, str, Estimate, Estimate]]:
    """What changed, of how many pairs the query, the share of levels that did, the mean distance of expected levels."""
    found = []
    for name, arm in (
        ("teacher: another seed", TEACHER_ARM),
        ("student: all of it trained again", STUDENT_ARM),
        ("student: another teacher, its own seed the same", _OTHER_TEACHER),
        ("student: another seed, its labels the same", _OTHER_SEED),
    ):
        frames = gathered.answers.get(arm, [])
        if len(frames) > 1:
            found.append((name, "–", *_distance(list(combinations(frames, 2)))))
    for model in (TEACHER_ARM, STUDENT_ARM):
        for damage, _ in _SPELLINGS:
            pairs = list(zip(gathered.answers.get(_spelled(model, damage), []), gathered.answers[model], strict=False))
            if pairs:
                found.append((f"{model}: query {_CALLED[damage]}", f"{otherwise[damage]:.0%}", *_distance(pairs)))
    return found


def _distance(pairs: Sequence[tuple[pl.DataFrame, pl.DataFrame]]) -> tuple[Estimate, Estimate]:
    """Over two answers each about the same pairs."""
    levels, expected = list[Floats](), list[Floats]()
    for a, b in pairs:
        first, second = (most_probable(_probabilities(one)) for one in (a, b))
        levels.append((first != second).astype(np.float64))
        expected.append(np.abs((a["score"] - b["score"]).to_numpy()))
    frame = pairs[0][0]
    return _mean(frame, np.mean(levels, axis=0)), _mean(frame, np.mean(expected, axis=0))


def _probabilities(frame: pl.DataFrame) -> Floats:
    found: Floats = frame["probabilities"].list.to_array(5).to_numpy()
    return found


def _mean(frame: pl.DataFrame, values: Floats) -> Estimate:
    """Of values by row, with its interval over queries."""
    queries = frame["query"].unique().sort()
    place = {query: i for i, query in enumerate(queries)}
    query = np.array([place[one] for one in frame["query"]], np.int64)
    settings = BootstrapSettings()
    draws = intervals.draw_queries(len(queries), settings)
    return intervals.estimate(intervals.mean(query, values, len(queries)), draws, settings.confidence)


def _bias(site: Site, gathered: Gathered) -> tuple[Table, list[Drawing]]:
    """Mean level said less people's, by segment of the tested pairs."""
    test = pl.concat([ground.test for ground in site.grounds])
    rows: list[tuple[Value, ...]] = []
    shown: list[tuple[str, Estimate]] = []
    by_segment = segmented(test, site)
    for segment in SEGMENTS:
        if segment not in by_segment.columns:
            continue
        for value, inside in _values(by_segment[segment]):
            told: list[Value] = []
            for model in (TEACHER_ARM, STUDENT_ARM):
                frame = gathered.answers[model][0].filter(inside)
                mean = np.mean([one.filter(inside)["score"].to_numpy() for one in gathered.answers[model]], axis=0)
                told.append(_mean(frame, mean - frame["level"].to_numpy()))
            people = float(test.filter(inside)["level"].mean() or 0)  # type: ignore[arg-type]  # a mean of numbers
            rows.append((f"{segment}: {value}", int(inside.sum()), round(people, 2), *told))
            if isinstance(told[0], Estimate):
                shown.append((f"{segment}: {value}", told[0]))
    said = "Mean expected level less people's mean level, in levels, on tested pairs; above 0 the model is too kind."
    table = Table("Bias by segment", said, ("segment", "pairs", "people's mean", "teacher", "student"), tuple(rows))
    svg = estimates("The teacher's bias by segment", shown, zero=True) if shown else None
    return table, [Drawing("The teacher's bias, in levels", svg, said, True)] if svg else []


def _said(site: Site) -> Table | None:
    """What the teacher says of pairs that nobody judged, by segment."""
    frames = []
    for ground in site.grounds:
        labelled = site.soft_labels(ground, site.teacher(ground, site.seeds[0]))
        if labelled.height:
            frames.append(labelled)
    if not frames:
        return None
    labelled = pl.concat(frames)
    top = most_probable(_probabilities(labelled))
    by_segment = segmented(labelled, site)
    rows: list[tuple[Value, ...]] = []
    for segment in SEGMENTS:
        if segment not in by_segment.columns:
            continue
        for value, inside in _values(by_segment[segment]):
            chosen = top[inside.to_numpy()]
            shares = [f"{float((chosen == level).mean()):.0%}" for level in range(1, 6)]
            mean = _mean(labelled.filter(inside), chosen.astype(np.float64))
            rows.append((f"{segment}: {value}", len(chosen), *shares, mean))
    columns = ("segment", "pairs", *(f"level {level}" for level in range(1, 6)), "mean level")
    return Table(
        "What the teacher says of unjudged pairs",
        "Shares of its most probable levels; their mean with its interval over queries.",
        columns,
        tuple(rows),
    )


def _values(column: pl.Series) -> list[tuple[str, pl.Series]]:
    """The segment's values with enough pairs, most first, and which rows they are."""
    counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    names = [name for name, count in counts.iter_rows() if count >= _LEAST_PAIRS]
    return [(name, column.eq_missing(name)) for name in names[:_MOST_VALUES]]


_MOST_VALUES = 8  # of a segment, the largest


STABILITY = Experiment(demand, run, seeds=_SEEDS, precious="seeds")
