"""Quepid's exports onto pins and judgments: basic, detail and book; what is a ranking, and what is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import import_catalogue
from enrich.judgments import run_judgments
from enrich.tables import JUDGMENT, JUDGMENTS, PINS, Table
from enrich.workspace import Workspace

PINS_CSV = "pin_id,title,description\n1,Oak table,round\n2,Lamp,\n3,Rug,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "case"
    folder.mkdir()
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "fresh")


def rows(workspace: Workspace, table: Table, *columns: str) -> list[tuple]:
    return sorted(parts.scan(workspace.folder(table)).select(columns).collect().rows(), key=repr)


def gold(workspace: Workspace) -> dict[tuple[str, str], int]:
    run_judgments(workspace)
    found = parts.latest(workspace.folder(JUDGMENT), JUDGMENT)
    return {(query, pin): level for query, pin, level in found.select("query", "pin_id", "level").iter_rows()}


def test_a_basic_export_beside_pins(folder, fresh):
    """0 to 3 are levels 1, 2, 4, 5; a query that nobody rated and a document without a rating bring nothing."""
    (folder / "pins.csv").write_text(PINS_CSV)
    (folder / "case_basic.csv").write_text(
        "query,docid,rating\noak table,1,3\noak table,2,0\noak table,3,1\n'=lamp,2,2\nsofa\nrug,3,\n"
    )
    report = import_catalogue("quepid", folder, fresh)
    assert gold(fresh) == {("oak table", "1"): 5, ("oak table", "2"): 1, ("oak table", "3"): 2, ("=lamp", "2"): 4}
    assert "levels: a rating r of 0..3 is the vote 1 + 4r/3" in report.notes


def test_a_detailed_export_brings_its_documents(folder, fresh):
    (folder / "case_detailed.csv").write_text(
        "Team Name,Case Name,Case ID,Query Text,Doc ID,Title,Rating,brand,price\n"
        'Search,Shop,7,oak table,1,"Table, round",3,Oakwood,99\nSearch,Shop,7,lamp,1,"Table, round",,Oakwood,99\n'
    )
    report = import_catalogue("quepid", folder / "case_detailed.csv", fresh)
    assert rows(fresh, PINS, "pin_id", "title", "description") == [("1", "Table, round", "Oakwood. 99.")]
    assert gold(fresh) == {("oak table", "1"): 5}
    assert "judgments: 1 documents have no rating" in report.notes


def test_a_book_has_a_vote_a_rater(folder, fresh):
    (folder / "pins.csv").write_text(PINS_CSV)
    (folder / "book.csv").write_text("query,docid,Ann,Bob\noak table,1,3,2\noak table,2,0,\n")
    import_catalogue("quepid", folder, fresh)
    assert rows(fresh, JUDGMENTS, "annotator_id", "pin_id", "level") == [
        ("Ann", "1", 5.0),
        ("Ann", "2", 1.0),
        ("Bob", "1", pytest.approx(1 + 8 / 3)),
    ]
    assert gold(fresh)["oak table", "1"] == 4  # 4⅓, half up


def test_a_rating_in_two_exports_is_one_and_a_snapshot_is_no_rating(folder, fresh):
    (folder / "pins.csv").write_text(PINS_CSV)
    (folder / "a.csv").write_text("query,doc_id,rating\nlamp,2,1\n")
    (folder / "b.csv").write_text("query,docid,rating\nlamp,2,1\n")
    (folder / "snapshot.csv").write_text(
        "Snapshot Name,Snapshot Time,Case ID,Query Text,Doc ID,Doc Position\nmonday,now,7,lamp,3,1\n"
    )
    report = import_catalogue("quepid", folder, fresh)
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [("lamp", "2", 5.0)]  # binary: 1 is the best
    assert "snapshot.csv: a ranking, which is not read" in report.notes


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": "query,docid,rating\nlamp,2,1\n"}, "found ratings alone"),
        ({"pins.csv": PINS_CSV, "a.csv": "query,docid,rating\nlamp,2,high\n"}, "none that is a number"),
        ({"pins.csv": PINS_CSV}, "expected a csv with query, docid and rating"),
        ({"pins.csv": PINS_CSV, "a.csv": "q,d\nlamp,2\n"}, "expected a csv with query, docid and rating"),
        ({"pins.csv": PINS_CSV, "a.csv": ""}, "column names"),
    ],
)
def test_what_is_no_export_is_one_line(folder, fresh, files, words):
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(BadInput, match=words) as caught:
        import_catalogue("quepid", folder, fresh)
    assert "\n" not in str(caught.value)
    assert not (fresh.root / "workspace.json").exists()
