"""Logs under their own names for columns and events; what is not read is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.history import History
from enrich.importers import Mapping, import_catalogue
from enrich.tables import ENGAGEMENTS, PINS
from enrich.workspace import Workspace

COLUMNS = [
    "query=search.term",
    "pin_id=sku",
    "event=action",
    "event_timestamp=ts",
    "engagements.position=attributes.pos.ordinal",
]
EVENTS = ["view=impression", "Add To Cart=save"]


def log(workspace: Workspace) -> list[tuple]:
    rows = parts.scan(workspace.folder(ENGAGEMENTS)).collect().sort("event_timestamp", "event")
    return rows.select("query", "pin_id", "event", "position", "event_timestamp").rows()


def test_json_lines_by_paths_into_objects(two_pins: Path, tmp_path: Path) -> None:
    lines = [
        {
            "search": {"term": "red shoe"},
            "sku": 1,
            "action": "view",
            "ts": 1704067200,
            "attributes": {"pos": {"ordinal": 3}},
        },
        {"search": {"term": "red shoe"}, "sku": 1, "action": "add to cart", "ts": 1704067260, "attributes": {}},
        {"search": {"term": "red shoe"}, "sku": 1, "action": "stare", "ts": 1704067260, "attributes": {}},
        {"search": {}, "sku": 1, "action": "view", "ts": 1704067260, "attributes": {}},
        {"search": {"term": "hat"}, "sku": 2, "action": "click", "ts": 1704067300, "attributes": None},
    ]
    (two_pins / "engagements.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    workspace = Workspace.at(tmp_path / "w")
    report = import_catalogue("native", two_pins, workspace, Mapping.parse(COLUMNS, EVENTS))
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert log(workspace) == [
        ("red shoe", "1", "impression", 3, start),
        ("red shoe", "1", "save", None, start.replace(minute=1)),
        ("hat", "2", "click", None, start.replace(minute=1, second=40)),
    ]
    dropped = next(table.dropped for table in report.tables if table.table == "engagements")
    assert dropped == {"unknown-event": 1, "missing-query": 1}
    assert "engagements.query is read from search.term" in report.notes and "events: view is impression" in report.notes


def test_a_key_with_a_dot_in_its_name_is_a_column_too(two_pins: Path, tmp_path: Path) -> None:
    """It goes before a path of the same steps."""
    line = {"search.term": "shoe", "search": {"term": "no"}, "sku": 1, "action": "click", "ts": 1704067200}
    (two_pins / "engagements.jsonl").write_text(json.dumps(line) + "\n")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, Mapping.parse(COLUMNS[:4], EVENTS))
    assert log(workspace)[0][0] == "shoe"


STEPS = ["query=Search.Term", "position=search.at.ordinal", "user_hash=search.more.user"]


def test_objects_of_parquet_are_paths_as_those_of_json(two_pins: Path, tmp_path: Path) -> None:
    """Imported or left in place: both read a field of a struct; an import also one of a JSON text in it."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [{"search": {"Term": "red shoe", "at": {"ordinal": 3}, "more": '{"user": "u1"}'}},
            {"search": {"Term": "hat", "at": None, "more": None}}]  # fmt: skip
    folder = two_pins / "engagements"
    folder.mkdir()
    more = {"pin_id": "1", "event": "click", "event_timestamp": at}
    pl.DataFrame([row | more for row in rows], infer_schema_length=None).write_parquet(folder / "a.parquet")
    imported, left = Workspace.at(tmp_path / "i"), Workspace.at(tmp_path / "l")
    import_catalogue("native", two_pins, imported, Mapping.parse(STEPS, []))
    found = parts.scan(imported.folder(ENGAGEMENTS)).select("query", "position", "user_hash").collect()
    assert sorted(found.rows()) == [("hat", None, None), ("red shoe", 3, "u1")]
    import_catalogue("native", two_pins, left, Mapping.parse(STEPS[:2], []), log=str(folder))
    there = History(left).log().select("query", "position").to_polars()
    assert sorted(there.rows()) == [("hat", None), ("red shoe", 3)]


def test_a_step_that_an_object_has_not_says_what_it_has(two_pins: Path, tmp_path: Path) -> None:
    folder = two_pins / "engagements"
    folder.mkdir()
    row = {"search": {"term": "shoe"}, "pin_id": "1", "event": "click", "event_timestamp": datetime(2024, 1, 1)}
    pl.DataFrame([row]).write_parquet(folder / "a.parquet")
    for place in (None, str(folder)):
        with pytest.raises(
            BadInput, match=r"expected a column 'search.word'.* found (search\.term, pin_id|term;)"
        ) as raised:
            import_catalogue(
                "native", two_pins, Workspace.at(tmp_path / "w"), Mapping.parse(["query=search.word"], []), log=place
            )
        assert "\n" not in str(raised.value)


def test_a_csv_log_keeps_its_own_column_of_a_mapped_name_out(two_pins: Path, tmp_path: Path) -> None:
    """`query` is a number there; what was typed is in `term`."""
    (two_pins / "engagements.csv").write_text("query,term,pin_id,event,event_timestamp\n17,shoe,1,click,2024-01-01\n")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, Mapping.parse(["query=term"], []))
    assert log(workspace)[0][0] == "shoe"


def test_columns_and_files_that_are_not_read_are_named(two_pins: Path, tmp_path: Path) -> None:
    (two_pins / "engagements.csv").write_text("query,pin_id,event,postion,event_timestamp\nshoe,1,click,1,2024-01-01\n")
    (two_pins / "bords.csv").write_text("board_id,title\nb,shoes\n")
    notes = import_catalogue("native", two_pins, Workspace.at(tmp_path / "w")).notes
    assert "engagements: columns that are not read: postion" in notes
    assert "files that are not read, for no table has their name: bords.csv" in notes


@pytest.mark.parametrize(
    ("columns", "events", "said"),
    [
        (["query"], [], "expected --map TABLE.COLUMN=FIELD"),
        (["querry=q"], [], "name a source table's column"),
        (["pins.query=q"], [], "name a source table's column"),
        ([], ["view=seen"], "with an event of impression, click"),
        (["query=nothing"], [], "expected a column 'nothing' for engagements.query, found query, pin_id"),
        (["query=a", "engagements.query=b"], [], "one --map for engagements.query, found two: a and b; leave one out"),
        ([], ["view=click", "View=save"], "one --event for view, found two: click and save; leave one out"),
    ],
)
def test_what_cannot_be_mapped_says_why(
    columns: list[str], events: list[str], said: str, two_pins: Path, tmp_path: Path
) -> None:
    (two_pins / "engagements.csv").write_text("query,pin_id,event,event_timestamp\nshoe,1,click,2024-01-01\n")
    with pytest.raises(BadInput, match=said):
        import_catalogue("native", two_pins, Workspace.at(tmp_path / "w"), Mapping.parse(columns, events))


def test_only_native_folders_are_mapped(two_pins: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="with the format native alone"):
        import_catalogue("ubi", two_pins, Workspace.at(tmp_path / "w"), Mapping.parse(["query=q"], []))


def test_hive_partitions_give_columns(two_pins: Path, tmp_path: Path) -> None:
    for day, lang in (("2024-01-01", "en"), ("2024-01-02", "de")):
        part = two_pins / "engagements" / f"event_timestamp={day}" / f"lang={lang}"
        part.mkdir(parents=True)
        pl.DataFrame({"query": ["shoe"], "pin_id": ["1"], "event": ["click"]}).write_parquet(part / "part-0.parquet")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace)
    rows = parts.scan(workspace.folder(ENGAGEMENTS)).collect().sort("event_timestamp")
    assert rows.select("lang", pl.col("event_timestamp").dt.day()).rows() == [("en", 1), ("de", 2)]


def test_a_key_of_json_lines_is_known_however_it_is_spelt(two_pins: Path, tmp_path: Path) -> None:
    """As a heading of csv is; of two that a line has, the one that most lines have counts."""
    lines = [
        {"pin_id": 1, "Link URL": "http://shop.test/1", "created-at": "2020-01-01"},
        {"pin_id": 2, "Link URL": "http://shop.test/2", "Created At": "2021-01-01", "created-at": None},
        {"pin_id": 3, "link_url": "http://shop.test/3", "PIN_ID": 4, "created-at": "2022-01-01", "/a~b": [1]},
    ]
    (two_pins / "pins.csv").unlink()
    (two_pins / "pins.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    workspace = Workspace.at(tmp_path / "w")
    notes = import_catalogue("native", two_pins, workspace).notes
    pins = parts.scan(workspace.folder(PINS)).sort("pin_id").collect()
    assert pins["link_url"].to_list() == [f"http://shop.test/{n}" for n in (1, 2, 3)]
    assert pins["created_at"].dt.year().to_list() == [2020, 2021, 2022]
    assert "pins: columns that are not read: /a~b" in notes


def test_a_column_of_a_log_is_known_however_it_is_spelt(two_pins: Path, tmp_path: Path) -> None:
    row = {"Query": "hat", "pin-id": "1", "Pin Title": "x", "EVENT": "click", "Event Timestamp": "2024-01-01"}
    (two_pins / "engagements.jsonl").write_text(json.dumps(row | {"user-hash": "u"}) + "\n")
    (tmp_path / "log").mkdir()
    pl.DataFrame([row | {"user-hash": "u"}]).write_parquet(tmp_path / "log" / "a.parquet")
    mapping = Mapping.parse(["country=pin_title"], [])
    for place in (None, str(tmp_path / "log")):
        workspace = Workspace.at(tmp_path / f"w{place is None}")
        import_catalogue("native", two_pins, workspace, mapping, log=place)
        found = History(workspace).log().select("query", "pin_id", "user_hash").to_polars()
        assert found.rows() == [("hat", "1", "u")]


def test_a_picture_lies_in_the_folder_however_its_column_is_spelt(two_pins: Path, tmp_path: Path) -> None:
    (two_pins / "pins.csv").write_text("pin_id,title,Image URI\n1,shoe,images/1.jpg\n")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace)
    assert parts.scan(workspace.folder(PINS)).collect()["image_uri"].item() == str(two_pins / "images/1.jpg")


def test_what_is_mapped_goes_before_a_column_that_is_spelt_so(two_pins: Path, tmp_path: Path) -> None:
    (two_pins / "pins.csv").write_text("Pin ID,Image-URI,sku,photo\n1,old.jpg,S1,new.jpg\n")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace, Mapping.parse(["pins.pin_id=sku", "pins.image_uri=photo"], []))
    pin = parts.scan(workspace.folder(PINS)).select("pin_id", "image_uri").collect().row(0)
    assert pin == ("S1", str(two_pins / "new.jpg"))


def test_an_object_or_a_list_of_json_lines_is_no_text(two_pins: Path, tmp_path: Path) -> None:
    """It is left out, counted, and may be read by a path; a text that looks like one stays."""
    lines = [
        {"pin_id": 1, "Title": {"en": "shoe"}, "category": ["a", "b"], "description": '["new"] shoe'},
        {"pin_id": 2, "title": "hat", "names": [1]},
        {"pin_id": {"id": 3}, "title": "coat", "names": "Coat"},
    ]
    (two_pins / "pins.csv").unlink()
    (two_pins / "pins").mkdir()
    (two_pins / "pins" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (two_pins / "pins" / "b.csv").write_text("pin_id,title\n4,[sale] vase\n")
    workspace = Workspace.at(tmp_path / "w")
    report = import_catalogue("native", two_pins, workspace)
    pins = parts.scan(workspace.folder(PINS)).select("pin_id", "title", "category", "description").collect()
    assert sorted(pins.rows()) == [
        ("1", None, None, '["new"] shoe'), ("2", "hat", None, None), ("4", "[sale] vase", None, None)
    ]  # fmt: skip
    assert report.tables[0].dropped == {"nested-pin_id": 1}
    assert report.tables[0].blanked == {"nested-title": 1, "nested-category": 1}
    assert any("pins.title: 1 objects or lists are left out; flatten, or name" in note for note in report.notes)
    mapping = Mapping.parse(["pins.title=title.en", "pins.category=names"], [])
    report = import_catalogue("native", two_pins, workspace, mapping)
    pins = parts.scan(workspace.folder(PINS)).select("pin_id", "title", "category").collect()
    assert sorted(pins.rows()) == [("1", "shoe", None), ("2", None, None), ("4", None, None)]
    assert report.tables[0].blanked == {"nested-category": 1}
