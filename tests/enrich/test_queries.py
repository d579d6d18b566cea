"""Engaged queries: weights, position bias, distinct users, privacy; and what is known of a query."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_rows import day, write_rows
from tiny_encoder import tiny_encoder

from enrich import parts, propensity, queries, snapshots
from enrich.errors import BadInput
from enrich.history import History, query_keys
from enrich.job import JobReport
from enrich.queries import EventWeights, QuerySettings, Refresh, run_queries
from enrich.query_features import QueryFeatureSettings, QueryVectors
from enrich.snapshots import SnapshotSettings
from enrich.tables import DELETIONS, ENGAGEMENTS, EVENTS, INTERESTS, PIN_QUERIES, PINS, QUERY_FEATURES
from enrich.text_encoder import TextEncoder
from enrich.workspace import REPOSITORY, Catalogue, Workspace

Row = dict[str, Any]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def event(query: str, pin: str, kind: str = "click", user: str | None = "u1", on: int = 1, **more: Any) -> Row:
    row = {"query": query, "pin_id": pin, "event": kind, "user_hash": user, "event_timestamp": day(on, 1)}
    return row | more


def run(workspace: Workspace, encoder: str, min_users: int = 1, queries: int = 20) -> list[JobReport]:
    features = QueryFeatureSettings(model=encoder)
    daily = SnapshotSettings(cadence_days=1)
    return run_queries(workspace, QuerySettings(queries, min_users, features=features, snapshots=daily))


def engaged(workspace: Workspace) -> dict[str, list[tuple[str, float]]]:
    rows = parts.latest(workspace.folder(PIN_QUERIES), PIN_QUERIES)
    found = rows.select("pin_id", "engaged_queries", "engaged_query_scores").rows()
    return {pin: list(zip(queries or [], scores or [], strict=True)) for pin, queries, scores in found}


def test_events_weigh_what_they_say_and_spellings_meet(workspace: Workspace, encoder: str) -> None:
    write_rows(
        workspace, ENGAGEMENTS,
        event("Red  Vase", "a", "click"), event("red vase", "a", "save"), event("vase", "a", "long_click"),
        event("lamp", "a", "click"), event("lamp", "a", "hide"), event("oak", "a", "impression"),
    )  # fmt: skip
    run(workspace, encoder)
    assert engaged(workspace) == {"a": [("red vase", 5.0), ("vase", 2.0)]}


def test_a_future_click_is_invisible_at_an_earlier_snapshot(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, event("vase", "a", on=1), event("lamp", "a", "save", on=3))
    run(workspace, encoder)
    rows = parts.scan(workspace.folder(PIN_QUERIES)).collect().sort("event_timestamp")
    assert rows.select("event_timestamp", "engaged_queries").rows() == [
        (day(2), ["vase"]),
        (day(4), ["lamp", "vase"]),
    ]


def test_a_query_of_fewer_than_k_users_reaches_no_pin(workspace: Workspace, encoder: str) -> None:
    rows = [event("vase", "a", user=f"u{n}") for n in range(4)] + [event("lamp", "a", user=f"u{n}") for n in range(5)]
    write_rows(workspace, ENGAGEMENTS, *rows, *(event("oak", "a", user="u1") for _ in range(9)))
    report = run(workspace, encoder, min_users=5)[0]
    assert engaged(workspace) == {"a": [("lamp", 5.0)]}
    assert report.failed == {"fewer-users-than-k": 2}


def test_a_user_under_two_cases_is_one(workspace: Workspace, encoder: str) -> None:
    """A hash in hexadecimal, as two systems write it: three people are not five."""
    write_rows(workspace, ENGAGEMENTS, *(event("vase", "a", user=user) for user in ("ab1f", "AB1F", "c2", "C2", "d3")))
    report = run(workspace, encoder, min_users=4)[0]
    assert (engaged(workspace), report.failed) == ({}, {"fewer-users-than-k": 1})


def test_k_users_must_meet_in_one_window_and_be_there_still(workspace: Workspace, encoder: str) -> None:
    rows = [event("vase", "a", user=f"u{n}", on=n) for n in range(1, 5)]
    write_rows(workspace, ENGAGEMENTS, *rows, *(event("lamp", "a", user=f"u{n}", on=4) for n in range(4)))

    def lists() -> list[tuple[int, list[str] | None]]:
        chosen = QuerySettings(min_users=4, window=timedelta(days=3), snapshots=SnapshotSettings(cadence_days=1))
        queries.run_pin_queries(workspace, History(workspace).days(), chosen)
        found = parts.scan(workspace.folder(PIN_QUERIES)).sort("event_timestamp").collect()
        return [
            ((at - day(1)).days + 1, said) for at, said in found.select("event_timestamp", "engaged_queries").rows()
        ]

    assert lists() == [(5, ["lamp"])], "vase has four users in four days, and three in any three"
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u0", "deleted_at": day(9)})
    assert lists() == [(5, None)], "three are left"


def test_users_who_only_saw_results_issued_the_query_too(workspace: Workspace, encoder: str) -> None:
    seen = [event("vase", "b", "impression", user=f"u{n}") for n in range(5)]
    write_rows(workspace, ENGAGEMENTS, *seen, event("vase", "a", user="u0"))
    run(workspace, encoder, min_users=5)
    assert engaged(workspace) == {"a": [("vase", 1.0)]}


def test_without_users_half_hours_stand_in_and_are_counted(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, *(event("vase", "a", user=None, on=number) for number in range(1, 6)))
    write_rows(workspace, ENGAGEMENTS, *(event("lamp", "a", user=None, on=1) for _ in range(5)))
    report = run(workspace, encoder, min_users=5)[0]
    assert engaged(workspace) == {"a": [("vase", 5.0)]}
    assert report.failed == {"fewer-users-than-k": 1, "log-rows-without-user": 10}


def test_private_queries_go_nowhere_and_are_counted(workspace: Workspace, encoder: str) -> None:
    write_rows(
        workspace, ENGAGEMENTS,
        event("jane@example.com", "a"), event("+49 30 901820", "a"), event("  ", "a"), event("vase", "a"),
    )  # fmt: skip
    report = run(workspace, encoder)[0]
    assert engaged(workspace) == {"a": [("vase", 1.0)]}
    assert report.failed == {"private-email": 1, "private-phone-number": 1, "empty-query": 1}
    assert parts.scan(workspace.folder(QUERY_FEATURES)).collect()["query"].to_list() == ["vase"]


def test_only_the_best_queries_are_kept_ties_by_name(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, event("c", "a", "save"), event("b", "a"), event("a", "a"))
    run(workspace, encoder, queries=2)
    assert engaged(workspace) == {"a": [("c", 4.0), ("a", 1.0)]}


def test_a_deleted_users_words_vanish_at_the_next_run(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, event("my secret", "a", user="u1"), event("vase", "a", user="u2", on=2))
    run(workspace, encoder)
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u1", "deleted_at": day(9)})
    run(workspace, encoder)
    assert engaged(workspace) == {"a": [("vase", 1.0)]}
    for table in (PIN_QUERIES, QUERY_FEATURES):
        assert "secret" not in str(parts.scan(workspace.folder(table)).collect().to_dicts())


def test_clicks_far_down_count_for_more_when_the_log_shows_a_bias(workspace: Workspace, encoder: str) -> None:
    """Pin a was shown 20 times at each of 1 and 4 for "vase": 16 clicks above, 4 below, so eta is about 1."""
    rows = [event("vase", "a", "impression", position=place) for place in (1, 4) for _ in range(200)]
    rows += [event("vase", "a", "click", position=1) for _ in range(160)]
    rows += [event("vase", "a", "click", position=4) for _ in range(40)]
    write_rows(workspace, ENGAGEMENTS, *rows, event("lamp", "b", position=4), event("oak", "b", position=1))
    run(workspace, encoder)
    queries = dict(engaged(workspace)["b"])
    assert queries["oak"] == 1.0
    assert queries["lamp"] == pytest.approx(4.0, rel=0.1)


def test_the_bias_that_made_a_log_is_found_in_it() -> None:
    """Clicks drawn with P = appeal / position ** 0.7; the better a pin, the higher it stood."""
    random = np.random.default_rng(7)
    appeal = random.uniform(0.05, 0.9, 200)
    rows = []
    for pin in range(200):
        for _ in range(60):
            place = 1 + min(int(random.exponential(3 / appeal[pin])), 19)
            rows.append((f"p{pin}", "impression", place))
            if random.random() < appeal[pin] / place**0.7:
                rows.append((f"p{pin}", "click", place))
    log = pl.DataFrame(rows, schema={"pin_id": pl.String, "event": pl.String, "position": pl.Int64}, orient="row")
    assert propensity.fit_eta(ibis.memtable(log.with_columns(query=pl.lit("q")))) == pytest.approx(0.7, abs=0.1)


def test_a_log_without_positions_is_not_corrected() -> None:
    row = {"query": "q", "pin_id": "a", "event": "click", "position": None}
    log = pl.DataFrame([row], schema_overrides={"position": pl.Int64})
    assert propensity.fit_eta(ibis.memtable(log)) == 0


def test_a_key_or_a_reason_for_every_spelling() -> None:
    assert query_keys(["Vase ", "a@b.com", " "]).rows() == [
        ("Vase ", "vase", None),
        ("a@b.com", "a@b.com", "private-email"),
        (" ", "", "empty-query"),
    ]


def features(workspace: Workspace) -> dict[str, Row]:
    rows = parts.latest(workspace.folder(QUERY_FEATURES), QUERY_FEATURES)
    return {row["query"]: row for row in rows.to_dicts()}


def test_query_features_by_hand(workspace: Workspace, encoder: str) -> None:
    write_rows(
        workspace, INTERESTS,
        {"interest_id": "i1", "name": "Home decor", "is_shopping": True},
        {"interest_id": "i2", "name": "shoes boots", "is_shopping": False},
    )  # fmt: skip
    write_rows(workspace, PINS, {"pin_id": "a", "category": "home decor", "created_at": day(1)})
    write_rows(
        workspace, ENGAGEMENTS,
        event("vase", "a", "impression", lang="en", on=1), event("vase", "a", "save", lang="en", on=1),
        event("vase", "a", "click", lang="de", on=2), event("vase", "a", "click", user="u2", lang="en", on=2),
    )  # fmt: skip
    run(workspace, encoder)
    row = features(workspace)["vase"]
    assert (row["frequency"], row["lang"]) == (3, "en")  # (u1, day 1), (u1, day 2), (u2, day 2)
    vase, *names = TextEncoder(encoder).encode(["vase", "Home decor", "shoes boots"])
    np.testing.assert_allclose(row["query_embedding"], vase, atol=1e-6)
    home = max(0.0, float(vase @ names[0])) + 3 / (3 + 5)
    boots = max(0.0, float(vase @ names[1]))
    expected = [("i1", home), ("i2", boots if boots >= 0.2 else 0.0)]
    assert row["interests"] == [name for name, weight in sorted(expected, key=lambda e: -e[1]) if weight]
    assert row["shopping_intent"] == pytest.approx(home / sum(weight for _, weight in expected), abs=0.006)


def test_without_a_taxonomy_a_query_still_has_a_vector_and_a_language(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, event("ein schöner blauer schrank für die küche", "a"))
    run(workspace, encoder)
    (row,) = features(workspace).values()
    assert (row["interests"], row["shopping_intent"], row["lang"], row["frequency"]) == ([], None, "de", 1)
    assert len(row["query_embedding"]) == 16


def test_a_query_that_the_same_producer_embedded_is_not_encoded_again(workspace: Workspace, encoder: str) -> None:
    written = [1.0] + [0.0] * 15
    write_rows(
        workspace, QUERY_FEATURES,
        {"query": "vase", "query_embedding": written, "producer": "this", "event_timestamp": day(1)},
    )  # fmt: skip
    vase, lamp = QueryVectors(workspace, "this", TextEncoder(encoder)).of(["vase", "lamp"])
    other = QueryVectors(workspace, "other", TextEncoder(encoder)).of(["vase"])[0]
    assert vase.tolist() == written
    np.testing.assert_allclose([lamp, other], TextEncoder(encoder).encode(["lamp", "vase"]), atol=1e-6)


def test_snapshots_that_were_lost_are_made_again_the_same(workspace: Workspace, encoder: str) -> None:
    rows = [event(query, pin, on=on) for on, (query, pin) in enumerate([("vase", "a"), ("lamp", "a"), ("oak", "b")], 1)]
    write_rows(workspace, ENGAGEMENTS, *rows)
    run(workspace, encoder)
    columns = [*PIN_QUERIES.schema.names]
    columns.remove("written_at")
    whole = parts.scan(workspace.folder(PIN_QUERIES)).select(columns).collect().sort("event_timestamp", "pin_id")
    for lost in ("part-snapshot-20250103T000000Z.parquet", "part-snapshot-20250104T000000Z.parquet"):
        (workspace.folder(PIN_QUERIES) / lost).unlink()
    run(workspace, encoder)
    again = parts.scan(workspace.folder(PIN_QUERIES)).select(columns).collect().sort("event_timestamp", "pin_id")
    assert again.equals(whole)


def test_no_log_is_no_work(workspace: Workspace, encoder: str) -> None:
    assert run(workspace, encoder) == [JobReport("pin_queries", 0, 0), JobReport("query_features", 0, 0)]


def test_weights_are_read_as_four_numbers() -> None:
    assert EventWeights.parse("1,3,5,-1") == EventWeights(1, 3, 5, -1)
    for text in ("1,2,3", "1,2,3,x", "1,2,3,nan", "", "1e15,1,1,1", "1,2,3,-inf"):
        with pytest.raises(BadInput, match="click,long_click,save,hide"):
            EventWeights.parse(text)


def merged(workspace: Workspace, encoder: str, **more: Any) -> JobReport:
    features = QueryFeatureSettings(model=encoder)
    cadence = SnapshotSettings(cadence_days=1)
    chosen = {"min_users": 1, "features": features, "snapshots": cadence, "refresh": Refresh.MERGE} | more
    return run_queries(workspace, QuerySettings(**chosen))[0]


def test_a_new_period_is_merged_with_the_last_top_by_hand(workspace: Workspace, encoder: str) -> None:
    """One is kept, so two are merged. Day 1: vase 4, lamp 2, oak 1 (out). Day 2: oak 2, vase -2: oak's 1 is lost."""
    write_rows(
        workspace, ENGAGEMENTS,
        event("vase", "a", "save"), event("lamp", "a", "long_click"), event("oak", "a"),
        event("oak", "a", "long_click", on=2), event("vase", "a", "hide", on=2), event("elm", "b", on=2),
    )  # fmt: skip
    merged(workspace, encoder, queries=1)
    assert engaged(workspace) == {"a": [("lamp", 2.0)], "b": [("elm", 1.0)]}
    run(workspace, encoder, queries=1)  # the whole window
    assert engaged(workspace)["a"] == [("oak", 3.0)]


def test_what_too_few_had_asked_is_merged_once_enough_have(workspace: Workspace, encoder: str) -> None:
    write_rows(workspace, ENGAGEMENTS, *(event("lamp", "a", user=f"u{on}", on=on) for on in (1, 2, 3)))
    merged(workspace, encoder, min_users=3)
    rows = parts.scan(workspace.folder(PIN_QUERIES)).collect()
    assert rows.select("event_timestamp", "engaged_queries", "engaged_query_scores").rows() == [
        (day(4), ["lamp"], [3.0])
    ]


def test_a_killed_merge_goes_on_to_the_rows_of_an_undisturbed_one(
    workspace: Workspace, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two snapshots' lists are kept: of the last that is written, and of one whose part the kill took."""
    rows = [event(q, "a", on=on) for on, q in enumerate("abcab", 1)] + [event("c", "a", on=1)]
    write_rows(workspace, ENGAGEMENTS, *rows)
    write, written = snapshots.write_snapshot, []

    def killed(*arguments: Any) -> pl.DataFrame:
        written.append(arguments)
        if len(written) == 3:
            raise KeyboardInterrupt
        return write(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(snapshots, "write_snapshot", killed)
        merged(workspace, encoder, queries=1)
    merged(workspace, encoder, queries=1)
    found = parts.scan(workspace.folder(PIN_QUERIES)).sort("event_timestamp").collect().drop("written_at")
    for path in (*workspace.folder(PIN_QUERIES).glob("part-snapshot*"), *workspace.root.glob("merging/*")):
        path.unlink()
    merged(workspace, encoder, queries=1)
    whole = parts.scan(workspace.folder(PIN_QUERIES)).sort("event_timestamp").collect().drop("written_at")
    assert found.equals(whole) and len(list(workspace.root.glob("merging/*"))) == 2


def test_what_leaves_the_window_leaves_a_merged_list(workspace: Workspace, encoder: str) -> None:
    write_rows(
        workspace, ENGAGEMENTS,
        event("vase", "a", "save", on=1), event("vase", "a", on=3), event("lamp", "a", on=2), event("elm", "b", on=5),
    )  # fmt: skip
    window = {"window": timedelta(days=3)}
    merged(workspace, encoder, **window)
    rows = parts.scan(workspace.folder(PIN_QUERIES)).filter(pl.col("pin_id") == "a").sort("event_timestamp").collect()
    assert rows.select("event_timestamp", "engaged_queries", "engaged_query_scores").rows() == [
        (day(2), ["vase"], [4.0]),
        (day(3), ["vase", "lamp"], [4.0, 1.0]),
        (day(4), ["vase", "lamp"], [5.0, 1.0]),
        (day(5), ["lamp", "vase"], [1.0, 1.0]),
        (day(6), ["vase"], [1.0]),
    ]


histories = st.lists(
    st.tuples(st.sampled_from("qrs"), st.sampled_from("ab"), st.sampled_from(EVENTS), st.integers(1, 8)), max_size=30
)


@given(histories)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_without_a_limit_merging_is_the_full_computation(
    tmp_path_factory: pytest.TempPathFactory, encoder: str, history: list[tuple[str, str, str, int]]
) -> None:
    """Nothing falls below the top 20, so nothing is lost: but a query that stood at or below 0 and came back."""
    found = []
    history = [(q, p, kind, on) for q, p, kind, on in history if kind != "hide"]
    for mode in (Refresh.MERGE, Refresh.FULL):
        workspace = Workspace.at(tmp_path_factory.mktemp("merge") / "w")
        workspace.create(Catalogue("native", "inline"))
        write_rows(workspace, ENGAGEMENTS, *(event(q, p, kind, on=on) for q, p, kind, on in history))
        chosen = QuerySettings(
            min_users=1, window=timedelta(days=3), refresh=mode, snapshots=SnapshotSettings(cadence_days=1)
        )
        queries.run_pin_queries(workspace, History(workspace).days(), chosen)
        rows = parts.scan(workspace.folder(PIN_QUERIES)).collect().sort("event_timestamp", "pin_id")
        found.append(rows.drop("producer", "written_at"))
    assert found[0].equals(found[1])


def test_merged_lists_of_the_sample_are_close_to_the_full_computation(workspace: Workspace) -> None:
    """At the newest snapshot: the share of the full list's score that the merged list holds too."""
    log = pl.read_parquet(REPOSITORY / "data" / "sample" / "engagements.parquet")
    write_rows(workspace, ENGAGEMENTS, *log.to_dicts())
    lists = []
    for mode in (Refresh.MERGE, Refresh.FULL):
        queries.run_pin_queries(workspace, History(workspace).days(), QuerySettings(refresh=mode))
        lists.append(engaged(workspace))
    merge, full = lists
    held = sum(score for pin, rows in full.items() for query, score in rows if query in dict(merge.get(pin, [])))
    assert held / sum(score for rows in full.values() for _, score in rows) > 0.99
    apart = [abs(dict(merge[pin])[q] - s) / s for pin in full for q, s in full[pin] if q in dict(merge.get(pin, []))]
    assert float(np.median(apart)) < 0.1, "the bias is each period's own"
