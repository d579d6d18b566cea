"""The gate lets a healthy teacher's labels through, on a small catalogue too, and stops a broken one's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_soft_labels import sample_of
from tiny_models import tiny_bert

from enrich import job, parts, tables
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance import stages
from relevance.labelling.drift import Asked, Finding, Labels, Like, Rows, Verdict, findings
from relevance.labelling.gate import FILE, DriftReport, Gate
from relevance.labelling.sample import SoftSample, write_parts
from relevance.labelling.worker import NO_DISTRIBUTION, NO_TEXT
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import Fold
from relevance.splits import Split
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.rows import TeacherRows
from relevance.teaching.training import train_teacher

LEVELS = np.arange(1, 6)
START = datetime(2024, 1, 1, tzinfo=UTC)
MEANS = {"engaged": 4.3, "shown": 3.2, "hard": 2.4, "random": 1.2}

Shares = np.ndarray
Break = Callable[[Shares], Shares]


def said(levels: Shares, sharpness: float = 1.0) -> Shares:
    """What a sound teacher says of pairs of these levels: most of the nearest level."""
    scores = -sharpness * (LEVELS - levels[:, None]) ** 2
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def as_it_is(shares: Shares) -> Shares:
    return shares


def report(broken: Break = as_it_is, queries: int = 40, per_query: int = 12, on_disk: Break = as_it_is) -> DriftReport:
    """A catalogue with so many logged queries and a quarter as many judged; `broken` is done to all answers."""
    random = np.random.default_rng(3)
    kinds = np.array([list(MEANS)[i % 4] for i in range(queries * per_query)])
    names = pl.Series([f"q{i // per_query}" for i in range(len(kinds))])
    level = np.clip(np.array([MEANS[kind] for kind in kinds]) + random.normal(0, 0.8, len(kinds)), 1, 5)
    strata = pl.Series([f"tail/{'ab'[i % 2]}/en/{kind}" for i, kind in enumerate(kinds)])
    again = broken(said(level))
    stored = Rows(names, on_disk(again))
    judged = np.clip(np.rint(random.uniform(0.6, 5.4, queries // 4 * per_query)), 1, 5).astype(np.int64)
    asked_queries = pl.Series([f"j{i // per_query}" for i in range(len(judged))])
    classes = pl.DataFrame({"language": ["en"] * len(judged), "frequency": ["tail"] * len(judged)})
    predicted = Rows(asked_queries, broken(said(judged + random.normal(0, 0.7, len(judged)))))
    like = Like(Rows(asked_queries, np.eye(5)[judged - 1]), pl.Series(["tail/a/en/shown"] * len(judged)))
    asked = Asked(predicted, judged, classes, held_out=True)
    labels = Labels(len(kinds), 0, stored, strata, (stored, again))
    return DriftReport("teacher@abc", "", list(findings(labels, asked, like)))


def blocking(found: DriftReport) -> set[str]:
    return {one.check for one in found.blocks}


def test_a_healthy_teacher_passes_every_check() -> None:
    found = report(queries=80)
    checks = {one.check for one in found.findings}
    assert checks == {"answers", "echo", "varied", "collapse", "kinds", "skill", "order", "judged", "like"}
    assert not found.blocks
    found.refuse(Path("labels"))


@given(st.permutations(range(5)).filter(lambda order: sum(abs(i - to) for i, to in enumerate(order)) >= 8))
def test_columns_shuffled_far_block(order: list[int]) -> None:
    found = report(lambda shares: shares[:, order])
    assert blocking(found), found.lines()


@pytest.mark.parametrize("lower", range(4))
def test_two_neighbouring_levels_exchanged_block(lower: int) -> None:
    order = list(range(5))
    order[lower : lower + 2] = lower + 1, lower
    found = report(lambda shares: shares[:, order], queries=80)
    assert f"levels {lower + 1} and {lower + 2}" in {one.of for one in found.blocks if one.check == "order"}


def test_columns_shuffled_on_the_way_to_disk_block() -> None:
    assert "echo" in blocking(report(on_disk=lambda shares: shares[:, [2, 0, 4, 1, 3]]))


@pytest.mark.parametrize("answer", [(0.2, 0.1, 0.2, 0.3, 0.2), (0, 0, 0, 0, 1)])
def test_a_constant_answer_blocks(answer: Sequence[float]) -> None:
    found = report(lambda shares: np.tile(np.asarray(answer, np.float64), (len(shares), 1)))
    assert "varied" in blocking(found)


def test_a_stratum_that_collapsed_onto_one_level_blocks() -> None:
    def collapsed(shares: Shares) -> Shares:
        odd = shares.copy()
        odd[shares @ LEVELS > 2.0] = [0.005, 0.005, 0.005, 0.005, 0.98]
        return odd

    assert "collapse" in blocking(report(collapsed))


@pytest.mark.parametrize("queries", range(1, 9))
def test_a_small_catalogue_is_not_judged_by_a_handful_of_queries(queries: int) -> None:
    random = np.random.default_rng(queries)
    found = report(lambda shares: random.dirichlet(np.ones(5), len(shares)), queries=queries)
    assert not found.blocks


def test_an_unlike_selection_of_judged_pairs_does_not_block() -> None:
    """Judges see hardly relevant pairs, people in the log mostly relevant ones: soft and human shares lie .4 apart."""
    found = report()
    like = [one for one in found.findings if one.check == "like"]
    assert like and all(one.verdict is not Verdict.BLOCKS for one in like)


@pytest.mark.parametrize(("lost", "verdict"), [(0, Verdict.OK), (4, Verdict.WARNS), (40, Verdict.BLOCKS)])
def test_missing_answers_warn_and_then_block(lost: int, verdict: Verdict) -> None:
    nothing = Rows(pl.Series([], dtype=pl.String), np.zeros((0, 5)))
    strata = pl.Series([], dtype=pl.String)
    labels = Labels(1_000, lost, nothing, strata, (nothing, nothing.shares))
    classes = pl.DataFrame(schema={"language": pl.String, "frequency": pl.String})
    asked = Asked(nothing, np.zeros(0, np.int64), classes, held_out=True)
    (found,) = findings(labels, asked, Like(nothing, strata))
    assert (found.check, found.verdict) == ("answers", verdict)


def test_the_refusal_says_what_was_found_and_what_to_do() -> None:
    fault = Finding("varied", "all", Verdict.BLOCKS, 0.0, 0.0, 0.0, 0.005, 700)
    found = DriftReport("teacher@abc", "", [fault])
    with pytest.raises(BadInput, match=r"varied of all: 0.000, limit 0.005, 700 pairs; .*--accept-drift") as error:
        found.refuse(Path("labels"))
    assert "\n" not in str(error.value)


@dataclass(frozen=True)
class ByNumber:
    """A teacher that reads a pin's level off its title, and counts how often it is asked."""

    asked: list[int]
    producer: str = "teacher@abc"

    def predict(self, queries: Sequence[str], pin_texts: Sequence[object]) -> Shares:
        self.asked.append(len(queries))
        return said(np.array([float(pin.title) for pin in pin_texts])).astype(np.float32)


def judge(workspace: Workspace) -> None:
    """Twelve dev queries and one to train, six pins each, of levels 1 to 5."""
    rows = [
        {
            "query": f"q{q}",
            "pin_id": f"p{p}",
            "level": p % 5 + 1,
            "votes": [3.0],
            "lang": "en",
            "event_timestamp": START,
        }
        | {"reason": None, "input_hash": "x"}
        for q in range(13)
        for p in range(6)
    ]
    typed = pl.DataFrame(rows, schema_overrides={"reason": pl.String, "event_timestamp": pl.Datetime("us", "UTC")})
    job.append(workspace, tables.JUDGMENT, typed, "test")


SPLIT = Split(frozenset({"q12"}), frozenset(f"q{q}" for q in range(12)), frozenset())


def titled(pairs: pl.DataFrame) -> pl.DataFrame:
    """A pin's title is its number's level."""
    number = pl.col("pin_id").str.slice(1).cast(pl.Int64) % 5 + 1
    return pairs.with_columns(pin_text__title=number.cast(pl.String))


def write_labels(workspace: Workspace, shares: Break, producer: str = "teacher@abc", name: str | None = None) -> None:
    """240 labels of 40 queries, a part."""
    levels = np.array([p % 5 + 1 for _ in range(40) for p in range(6)], np.float64)
    rows = pl.DataFrame(
        {
            "query": [f"s{q}" for q in range(40) for _ in range(6)],
            "pin_id": [f"p{p}" for _ in range(40) for p in range(6)],
            "probabilities": pl.Series(shares(said(levels)).tolist(), dtype=pl.List(pl.Float32)),
            "stratum": "tail/unknown/en/shown",
            **dict.fromkeys(("event_timestamp", "created_timestamp", "written_at"), START),
            "backfilled": False,
            **dict.fromkeys(("producer", "code_version", "input_hash"), producer),
        }
    )
    typed = rows.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us", "UTC")))
    parts.append(workspace.folder(tables.SOFT_LABEL), tables.SOFT_LABEL, typed.to_arrow(), name)


def sample_of_labels(workspace: Workspace, rows: int = 240) -> SoftSample:
    """A sample of so many of the pairs that were labelled."""
    pairs = parts.scan(workspace.folder(tables.SOFT_LABEL)).collect().sort("query", "pin_id").head(rows)
    return sample_of(pairs.select("query", "pin_id", "event_timestamp", "stratum", lang=pl.lit("en")), drawn(workspace))


def drawn(workspace: Workspace) -> Path:
    """Where the sample lies of the models that serve."""
    return workspace.models / "soft_pairs"


def gate(workspace: Workspace) -> Gate:
    nothing = pl.DataFrame(
        schema={"query": pl.String, "pin_id": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}
    )
    nothing = nothing.with_columns(lang=pl.lit(None, pl.String), stratum=pl.lit(None, pl.String))
    sample = sample_of(nothing, drawn(workspace))
    judged = parts.latest(workspace.folder(tables.JUDGMENT), tables.JUDGMENT)
    return Gate(workspace, SPLIT, sample, workspace.folder(tables.SOFT_LABEL), judged)


def test_the_verdict_is_kept_until_labels_change(workspace: Workspace) -> None:
    judge(workspace)
    write_labels(workspace, as_it_is)
    asked = ByNumber([])

    def verdict() -> DriftReport:
        one = gate(workspace)
        return one.report(asked.producer, lambda: asked, lambda: titled(one.judged), titled)

    first = verdict()
    assert not first.blocks
    assert {"echo", "varied", "skill", "judged"} <= {one.check for one in first.findings}
    assert (workspace.folder(tables.SOFT_LABEL) / FILE).is_file()
    assert asked.asked == [72, 120], "the dev pairs, then some of the labels again"
    assert verdict() == first and len(asked.asked) == 2
    write_labels(workspace, lambda shares: shares[:, ::-1])
    assert "echo" in {one.check for one in verdict().blocks}


def test_a_new_teachers_labels_are_looked_at_among_many_parts_of_older_ones(workspace: Workspace) -> None:
    """Ten parts and room to look at one: one of the new teacher's, whose levels are upside down."""
    judge(workspace)
    for older in range(9):
        write_labels(workspace, as_it_is, f"teacher@{older}", f"{older}-sample-00000")
    write_labels(workspace, lambda shares: shares[:, ::-1], name="abc-sample-00000")
    asked = ByNumber([])
    one = replace(gate(workspace), most_labels=240)
    found = one.report(asked.producer, lambda: asked, lambda: titled(one.judged), titled)
    assert "echo" in {fault.check for fault in found.blocks}
    assert next(check.pairs for check in found.findings if check.check == "answers") == 240


def test_an_answer_that_came_later_is_not_lost(workspace: Workspace) -> None:
    judge(workspace)
    for answer in (lambda shares: shares * np.nan, as_it_is):
        write_labels(workspace, answer)
    asked, one = ByNumber([]), gate(workspace)
    found = one.report(asked.producer, lambda: asked, lambda: titled(one.judged), titled)
    answers = next(check for check in found.findings if check.check == "answers")
    assert (answers.verdict, answers.figure, answers.pairs) == (Verdict.OK, 0.0, 240)


def taught(workspace: Workspace) -> Fold:
    """Judged pairs, and the fold of a tiny teacher."""
    judge(workspace)
    rows = TeacherRows(["table", "rug"] * 8, ["table"] * 16, np.array([5, 1] * 8))
    chosen = TeacherSettings(backbone=str(tiny_bert(workspace.root / "backbone")), epochs=1, hidden=(8,))
    fold = Fold("serving", workspace.models, SPLIT)
    stages.make(fold.folder / "teacher", "f", lambda out: train_teacher(rows, rows, chosen, out))
    return fold


def labelled_by(workspace: Workspace, fold: Fold, shares: Break, **columns: pl.Expr) -> None:
    """The fold's teacher said these; `columns` are put in their place."""
    write_labels(workspace, shares)
    folder = workspace.folder(tables.SOFT_LABEL)
    producer = pl.lit(Teacher.load(fold.folder / "teacher").producer)
    labels = parts.scan(folder).collect().with_columns(producer=producer, **columns)
    parts.replace(folder, tables.SOFT_LABEL, labels.to_arrow())
    sample_of_labels(workspace)


def test_faulty_labels_do_not_reach_the_student_unless_accepted(workspace: Workspace) -> None:
    fold = taught(workspace)
    labelled_by(workspace, fold, lambda shares: np.full_like(shares, 0.2))
    settings = RunSettings()
    with pytest.raises(BadInput, match="varied of all"):
        Pipeline(workspace, settings).soft_pairs(fold)
    accepted = Pipeline(workspace, replace(settings, accept_drift=True)).soft_pairs(fold)
    assert accepted.rows == 240


@pytest.mark.parametrize("reason", [NO_DISTRIBUTION, NO_TEXT])
def test_a_teacher_none_of_whose_answers_is_a_distribution_is_refused(workspace: Workspace, reason: str) -> None:
    """Without a text nobody was asked, and there is nothing to refuse."""
    fold = taught(workspace)
    nothing = pl.lit(None, pl.List(pl.Float32))
    labelled_by(workspace, fold, as_it_is, probabilities=nothing, reason=pl.lit(reason))
    pipeline = Pipeline(workspace, RunSettings())
    if reason == NO_TEXT:
        assert not pipeline.was_asked(fold) and not pipeline.soft_pairs(fold).rows
        return
    assert pipeline.was_asked(fold)
    with pytest.raises(BadInput, match=r"answers of all: 1.000, limit 0.01, 240 pairs"):
        pipeline.soft_pairs(fold)
    assert not Pipeline(workspace, RunSettings(accept_drift=True)).soft_pairs(fold).rows


def test_where_all_is_judged_there_is_nothing_to_learn_from_a_teacher(workspace: Workspace) -> None:
    """Not to be told from a teacher that was never asked, but by the sample that was drawn."""
    fold = taught(workspace)
    pipeline = Pipeline(workspace, RunSettings())
    with pytest.raises(BadInput, match="run `relevance label`"):
        pipeline.soft_pairs(fold)
    stages.make(fold.folder / "soft_pairs", "f", lambda out: write_parts([], out))
    assert not pipeline.soft_pairs(fold).rows
    assert not pipeline.was_asked(fold)


def test_a_sample_none_of_which_is_labelled_yet_teaches_nothing(workspace: Workspace) -> None:
    """Though an earlier one was labelled."""
    fold = taught(workspace)
    labelled_by(workspace, fold, as_it_is)
    other = pl.scan_parquet(drawn(workspace) / "part-*.parquet").collect().with_columns(query=pl.lit("q12"))
    sample_of(other, drawn(workspace))
    with pytest.raises(BadInput, match=r"for the sample in .*soft_pairs, found none; run `relevance label`"):
        Pipeline(workspace, RunSettings()).soft_pairs(fold)
