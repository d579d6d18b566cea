"""Soft pairs follow the stated design; the teacher is asked about each once, through kills and later runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_bert

from enrich import job, parts, tables
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.candidates import CandidateIndex
from relevance.rows import TeacherRows
from relevance.soft_labels import NO_TEXT, LabelSettings, label
from relevance.soft_pairs import Queries, SampleSettings, root_quotas, sample_pairs
from relevance.teacher import Teacher
from relevance.teacher_checkpoint import TeacherSettings
from relevance.teacher_training import train_teacher
from relevance.text import PinText

START = datetime(2024, 1, 1, tzinfo=UTC)
THINGS = ("table", "chair", "lamp", "rug")
PINS = {f"p{i:03}": f"oak {THINGS[i % 4]}" for i in range(120)}
NOBODY = Queries(frozenset(), frozenset())


def fill(workspace: Workspace, log: list[tuple[str, str, str]], judged: list[tuple[str, str]] = []) -> None:  # noqa: B006
    """A catalogue of PINS, a log of (query, pin, event), a minute apart, and judged pairs of level 3."""
    put(workspace, tables.PINS, [{"pin_id": pin, "title": text, "created_at": START} for pin, text in PINS.items()])
    put(
        workspace,
        tables.ENGAGEMENTS,
        [
            {"query": query, "pin_id": pin, "event": event, "lang": "en", "event_timestamp": START + i * MINUTE}
            for i, (query, pin, event) in enumerate(log)
        ],
    )
    rows = [
        {"query": query, "pin_id": pin, "level": 3, "votes": [3], "lang": "de", "event_timestamp": START}
        | {"reason": None, "input_hash": "x"}
        for query, pin in judged
    ]
    if rows:
        typed = pl.DataFrame(rows, schema_overrides={"reason": pl.String, "event_timestamp": pl.Datetime("us", "UTC")})
        job.append(workspace, tables.JUDGMENT, typed, "test")


MINUTE = timedelta(minutes=1)


def put(workspace: Workspace, table: tables.Table, rows: list[dict[str, object]]) -> None:
    if rows:
        typed = pl.DataFrame(rows).with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us", "UTC")))
        parts.append(workspace.folder(table), table, typed.to_arrow())


def index() -> CandidateIndex:
    return CandidateIndex.build(list(PINS), list(PINS.values()), np.zeros((len(PINS), 2), np.float32))


def embed(queries: list[str]) -> np.ndarray:
    return np.zeros((len(queries), 2), np.float32)


def sample(workspace: Workspace, queries: Queries = NOBODY, **settings: float) -> pl.DataFrame:
    return sample_pairs(workspace, queries, index(), embed, SampleSettings(**settings))


def big_log() -> list[tuple[str, str, str]]:
    """Forty queries; the first is asked most; every third pair is clicked after it was shown."""
    shown = [(f"{THINGS[i % 4]} {i}", f"p{(i * 7 + j) % 120:03}") for i in range(40) for j in range(80 // (i + 1) + 1)]
    return [
        (query, pin, event)
        for place, (query, pin) in enumerate(shown)
        for event in (("impression", "click") if place % 3 == 0 else ("impression",))
    ]


def test_a_sample_holds_no_judged_pair_no_held_out_query_and_none_twice(workspace: Workspace) -> None:
    judged = [("table 0", "p000"), ("table 0", "p001"), ("lamp 2", "p014")]
    fill(workspace, big_log(), judged)
    found = sample(workspace, Queries(frozenset({"table 0"}), frozenset({"chair 1", "lamp 2"})), pairs=200)
    pairs = set(found.select("query", "pin_id").iter_rows())
    assert len(pairs) == found.height == 200
    assert not pairs & set(judged)
    assert not {"chair 1", "lamp 2"} & set(found["query"])
    assert found.null_count().select("query", "pin_id", "event_timestamp", "stratum").row(0) == (0, 0, 0, 0)


def test_every_kind_and_frequency_is_there_and_each_pair_is_in_its_stratum(workspace: Workspace) -> None:
    fill(workspace, big_log())
    found = sample(workspace, pairs=300)
    kinds = {stratum.split("/")[2] for stratum in found["stratum"]}
    frequencies = {stratum.split("/")[0] for stratum in found["stratum"]}
    assert kinds == {"engaged", "shown", "hard", "random"}
    assert frequencies == {"head", "torso", "tail"}
    clicked = {(query, pin) for query, pin, event in big_log() if event == "click"}
    shown = {(query, pin) for query, pin, _ in big_log()}
    for query, pin, stratum in found.select("query", "pin_id", "stratum").iter_rows():
        kind = stratum.split("/")[2]
        assert ((query, pin) in clicked) == (kind == "engaged")
        assert ((query, pin) in shown) == (kind in ("engaged", "shown"))


def test_a_log_pairs_time_is_its_last_event(workspace: Workspace) -> None:
    fill(workspace, [("a", "p001", "impression"), ("b", "p002", "impression"), ("a", "p001", "click")])
    found = sample(workspace, pairs=2, hard=0, random=0)
    times = dict(found.select("query", "event_timestamp").iter_rows())
    assert times == {"a": START + 2 * MINUTE, "b": START + MINUTE}


def test_the_caps_hold(workspace: Workspace) -> None:
    fill(workspace, big_log())
    found = sample(workspace, pairs=5000, per_query=5, per_pin=3)
    assert found.group_by("query").len()["len"].max() <= 5
    assert found.group_by("pin_id").len()["len"].max() <= 3


def test_the_sample_follows_the_seed_and_not_the_order_of_the_log(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, big_log())
    first = sample(workspace, pairs=100)
    assert first.equals(sample(workspace, pairs=100))
    assert not first.equals(sample(workspace, pairs=100, seed=1))


def test_without_a_log_candidates_of_the_training_queries_are_all_there_is(workspace: Workspace) -> None:
    fill(workspace, [], [("oak lamp", "p002"), ("rug", "p003"), ("chair", "p001")])
    found = sample(workspace, Queries(frozenset({"oak lamp", "rug"}), frozenset({"chair"})), per_query=20)
    assert set(found["query"]) == {"oak lamp", "rug"}
    assert found.group_by("query").len()["len"].to_list() == [20, 20]
    assert set(found["stratum"]) == {"judged/de/hard", "judged/de/random"}
    assert set(found["event_timestamp"]) == {START}
    hard = found.filter(pl.col("stratum") == "judged/de/hard", query="rug")["pin_id"].to_list()
    assert all(PINS[pin] == "oak rug" for pin in hard) and "p003" not in hard


def test_nothing_to_sample_from_is_said_in_one_line(workspace: Workspace) -> None:
    fill(workspace, [])
    with pytest.raises(BadInput, match="engagement log or judged training queries"):
        sample(workspace)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 500), min_size=1), st.integers(1, 1000))
def test_quotas_fit_their_strata_and_add_up(sizes: dict[str, int], wanted: int) -> None:
    quotas = root_quotas(sizes, wanted)
    assert all(0 <= quotas[stratum] <= size for stratum, size in sizes.items())
    assert sum(quotas.values()) == min(wanted, sum(sizes.values()))


def test_quotas_go_with_the_root_of_the_size() -> None:
    assert root_quotas({"small": 100, "large": 10_000}, 110) == {"small": 10, "large": 100}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = tmp_path_factory.mktemp("teacher")
    rows = TeacherRows(["table", "rug"] * 8, ["table"] * 16, np.array([5, 1] * 8))
    settings = TeacherSettings(backbone=str(tiny_bert(folder / "backbone")), epochs=1, hidden=(8,))
    train_teacher(rows, rows, settings, folder / "teacher")
    return Teacher.load(folder / "teacher")


def pairs_to_label(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "query": [THINGS[i % 4] for i in range(count)],
            "pin_id": list(PINS)[:count],
            "event_timestamp": [START] * count,
            "stratum": ["tail/en/shown"] * count,
        },
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )


def titles(pairs: pl.DataFrame) -> pl.DataFrame:
    """The texts of a batch: every pin's title, except that p005 has none."""
    texts = [None if pin == "p005" else PINS[pin] for pin in pairs["pin_id"]]
    return pairs.with_columns(pin_text__title=pl.Series(texts, dtype=pl.String))


def test_labels_are_the_teachers_probabilities_of_each_pairs_own_text(workspace: Workspace, teacher: Teacher) -> None:
    report = label(workspace, teacher, pairs_to_label(20), titles)
    assert (report.fresh, report.made, dict(report.failed)) == (0, 19, {NO_TEXT: 1})
    rows = parts.scan(workspace.folder(tables.SOFT_LABEL)).collect().sort("pin_id")
    assert rows.height == 20
    for row in rows.iter_rows(named=True):
        if row["pin_id"] == "p005":
            assert row["probabilities"] is None and row["reason"] == NO_TEXT
            continue
        expected = teacher.predict([row["query"]], [PinText(title=PINS[row["pin_id"]])])[0]
        np.testing.assert_allclose(row["probabilities"], expected, atol=0.03)  # bfloat16 in batches of other sizes
    assert set(rows["producer"]) == {teacher.producer}
    assert set(rows["event_timestamp"]) == {START}
    assert (rows["created_timestamp"] == rows["written_at"]).all()


def test_a_killed_run_goes_on_and_no_pair_is_asked_twice(workspace: Workspace, teacher: Teacher) -> None:
    asked: list[str] = []

    def dying(pairs: pl.DataFrame) -> pl.DataFrame:
        if len(asked) >= 20:
            raise KeyboardInterrupt
        asked.extend(pairs["pin_id"])
        return titles(pairs)

    small = LabelSettings(pairs_a_frame=10, pairs_a_part=4)
    with pytest.raises(KeyboardInterrupt):
        label(workspace, teacher, pairs_to_label(50), dying, small)
    report = label(workspace, teacher, pairs_to_label(50), titles, small)
    assert (report.fresh, report.made) == (20, 30)
    rows = parts.scan(workspace.folder(tables.SOFT_LABEL)).collect()
    assert rows.height == rows["pin_id"].n_unique() == 50
    again = label(workspace, teacher, pl.concat([pairs_to_label(50), pairs_to_label(52)]), titles, small)
    assert again.made == 2


def test_a_folds_labels_stay_in_its_own_folder(workspace: Workspace, teacher: Teacher) -> None:
    folder = workspace.models / "folds" / "0" / "soft_label"
    label(workspace, teacher, pairs_to_label(4), titles, folder=folder)
    assert parts.count(folder) == 4
    assert parts.count(workspace.folder(tables.SOFT_LABEL)) == 0


def test_texts_of_other_pairs_are_refused(workspace: Workspace, teacher: Teacher) -> None:
    with pytest.raises(BadInput, match="in their order"):
        label(workspace, teacher, pairs_to_label(4), lambda pairs: titles(pairs).reverse())
    with pytest.raises(BadInput, match="no stratum"):
        label(workspace, teacher, pairs_to_label(4).drop("stratum"), titles)
