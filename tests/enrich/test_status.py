"""`enrich status`: counts that can be checked by hand, every reason shown, and the record as JSON."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import console, job, older_tables, parts
from enrich.cli import enrich as command
from enrich.errors import BadInput
from enrich.importers import import_catalogue
from enrich.left_out import left_out
from enrich.records import to_json
from enrich.status import EnrichedStatus, Status, render, status
from enrich.tables import DELETIONS, ENRICHED, PIN_BOARDS, PIN_CAPTION, PIN_GRAPH, PIN_QUERIES, SOURCES
from enrich.texts import run_texts
from enrich.workspace import ENVIRONMENT_VARIABLE, Workspace
from relevance.cli import relevance

T0 = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def catalogue(tmp_path: Path) -> Workspace:
    """Four pins (one row dropped, one deleted), two queries in the log."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "pins.csv").write_text(
        "pin_id,title,image_uri,created_at\n1,shoe,1.png,2024-01-01\n2,,2.png,2024-01-01\n3,hat,,2024-01-01\n"
        "4,gone,,2024-01-01\n5,bad,,1960-01-01\n"
    )
    (folder / "engagements.csv").write_text(
        "query,pin_id,event,event_timestamp\nShoe,1,click,2024-02-01\nshoe,1,click,2024-02-02\nhat,3,save,2024-02-02\n"
    )
    (folder / "deletions.csv").write_text("kind,id,deleted_at\npin,4,2024-03-01\n")
    workspace = Workspace.at(tmp_path / "workspace")
    import_catalogue("native", folder, workspace)
    return workspace


def table(found: Status, name: str) -> EnrichedStatus:
    return next(table for table in found.enriched if table.table == name)


def put_caption(
    workspace: Workspace, pin: str, caption: str | None, reason: str | None, producer: str, day: int
) -> None:
    row = pl.DataFrame(
        {"pin_id": [pin], "caption": [caption], "reason": [reason], "input_hash": [f"{pin} {producer}"]}
    ).with_columns(event_timestamp=pl.lit(T0 + timedelta(days=day)).cast(pl.Datetime("us", "UTC")))
    job.append(workspace, PIN_CAPTION, row, producer)


def test_rows_younger_than_any_snapshot_are_said_to_wait_for_one(two_pins, tmp_path, capsys):
    """Snapshots are multiples of 30 days, and the row below is not older than the last of these."""
    now = datetime.now(UTC)
    due = datetime.fromtimestamp(0, UTC) + (now - datetime.fromtimestamp(0, UTC)) // timedelta(days=30) * timedelta(
        days=30
    )
    (two_pins / "engagements.csv").write_text(
        f"query,pin_id,event,event_timestamp\nshoe,1,click,{max(due, now - timedelta(minutes=1)):%Y-%m-%dT%H:%M:%SZ}\n"
    )
    where, next_one = ["--workspace", str(tmp_path / "w")], f"{due + timedelta(days=30):%Y-%m-%d}"
    assert console.run(command, ["import", "native", str(two_pins), *where]) == 0
    capsys.readouterr()
    assert console.run(command, ["engagement", *where]) == 0
    assert f"pin_engagement: 0 made, 0 fresh, its first snapshot is due {next_one}" in capsys.readouterr().out
    notes = status(Workspace.at(tmp_path / "w")).notes
    assert any(f"pin_engagement has no rows yet: its first snapshot is due {next_one}" in note for note in notes)
    assert console.run(command, ["engagement", "--as-of", "2024-03-01T00:00:00Z", *where]) == 0


def test_a_table_older_than_one_of_its_columns_is_counted_without_it(catalogue):
    put_caption(catalogue, "1", "a shoe", None, "m", 1)
    for part in catalogue.folder(PIN_CAPTION).glob("*.parquet"):
        pl.read_parquet(part).drop("caption_rule").write_parquet(part)
    features = table(status(catalogue), "pin_caption").features
    assert features["caption"] == 1 and "caption_rule" not in features


def test_tables_of_an_older_version_are_refused_in_a_line_until_a_step_runs(catalogue, capsys):
    put_caption(catalogue, "1", "a shoe", None, "m", 1)
    for part in catalogue.folder(PIN_CAPTION).glob("*.parquet"):
        pl.read_parquet(part).drop("caption_rule").write_parquet(part)
    where = ["--workspace", str(catalogue.root)]
    assert console.run(relevance, ["agreement", *where]) == 2
    assert "without caption_rule" in capsys.readouterr().err
    assert console.run(command, ["status", *where]) == 0
    shutil.rmtree(catalogue.folder(PIN_GRAPH))
    capsys.readouterr()
    assert console.run(command, ["status", *where]) == 2
    assert "expected this version's pin_graph" in capsys.readouterr().err
    assert console.run(command, ["erase", *where]) == 0
    assert older_tables.older_tables(catalogue) == {}
    assert parts.read(catalogue.folder(PIN_CAPTION), PIN_CAPTION)["caption"].to_pylist() == ["a shoe"]


def test_texts_from_outside_do_not_steer_the_terminal(capsys):
    console.finish("arm \x1b[2Jred\x9b, 店 – é\n\tnext", {}, False)
    assert capsys.readouterr().out == "arm [2Jred, 店 – é\n\tnext\n"


def test_every_table_is_there_and_the_imports_reasons_are_kept(catalogue):
    found = status(catalogue)
    assert [source.table for source in found.sources] == [table.name for table in SOURCES]
    assert [enriched.table for enriched in found.enriched] == [table.name for table in ENRICHED]
    pins = found.sources[0]
    assert (pins.rows, dict(pins.dropped)) == (4, {"impossible-created_at": 1})


def test_coverage_counts_the_newest_row_of_each_pin_not_deleted(catalogue):
    put_caption(catalogue, "1", None, "corrupt", "old model", day=0)
    put_caption(catalogue, "1", "a shoe", None, "new model", day=1)
    put_caption(catalogue, "2", "a hat", None, "old model", day=0)
    put_caption(catalogue, "2", None, "truncated", "new model", day=1)
    captions = table(status(catalogue), "pin_caption")
    assert (captions.rows, captions.keys, captions.made, captions.expected) == (4, 2, 1, 3)
    assert captions.coverage == pytest.approx(1 / 3)
    assert captions.failed == {"truncated": 1}
    assert captions.producers == {"old model": 2, "new model": 2}
    assert captions.backfilled == 4
    assert captions.latest_event == T0 + timedelta(days=1)


def test_fields_are_counted_one_by_one_and_an_empty_list_is_none(catalogue):
    run_texts(catalogue)
    assert table(status(catalogue), "pin_text").features == {"title": 2, "description": 0, "lang": 0, "category": 0}
    rows = pl.DataFrame(
        {"pin_id": ["1", "3"], "board_titles": [["shoes"], []], "board_count": [1, 0], "input_hash": "h"},
        schema_overrides={"board_titles": pl.List(pl.String)},
    ).with_columns(event_timestamp=pl.lit(T0).cast(pl.Datetime("us", "UTC")), reason=pl.lit(None, pl.String))
    job.append(catalogue, PIN_BOARDS, rows, "boards")
    assert table(status(catalogue), "pin_boards").features == {"board_titles": 1, "board_count": 2}


def test_a_boards_private_piece_is_taken_out_and_the_board_is_not_left_out():
    assert left_out("pin_boards", Counter({"generic-title": 2, "private-email": 1})) == [
        "left out generic-title: 2 boards",
        "taken out private-email: 1 board",
    ]


def test_erase_says_what_makes_the_snapshots_again(catalogue, capsys):
    where = ["--workspace", str(catalogue.root)]
    run_texts(catalogue)
    write_rows(catalogue, DELETIONS, {"kind": "pin", "id": "1", "deleted_at": day(1)})
    assert console.run(command, ["erase", *where]) == 0
    assert "`enrich run` makes the snapshots of boards, queries and engagement again" in capsys.readouterr().out
    assert console.run(command, ["erase", *where]) == 0
    assert "enrich run" not in capsys.readouterr().out


LEFT_OUT = {"log-rows-without-user": 294, "fewer-users-than-k": 2, "private-email": 1}


def test_what_a_snapshot_left_out_is_shown(catalogue):
    manifest = {T0.isoformat(): {"producer": "p", "input_hash": "h", "rows": 0, "dropped": LEFT_OUT}}
    parts.write_text(catalogue.folder(PIN_QUERIES) / "snapshots.json", json.dumps(manifest))
    found = status(catalogue)
    assert table(found, "pin_queries").left_out == LEFT_OUT
    assert "\n    left out fewer-users-than-k: 2 queries\n    left out private-email: 1 query\n" in render(found)
    assert "\n    half hours stand in for users: 294 log rows\n" in render(found)


def test_queries_are_counted_by_their_key_and_absences_are_said(catalogue):
    found = status(catalogue)
    assert table(found, "query_features").expected == 2
    assert "no links, so nothing in pin_link" in found.notes
    assert "no boards, so nothing in pin_boards, pin_graph" in found.notes
    assert "pin_caption has no rows yet: `enrich captions` fills it" in found.notes
    assert not any("no images" in note for note in found.notes)


def test_the_page_has_a_line_a_table_and_the_record_is_json(catalogue):
    put_caption(catalogue, "2", None, "truncated", "model", day=1)
    found = status(catalogue)
    page = render(found)
    for name in [*(table.name for table in SOURCES), *(table.name for table in ENRICHED)]:
        assert sum(line.startswith(f"{name} ") for line in page.splitlines()) == 1
    assert "    dropped impossible-created_at: 1" in page
    assert "    without values truncated: 1" in page
    stored = json.loads(to_json(found))
    caption = next(table for table in stored["enriched"] if table["table"] == "pin_caption")
    assert caption["failed"] == {"truncated": 1}
    assert caption["latest_event"] == "2024-01-02T00:00:00+00:00"


def test_the_commands_last_line_is_one_json_object_with_the_reasons(catalogue, capsys, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(catalogue.root))
    put_caption(catalogue, "2", None, "truncated", "model", day=1)
    assert console.run(command, ["status", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["sources"][0]["dropped"] == {"impossible-created_at": 1}


def test_a_folder_without_a_catalogue_is_refused(tmp_path):
    with pytest.raises(BadInput, match="enrich import FORMAT PATH"):
        status(Workspace.at(tmp_path / "nothing"))
