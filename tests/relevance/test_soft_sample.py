"""The pairs that the teacher is asked about follow the stated design, whatever the order of rows and threads."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import job, log_in_place, parts, tables
from enrich.backends import BackendLimits
from enrich.errors import BadInput
from enrich.log_in_place import LogInPlace
from enrich.workspace import Workspace
from relevance.candidates import CandidateIndex
from relevance.labelling import negatives as soft_negatives
from relevance.labelling import sample as soft_sample
from relevance.labelling.log_pairs import Queries, SampleSettings, _cuts
from relevance.labelling.negatives import Search
from relevance.labelling.sample import SoftSample, inputs_of, write_sample
from relevance.labelling.strata import FREQUENCIES, OTHER, Stratum, counted, frequency_classes, merged, root_quotas

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


def draw(
    workspace: Workspace, folder: Path, queries: Queries = NOBODY, threads: int = 2, **settings: float
) -> SoftSample:
    folder.mkdir(exist_ok=True)
    chosen = SampleSettings(**{"pairs": 200, **settings})
    write_sample(workspace, queries, Search(index(), embed), chosen, folder, BackendLimits(threads=threads))
    return SoftSample(folder)


def sample(workspace: Workspace, queries: Queries = NOBODY, **settings: float) -> pl.DataFrame:
    return draw(workspace, workspace.root / "sample", queries, **settings).scan().collect()


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


def test_nothing_of_a_moment_or_later_is_sampled(workspace: Workspace) -> None:
    fill(workspace, [("early", "p000", "click"), ("both", "p001", "impression")] * 30 + [("both", "p002", "click")])
    put(workspace, tables.ENGAGEMENTS, [late_event("both", "p003"), late_event("late", "p004")])
    moment = START + 60 * MINUTE
    found = sample(workspace, Queries(frozenset(), frozenset(), moment), hard=0, random=0)
    assert set(found.select("query", "pin_id").iter_rows()) == {("early", "p000"), ("both", "p001")}
    assert found["event_timestamp"].max() < moment


def late_event(query: str, pin: str) -> dict[str, object]:
    return {"query": query, "pin_id": pin, "event": "click", "lang": "en", "event_timestamp": START + 90 * MINUTE}


def test_every_kind_and_frequency_is_there_and_each_pair_is_in_its_stratum(workspace: Workspace) -> None:
    fill(workspace, big_log())
    found = sample(workspace, pairs=300)
    strata = [Stratum.of(name) for name in found["stratum"]]
    assert {stratum.kind for stratum in strata} == {"engaged", "shown", "hard", "random"}
    assert {stratum.frequency for stratum in strata} == set(FREQUENCIES)
    assert {stratum.language for stratum in strata} == {"en"}
    clicked = {(query, pin) for query, pin, event in big_log() if event == "click"}
    shown = {(query, pin) for query, pin, _ in big_log()}
    for query, pin, stratum in zip(found["query"], found["pin_id"], strata, strict=True):
        assert ((query, pin) in clicked) == (stratum.kind == "engaged")
        assert ((query, pin) in shown) == (stratum.kind in ("engaged", "shown"))


def test_a_querys_interest_is_its_newest_features_best(workspace: Workspace) -> None:
    fill(workspace, big_log())
    known = [
        ("table 0", START, ["old"]),
        ("table 0", START + MINUTE, ["tables/desks", "rooms"]),
        ("chair 1", START, []),
    ]
    rows = [
        {"query": query, "event_timestamp": at, "created_timestamp": at, "written_at": at, "backfilled": False}
        | {"interests": interests, "producer": "x", "code_version": "x", "input_hash": "x"}
        for query, at, interests in known
    ]
    put(workspace, tables.QUERY_FEATURES, rows)
    found = sample(workspace, pairs=300).filter(pl.col("stratum").str.ends_with("/shown"))
    interests = {query: Stratum.of(stratum).interest for query, stratum in found.select("query", "stratum").iter_rows()}
    assert interests["table 0"] == "tables_desks"
    assert interests["chair 1"] == "unknown"


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
    with pytest.raises(BadInput, match="caps of 1 to 50"):
        SampleSettings(per_query=51)


def test_the_sample_follows_the_seed_and_neither_the_order_of_the_log_nor_threads(workspace: Workspace) -> None:
    fill(workspace, big_log())
    first = sample(workspace)
    folder = workspace.folder(tables.ENGAGEMENTS)
    rows = parts.scan(folder).collect().sample(fraction=1, shuffle=True, seed=1)
    for part in folder.glob("*.parquet"):
        part.unlink()
    for some in rows.iter_slices(50):
        parts.append(folder, tables.ENGAGEMENTS, some.to_arrow())
    for threads in (1, 3):
        again = draw(workspace, workspace.root / f"again{threads}", threads=threads)
        assert again.scan().collect().equals(first)
    assert not first.equals(draw(workspace, workspace.root / "other", seed=1).scan().collect())


def test_a_killed_draw_goes_on_to_the_same_sample(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soft_negatives, "_QUERIES_A_BATCH", 4)
    monkeypatch.setattr(soft_sample, "_LEAST_ROWS", 30)
    fill(workspace, big_log())
    whole, searched = sample(workspace, pairs=300), Counter[str]()
    killed = workspace.root / "killed"
    killed.mkdir()

    def dying(queries: list[str]) -> np.ndarray:
        if len(searched) >= 8:
            raise KeyboardInterrupt
        return counting(queries)

    def counting(queries: list[str]) -> np.ndarray:
        searched.update(queries)
        return embed(queries)

    for embedder in (dying, counting):
        with suppress(KeyboardInterrupt):
            write_sample(workspace, NOBODY, Search(index(), embedder), SampleSettings(pairs=300), killed)
    again = SoftSample(killed)
    assert again.scan().collect().equals(whole)
    assert set(searched.values()) == {1}, "a query that was searched for before the kill is not searched for again"
    assert [part.rows for part in again.parts[:-1]] == [30] * (len(again.parts) - 1)
    assert not list(killed.glob("negatives*")) + list(killed.glob(".*"))


def test_a_pins_pairs_are_neighbours(workspace: Workspace) -> None:
    fill(workspace, big_log())
    pins = sample(workspace, pairs=300)["pin_id"]
    assert (pins != pins.shift(1)).sum() + 1 == pins.n_unique()


def test_deleted_pins_are_not_sampled_even_where_the_index_still_has_them(workspace: Workspace) -> None:
    fill(workspace, big_log())
    gone = [f"p{i:03}" for i in range(0, 120, 2)]
    put(workspace, tables.DELETIONS, [{"kind": "pin", "id": pin, "deleted_at": START} for pin in gone])
    found = sample(workspace, pairs=300)
    assert found.height > 100
    assert not set(gone) & set(found["pin_id"])


def test_without_a_log_candidates_of_the_training_queries_are_all_there_is(workspace: Workspace) -> None:
    fill(workspace, [], [("oak lamp", "p002"), ("rug", "p003"), ("chair", "p001")])
    found = sample(workspace, Queries(frozenset({"oak lamp", "rug"}), frozenset({"chair"})), per_query=20)
    assert set(found["query"]) == {"oak lamp", "rug"}
    assert found.group_by("query").len()["len"].to_list() == [20, 20]
    assert set(found["stratum"]) == {"judged/unknown/de/hard", "judged/unknown/de/random"}
    assert set(found["event_timestamp"]) == {START}
    hard = found.filter(pl.col("stratum") == "judged/unknown/de/hard", query="rug")["pin_id"].to_list()
    assert all(PINS[pin] == "oak rug" for pin in hard) and "p003" not in hard


def test_nothing_to_sample_from_is_said_in_one_line(workspace: Workspace) -> None:
    fill(workspace, [])
    with pytest.raises(BadInput, match="engagement log or judged training queries"):
        sample(workspace)


def test_a_new_day_of_a_log_left_in_place_makes_the_sample_stale(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, [])
    copied_in, days = inputs_of(workspace), tmp_path / "days"
    days.mkdir()
    rows = pl.DataFrame({"query": ["oak table"], "pin_id": ["p000"]})
    rows.write_parquet(days / "monday.parquet")
    log_in_place.save(workspace.root, LogInPlace(str(days)))
    monday = inputs_of(workspace)
    assert copied_in != monday == inputs_of(workspace)
    rows.write_parquet(days / "tuesday.parquet")
    assert inputs_of(workspace) != monday


def test_the_judged_pairs_of_the_log_are_kept_with_the_stratum_of_their_like(workspace: Workspace) -> None:
    fill(workspace, big_log(), [("table 0", "p000"), ("table 0", "p001"), ("table 0", "p119"), ("lamp 2", "p014")])
    queries = Queries(frozenset({"table 0"}), frozenset({"lamp 2"}))
    kept = draw(workspace, workspace.root / "sample", queries).judged()
    assert kept.rows() == [
        ("table 0", "p000", "head/unknown/en/engaged"),
        ("table 0", "p001", "head/unknown/en/shown"),
    ]


sizes_of_strata = st.dictionaries(st.text("abc", min_size=1), st.integers(1, 500), min_size=1)
names = st.builds(Stratum, *(st.sampled_from(values) for values in (FREQUENCIES, "abcd", "xyz", ("shown", "hard"))))


@given(sizes_of_strata, st.integers(1, 1000))
def test_quotas_fit_their_strata_and_add_up(sizes: dict[str, int], wanted: int) -> None:
    quotas = root_quotas(sizes, wanted)
    assert all(0 <= quotas[stratum] <= size for stratum, size in sizes.items())
    assert sum(quotas.values()) == min(wanted, sum(sizes.values()))


def test_quotas_go_with_the_root_of_the_size() -> None:
    assert root_quotas({"small": 100, "large": 10_000}, 110) == {"small": 10, "large": 100}


@given(st.dictionaries(names.map(lambda stratum: stratum.name), st.integers(1, 200), min_size=1), st.integers(1, 500))
def test_merging_loses_no_pair_and_keeps_frequency_and_kind_apart(sizes: dict[str, int], wanted: int) -> None:
    kept = merged(sizes, wanted)
    assert kept.keys() == sizes.keys()
    assert sum(counted(sizes, kept).values()) == sum(sizes.values())
    for fine, coarse in ((Stratum.of(fine), Stratum.of(coarse)) for fine, coarse in kept.items()):
        assert (fine.frequency, fine.kind) == (coarse.frequency, coarse.kind)
        assert coarse.interest in (fine.interest, OTHER)
        assert coarse.language == fine.language or (coarse.language, coarse.interest) == (OTHER, OTHER)


def test_small_interests_are_counted_together_and_then_small_languages() -> None:
    sizes = {"head/a/en/shown": 900, "head/b/en/shown": 6, "head/c/en/shown": 6, "head/a/de/shown": 3}
    assert merged(sizes, 1_000) == {
        "head/a/en/shown": "head/a/en/shown",
        "head/b/en/shown": "head/other/en/shown",
        "head/c/en/shown": "head/other/en/shown",
        "head/a/de/shown": "head/other/other/shown",
    }


def test_head_torso_and_tail_are_thirds_of_the_rows_and_equal_volumes_one_class() -> None:
    assert frequency_classes({30: 1, 10: 3, 1: 30}) == {30: "head", 10: "torso", 1: "tail"}
    assert frequency_classes({1: 500}) == {1: "torso"}
    assert frequency_classes({}) == {}


@given(
    st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from(["00", "7f", "a0", "ff"])), st.integers(1, 9)),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 30)),
)
def test_a_cut_leaves_each_stratum_its_quota(rows: dict[tuple[str, str], int], quotas: dict[str, int]) -> None:
    found = pl.DataFrame([(*key, count) for key, count in rows.items()], ["stratum", "bucket", "rows"], orient="row")
    for stratum, cut, left in _cuts(found, quotas):
        whole = sum(count for (name, bucket), count in rows.items() if name == stratum and bucket < cut)
        everything = sum(count for (name, _), count in rows.items() if name == stratum)
        assert whole + left == min(quotas.get(stratum, 0), everything)
