"""What was deleted is nowhere after the next run: not in a table, a feature, a frame, or the online store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from table_rows import day, use_online_store, write_rows
from tiny_encoder import tiny_encoder

from enrich import erasure, parts, steps
from enrich.boards import BoardSettings, run_boards
from enrich.engagement import EngagementSettings, run_engagement
from enrich.erasure import last_erasure, run_erasure
from enrich.graph import GraphSettings
from enrich.history import History
from enrich.picture_prints import picture_print
from enrich.picture_twins import FILE, PictureTwins
from enrich.queries import QuerySettings, run_pin_queries
from enrich.query_features import QueryFeatureSettings
from enrich.snapshots import SnapshotSettings
from enrich.status import render, status
from enrich.steps import RunSettings, Step
from enrich.stores import view_loads
from enrich.stores.safe_sqlite import SafeSqliteOnlineStore
from enrich.tables import (
    BOARD_PINS,
    BOARDS,
    DELETIONS,
    ENGAGEMENTS,
    PIN_CAPTION,
    PIN_ENGAGEMENT,
    PIN_SERVING,
    PIN_TEXT,
    PIN_VISUAL_EMBEDDING,
    PINS,
    QUERY_FEATURES,
    QUERY_PIN_ENGAGEMENT,
    QUERY_SERVING,
    SOFT_LABEL,
    TABLES,
)
from enrich.workspace import Workspace
from relevance.feature_store import apply, materialize, open_store, quiet
from relevance.training_frame import training_frame

SECRETS = ("tattoo", "zanzibar", "diary", "confession")
STEPS = (Step.TEXTS, Step.BOARDS, Step.QUERIES, Step.ENGAGEMENT, Step.SERVING)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def settings(encoder: str) -> RunSettings:
    daily = SnapshotSettings(cadence_days=1)
    features = QueryFeatureSettings(model=encoder)
    return RunSettings(
        boards=BoardSettings(snapshots=daily),
        queries=QuerySettings(min_users=1, features=features, snapshots=daily),
        engagement=EngagementSettings(snapshots=daily),
        graph=GraphSettings(snapshots=daily),
    )


@pytest.fixture
def catalogue(workspace: Workspace) -> Workspace:
    """Pins a (stays) and p (goes: "confession"); user u's board "diary" and query "tattoo"; board b2 "zanzibar"."""
    write_rows(
        workspace, PINS,
        {"pin_id": "a", "title": "oak table", "created_at": day(1)},
        {"pin_id": "p", "title": "my confession", "created_at": day(1)},
    )  # fmt: skip
    write_rows(
        workspace, BOARDS,
        {"board_id": "b1", "title": "diary of jane", "owner_hash": "u", "created_at": day(1)},
        {"board_id": "b2", "title": "zanzibar trip", "owner_hash": "v", "created_at": day(1)},
        {"board_id": "b3", "title": "furniture", "owner_hash": "v", "created_at": day(1)},
    )  # fmt: skip
    write_rows(
        workspace, BOARD_PINS, *({"board_id": b, "pin_id": "a", "saved_at": day(1, 1)} for b in ("b1", "b2", "b3"))
    )
    event = {"event": "click", "event_timestamp": day(1, 1)}
    write_rows(
        workspace, ENGAGEMENTS,
        {"query": "Tattoo removal", "pin_id": "a", "user_hash": "u", **event},
        {"query": "table", "pin_id": "a", "user_hash": "v", **event},
        {"query": "table", "pin_id": "p", "user_hash": "v", **event},
    )  # fmt: skip
    write_rows(
        workspace, SOFT_LABEL,
        {"query": "tattoo removal", "pin_id": "a", "probabilities": [0.2] * 5, "event_timestamp": day(2)},
        {"query": "table", "pin_id": "p", "probabilities": [0.2] * 5, "event_timestamp": day(2)},
        {"query": "table", "pin_id": "a", "probabilities": [0.2] * 5, "event_timestamp": day(2)},
    )  # fmt: skip
    return workspace


def run(workspace: Workspace, encoder: str) -> dict[str, int]:
    done = steps.run(workspace, settings(encoder), STEPS)
    return {table.table: table.made for report in done for table in report.reports}


def delete(workspace: Workspace) -> None:
    gone = [{"kind": "pin", "id": "p"}, {"kind": "user", "id": "u"}, {"kind": "board", "id": "b2"}]
    write_rows(workspace, DELETIONS, *(row | {"deleted_at": day(5)} for row in gone))


def everything(workspace: Workspace) -> str:
    """Every row of every table, of what is counted of the log, of what snapshots left, and of the online store."""
    rows = [str(parts.scan(workspace.folder(table)).collect().to_dicts()) for table in TABLES if table is not DELETIONS]
    kept = [*(workspace.root / "log_days").rglob("*.parquet"), *workspace.root.rglob("*.state")]
    rows += [str(pl.read_parquet(path).to_dicts()) for path in kept]
    online = workspace.root / "online.db"
    if online.is_file():
        with closing(sqlite3.connect(online)) as store:
            names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows += [str(store.execute(f'SELECT * FROM "{name}"').fetchall()) for name in names]
    return "".join(rows).lower()


def test_deleted_words_are_in_no_table_and_not_online_after_the_next_run(catalogue: Workspace, encoder: str) -> None:
    run(catalogue, encoder)
    apply(catalogue)
    materialize(catalogue)
    with quiet():
        views = ["pin_text", "pin_boards", "pin_queries", "query_features"]
        open_store(catalogue).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC), views)
    assert [word in everything(catalogue) for word in SECRETS] == [True] * 4
    delete(catalogue)
    assert not run_erasure(catalogue).failed  # soft labels are no online view: there is nothing to reach
    run(catalogue, encoder)
    found = {table.name: str(parts.scan(catalogue.folder(table)).collect().to_dicts()).lower() for table in TABLES}
    assert not [(name, word) for name, rows in found.items() for word in SECRETS if word in rows]
    with quiet():
        open_store(catalogue).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC), views)
    materialize(catalogue)
    online = open_store(catalogue).get_online_features(
        ["pin_text:title", "pin_boards:board_titles", "pin_queries:engaged_queries"],
        [{"pin_id": "a"}, {"pin_id": "p"}],
    ).to_dict()  # fmt: skip
    assert online["title"] == ["oak table", None]
    assert online["board_titles"][0] == ["furniture"] and online["engaged_queries"][0] == ["table"]
    assert not [word for word in SECRETS if word in everything(catalogue)]


def test_words_of_a_last_day_that_was_deleted_are_taken_back_online_too(workspace: Workspace) -> None:
    """That day's snapshot is due no more: the store has its rows and takes none of an earlier day. Then all is gone."""
    write_rows(
        workspace, BOARDS,
        {"board_id": "b1", "title": "winter coats", "owner_hash": "u1", "created_at": day(1)},
        {"board_id": "b2", "title": "jane's secret wedding", "owner_hash": "u2", "created_at": day(1)},
    )  # fmt: skip
    write_rows(
        workspace, BOARD_PINS,
        {"board_id": "b1", "pin_id": "a", "saved_at": day(1)}, {"board_id": "b2", "pin_id": "a", "saved_at": day(5)},
    )  # fmt: skip
    click = {"pin_id": "a", "event": "click"}
    write_rows(
        workspace, ENGAGEMENTS,
        {"query": "wool coat", "user_hash": "u1", "event_timestamp": day(1), **click},
        {"query": "secret wedding", "user_hash": "u2", "event_timestamp": day(5), **click},
    )  # fmt: skip
    apply(workspace)
    chosen = settings("")

    def online() -> list[object]:
        """As after a first load, from 1970."""
        run_erasure(workspace)
        run_boards(workspace, chosen.boards)
        run_pin_queries(workspace, History(workspace).days(), chosen.queries)
        with quiet():
            store, views = open_store(workspace), ["pin_boards", "pin_queries"]
            store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC), views)
        names = ["pin_boards:board_titles", "pin_queries:engaged_queries"]
        found = store.get_online_features(names, [{"pin_id": "a"}]).to_dict()
        return [*found["board_titles"], sorted(found["engaged_queries"][0] or [])]

    assert online() == [["jane's secret wedding", "winter coats"], ["secret wedding", "wool coat"]]
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u2", "deleted_at": day(9)})
    assert online() == [["winter coats"], ["wool coat"]]
    assert "secret" not in everything(workspace)
    gone = ({"kind": "board", "id": "b1"}, {"kind": "user", "id": "u1"})
    write_rows(workspace, DELETIONS, *(row | {"deleted_at": day(9)} for row in gone))
    assert online() == [None, []]
    assert not [word for word in ("winter", "wool") if word in everything(workspace)]


def test_the_pairs_of_a_last_day_that_was_deleted_are_taken_back_but_not_under_words_that_are_gone(
    workspace: Workspace,
) -> None:
    """u2 was alone on the 5th: "vase" is u1's too, "secret" is nobody's any more and has no row to take it back."""
    click = {"event": "click"}
    write_rows(
        workspace, ENGAGEMENTS,
        {"query": "vase", "pin_id": "a", "user_hash": "u1", "event_timestamp": day(1), **click},
        {"query": "vase", "pin_id": "b", "user_hash": "u2", "event_timestamp": day(5), **click},
        {"query": "secret", "pin_id": "b", "user_hash": "u2", "event_timestamp": day(5), **click},
    )  # fmt: skip
    run_engagement(workspace, settings("").engagement)
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u2", "deleted_at": day(9)})
    run_erasure(workspace)
    run_engagement(workspace, settings("").engagement)
    pairs = parts.scan(workspace.folder(QUERY_PIN_ENGAGEMENT)).sort("event_timestamp").collect()
    assert pairs.select("event_timestamp", "query", "pin_id", "reason").rows() == [
        (day(2), "vase", "a", None), (day(6), "vase", "b", "none-left"),
    ]  # fmt: skip
    pins = parts.scan(workspace.folder(PIN_ENGAGEMENT)).sort("event_timestamp").collect()
    assert pins.select("event_timestamp", "pin_id", "reason").rows() == [
        (day(2), "a", None),
        (day(6), "b", "none-left"),
    ]


def test_deleted_words_are_in_no_table_after_a_run_as_of_a_day_before_them(catalogue: Workspace, encoder: str) -> None:
    run(catalogue, encoder)
    delete(catalogue)
    early = SnapshotSettings(cadence_days=1, as_of=day(1))
    chosen = settings(encoder)
    parts_of = {"boards": chosen.boards, "queries": chosen.queries, "engagement": chosen.engagement}
    changed = {name: replace(one, snapshots=early) for name, one in parts_of.items()}
    list(steps.run(catalogue, replace(chosen, **changed), STEPS))
    found = {table.name: str(parts.scan(catalogue.folder(table)).collect().to_dicts()).lower() for table in TABLES}
    assert not [(name, word) for name, rows in found.items() for word in SECRETS if word in rows]


def test_a_training_frame_knows_nothing_of_a_deleted_pin(catalogue: Workspace, encoder: str) -> None:
    run(catalogue, encoder)
    moment = pl.Series([day(40)] * 2, dtype=pl.Datetime("us", "UTC"))
    pairs = pl.DataFrame({"query": ["table"] * 2, "pin_id": ["a", "p"], "event_timestamp": moment})
    assert training_frame(catalogue, pairs, "student_v1")["pin_text__title"].to_list() == ["oak table", "my confession"]
    delete(catalogue)
    run(catalogue, encoder)
    frame = training_frame(catalogue, pairs, "student_v1")
    assert frame["pin_text__title"].to_list() == ["oak table", None]
    gone = frame.filter(pl.col("pin_id") == "p").drop(*pairs.columns)
    known = [name for name in gone.columns if not name.startswith("query_features") and gone[name][0] is not None]
    assert known == []


def test_one_row_of_nulls_takes_a_deleted_pins_values_back_and_a_second_run_does_nothing(catalogue: Workspace) -> None:
    write_rows(catalogue, PIN_CAPTION, {"pin_id": "p", "caption": "a confession", "event_timestamp": day(1)})
    delete(catalogue)
    began = datetime.now(UTC)
    assert run_erasure(catalogue).made > 0
    rows = parts.scan(catalogue.folder(PIN_CAPTION)).collect()
    assert rows.select("pin_id", "caption", "reason").rows() == [("p", None, "deleted")]
    assert began <= rows["event_timestamp"][0] <= datetime.now(UTC)
    before = {path: path.stat().st_mtime_ns for path in catalogue.root.rglob("*.parquet")}
    assert run_erasure(catalogue).made == 0
    assert before == {path: path.stat().st_mtime_ns for path in catalogue.root.rglob("*.parquet")}


@pytest.mark.parametrize("still_deleted", [[{"kind": "user", "id": "u", "deleted_at": day(5)}], []])
def test_a_pin_that_is_back_is_enriched_as_if_it_had_never_gone(
    catalogue: Workspace, encoder: str, still_deleted: list[dict[str, object]]
) -> None:
    run(catalogue, encoder)
    delete(catalogue)
    run(catalogue, encoder)
    parts.replace(catalogue.folder(DELETIONS), DELETIONS, DELETIONS.schema.empty_table())
    write_rows(catalogue, DELETIONS, *still_deleted)
    write_rows(catalogue, PINS, {"pin_id": "p", "title": "my confession", "created_at": day(1)})
    run(catalogue, encoder)
    rows = parts.scan(catalogue.folder(PIN_TEXT)).filter(pl.col("pin_id") == "p").collect()
    assert rows.select("title", "reason", "event_timestamp").rows() == [("my confession", None, day(1))]
    served = parts.latest(catalogue.folder(PIN_SERVING), PIN_SERVING)
    assert served.filter(pl.col("pin_id") == "p")["payload"][0] is not None
    assert run_erasure(catalogue).made == 0


def test_a_user_is_deleted_in_whatever_case_the_hash_is_written(workspace: Workspace) -> None:
    """Counting takes AB and ab for one person, and so does deleting."""
    event = {"pin_id": "a", "event": "click", "event_timestamp": day(1, 1)}
    write_rows(workspace, BOARDS, {"board_id": "b", "title": "diary", "owner_hash": "aB", "created_at": day(1)})
    write_rows(workspace, BOARD_PINS, {"board_id": "b", "pin_id": "a", "saved_at": day(1)})
    users = ("AB", "ab", "abc", None)
    write_rows(workspace, ENGAGEMENTS, *({"query": f"q{nth}", "user_hash": u} | event for nth, u in enumerate(users)))
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "Ab", "deleted_at": day(5)})
    history = History(workspace)
    assert history.days().days[0].rows == 2 and history.saves().count().execute() == 0
    run_erasure(workspace)
    left = [pl.read_parquet(parts.glob(workspace.folder(table))) for table in (ENGAGEMENTS, BOARDS, BOARD_PINS)]
    assert sorted(left[0]["query"]) == ["q2", "q3"] and left[1].is_empty() and left[2].is_empty()


def test_a_query_that_another_user_asked_too_stays(catalogue: Workspace, encoder: str) -> None:
    write_rows(
        catalogue, ENGAGEMENTS,
        {"query": "tattoo  REMOVAL", "pin_id": "a", "user_hash": "w", "event": "click", "event_timestamp": day(1, 1)},
    )  # fmt: skip
    run(catalogue, encoder)
    delete(catalogue)
    run(catalogue, encoder)
    assert "tattoo removal" in parts.scan(catalogue.folder(QUERY_SERVING)).collect()["query"].to_list()


def test_a_killed_erasure_is_finished_by_the_next_run(
    catalogue: Workspace, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(catalogue, encoder)
    delete(catalogue)
    whole = erasure._rewrite
    left = 4  # tables that are rewritten before the kill

    def killed(*arguments: object) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(erasure, "_rewrite", killed)
        run(catalogue, encoder)
    assert last_erasure(catalogue) is None
    run(catalogue, encoder)
    assert not [word for word in SECRETS if word in everything(catalogue)]


def test_what_a_deleted_pins_picture_looks_like_is_forgotten_whichever_captioner_described_it(
    catalogue: Workspace,
) -> None:
    looks = {name: picture_print(Image.new("RGB", (64, 64), name)) for name in ("red", "blue")}
    for producer in ("now", "before"):
        shown = {"producer": producer, "event_timestamp": day(1)}
        made = [{**shown, "pin_id": pin, "input_hash": name} for pin, name in (("a", "red"), ("p", "blue"))]
        write_rows(catalogue, PIN_CAPTION, *({**row, "caption": "a colour"} for row in made))
        write_rows(catalogue, PIN_VISUAL_EMBEDDING, *({**row, "visual_embedding": [1.0]} for row in made))
        with PictureTwins(catalogue.root / FILE, producer, pl.Series(dtype=pl.String)) as twins:
            assert [twins.original(name, seen) for name, seen in looks.items()] == ["red", "blue"]
            twins.commit()
    delete(catalogue)
    run_erasure(catalogue)
    with closing(sqlite3.connect(catalogue.root / FILE)) as database:
        left = database.execute("SELECT producer, picture FROM pictures ORDER BY place").fetchall()
    assert left == [("now", "red"), ("before", "red")]
    assert b"blue" not in (catalogue.root / FILE).read_bytes()


def test_the_models_that_may_have_seen_it_are_named(catalogue: Workspace) -> None:
    model = catalogue.models / "teacher"
    model.mkdir(parents=True)
    (model / "made_from.json").write_text("{}")
    delete(catalogue)
    run_erasure(catalogue)
    record = last_erasure(catalogue)
    assert record and record.models == ["models/teacher"]
    assert record.rows == {"board_pins": 2, "boards": 2, "engagements": 2, "pins": 1, "soft_label": 2}
    assert "learned before it: models/teacher" in render(status(catalogue))


def test_an_unreachable_online_store_is_counted_and_stops_nothing(
    catalogue: Workspace, encoder: str, tmp_path: Path
) -> None:
    run(catalogue, encoder)
    apply(catalogue)
    use_online_store(catalogue, "redis", "127.0.0.1:1")
    delete(catalogue)
    report = run_erasure(catalogue)
    assert report.failed["online-store-not-reached"] > 0 and report.made > 0


def test_what_an_unreachable_online_store_holds_is_removed_once_it_is_back(catalogue: Workspace, encoder: str) -> None:
    run(catalogue, encoder)
    apply(catalogue)
    materialize(catalogue)
    with quiet():
        open_store(catalogue).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC), ["query_features"])
    reached = catalogue.feature_store_yaml.read_text()
    use_online_store(catalogue, "redis", "127.0.0.1:1")
    delete(catalogue)
    failed = run_erasure(catalogue).failed
    assert failed["online-store-not-reached"] > 0
    assert run_erasure(catalogue).failed == failed, "it is tried again, and what is owed does not grow"
    catalogue.feature_store_yaml.write_text(reached)
    assert "tattoo" in everything(catalogue), "it is still online"
    assert not run_erasure(catalogue).failed
    run(catalogue, encoder)
    assert not [word for word in SECRETS if word in everything(catalogue)]
    assert not list((catalogue.root / "owed_online").iterdir())


def test_words_erased_while_they_are_being_loaded_are_removed_once_the_load_is_over(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `feast materialize` loads, which has the rows in hand when they are erased. Nobody waits for it here."""
    click = {"pin_id": "a", "event": "click", "event_timestamp": day(1)}
    write_rows(workspace, ENGAGEMENTS, {"query": "table", "user_hash": "v", **click})
    write_rows(workspace, QUERY_FEATURES, *({"query": q, "event_timestamp": day(2)} for q in ("table", "tattoo")))
    apply(workspace)
    monkeypatch.setattr(erasure, "_LOAD_SECONDS", 0)
    whole, failed = SafeSqliteOnlineStore.write_arrow, []

    def write(*arguments: object) -> None:
        write_rows(workspace, DELETIONS, {"kind": "user", "id": "u", "deleted_at": day(5)})
        failed.append(run_erasure(workspace).failed)
        whole(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, quiet():
        patched.setattr(SafeSqliteOnlineStore, "write_arrow", write)
        open_store(workspace).materialize(day(1), day(9), ["query_features"])
    assert failed == [{"online-store-being-loaded": 1}] and "tattoo" in everything(workspace)
    assert not run_erasure(workspace).failed and "tattoo" not in everything(workspace)
    assert not list((workspace.root / "owed_online").iterdir())


def test_words_are_erased_from_where_they_stood_in_the_file_before_their_rows_grew(workspace: Workspace) -> None:
    """Where Python's SQLite leaves what is freed as it was; some builds do not."""
    apply(workspace)
    store, secrets = open_store(workspace), [f"tattoo of {i:03d}" for i in range(40)]
    store._get_provider().online_store._get_conn(store.config).execute("PRAGMA secure_delete=OFF")
    for number, size in enumerate((300, 450, 700), start=1):
        at = {"payload": bytes(size), "event_timestamp": day(number)}
        write_rows(workspace, QUERY_SERVING, *({"query": query} | at for query in secrets))
        with quiet():
            store.materialize(day(0), day(9), ["query_serving"])
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u", "deleted_at": day(5)})
    assert b"tattoo" in (workspace.root / "online.db-wal").read_bytes()
    assert not run_erasure(workspace).failed
    assert not [file for file in workspace.root.glob("online.db*") if b"tattoo" in file.read_bytes()]


def test_no_load_ends_between_a_row_of_nulls_and_its_date(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would leave the row to no later one: `materialize-incremental` begins where the last load ended."""
    write_rows(workspace, PIN_TEXT, {"pin_id": "p", "title": "tattoo", "event_timestamp": day(1)})
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "p", "deleted_at": day(5)})
    folder, whole, free = workspace.folder(PIN_TEXT), erasure._append_tombstones, []

    def append(*arguments: object) -> None:
        whole(*arguments)  # type: ignore[arg-type]
        with view_loads._opened(folder) as file:
            free.append(view_loads._is_had(file))

    monkeypatch.setattr(erasure, "_append_tombstones", append)
    run_erasure(workspace)
    assert free == [False]
    load = view_loads.loading
    with load(parts.glob(folder)), load(parts.glob(folder)), view_loads.erasing(folder, 0) as alone:
        assert not alone, "loads go on together"
