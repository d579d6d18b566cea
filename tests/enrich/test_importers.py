"""Importing one's own files: what is kept, what is dropped and why, and that a failed import changes nothing."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import Format, ImportReport, import_catalogue
from enrich.importers.report import TableReport
from enrich.tables import BOARDS, ENGAGEMENTS, INTERESTS, JUDGMENTS, PIN_TEXT, PINS, SOURCES, Table
from enrich.texts import TextSettings, run_texts
from enrich.workspace import Catalogue, Workspace

PINS_CSV = """Pin_ID,Title,image_uri,created_at,lang
1,red shoe,img/1.png,2024-01-01,EN-us
2,old hat,http://shop.test/2.png,1700000000,english spoken
2,new hat,,2024-05-01,
3,"a ""quoted"", boot",/abs/3.png,2024-02-01T10:00:00+02:00,de
"""
JUDGMENTS_JSONL = """{"query": "shoe", "pin_id": 1, "level": "5", "annotator_id": 7, "judged_at": "2024-06-01"}
{"query": "shoe", "pin_id": 2, "level": 2.0, "annotator_id": 7, "judged_at": 1717200000}
{"query": "shoe", "pin_id": 2, "level": 4, "annotator_id": 8, "judged_at": "2024-06-02"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pins (one of them twice) and three votes."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "pins.csv").write_text(PINS_CSV)
    (folder / "judgments.jsonl").write_text(JUDGMENTS_JSONL)
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """A workspace that does not exist yet."""
    return Workspace.at(tmp_path / "fresh")


def rows(workspace: Workspace, table: Table) -> pl.DataFrame:
    return parts.scan(workspace.folder(table)).collect()


def of(report: ImportReport, table: Table) -> TableReport:
    return next(found for found in report.tables if found.table == table.name)


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_saves_to_a_board_that_is_not_there_are_counted(two_pins: Path, tmp_path: Path) -> None:
    """Board 2 was dropped, board 3 never given; then there is no file of boards at all."""
    (two_pins / "board_pins.csv").write_text(
        "board_id,pin_id,saved_at\n1,1,2024-01-01\n2,1,2024-01-01\n3,2,2024-01-01\n"
    )
    (two_pins / "boards.csv").write_text("board_id,title,created_at\n1,shoes,2024-01-01\n2,hats,1950-01-01\n")
    said = "board_pins: {} name a board that the catalogue does not have, and are not counted"
    assert said.format(2) in import_catalogue("native", two_pins, Workspace.at(tmp_path / "w")).notes
    (two_pins / "boards.csv").unlink()
    assert said.format(3) in import_catalogue("native", two_pins, Workspace.at(tmp_path / "w")).notes


def test_pins_and_judgments_alone_make_a_workspace(folder, fresh):
    report = import_catalogue("native", folder, fresh)
    pins = rows(fresh, PINS).sort("pin_id")
    assert pins["pin_id"].to_list() == ["1", "2", "3"]
    assert pins["title"].to_list() == ["red shoe", "new hat", 'a "quoted", boot']
    assert pins["image_uri"].to_list() == [str(folder / "img/1.png"), None, "/abs/3.png"]
    assert pins["lang"].to_list() == ["en", None, "de"]
    assert pins["created_at"][2] == datetime(2024, 2, 1, 8, tzinfo=UTC)
    assert of(report, PINS) == TableReport("pins", 3, Counter(duplicate=1), Counter({"malformed-lang": 1}))
    assert of(report, JUDGMENTS) == TableReport("judgments", 3, Counter(), Counter())
    assert rows(fresh, JUDGMENTS)["level"].to_list() == [5.0, 2.0, 4.0]
    assert all(rows(fresh, table).is_empty() for table in SOURCES if table not in (PINS, JUDGMENTS))
    assert Workspace.open(fresh.root).catalogue == Catalogue("native", str(folder))
    assert ImportReport.load(fresh) == report


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl", "jsonl.gz", "csv.gz"])
def test_every_file_kind_gives_the_same_rows(suffix, tmp_path, fresh):
    frame = pl.DataFrame(
        {"pin_id": ["007", "8"], "title": ["été, 日本", 'tab\t "q"\nline'], "created_at": ["2024-01-01"] * 2}
    )
    path = tmp_path / f"pins.{suffix}"
    plain = path.with_name(path.name.removesuffix(".gz"))
    match plain.suffix:
        case ".parquet":
            frame.write_parquet(plain)
        case ".jsonl":
            frame.write_ndjson(plain)
        case _:
            frame.write_csv(plain, separator="\t" if plain.suffix == ".tsv" else ",")
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    import_catalogue("native", tmp_path, fresh)
    assert rows(fresh, PINS).sort("pin_id").select("pin_id", "title").rows() == frame.select("pin_id", "title").rows()


def test_a_folder_of_parts_is_one_table_whatever_each_part_calls_an_id(folder, fresh):
    log = folder / "engagements"
    log.mkdir()
    event = {"query": ["shoe"], "event": ["Long-Click"], "event_timestamp": [datetime(2024, 3, 1)]}
    pl.DataFrame({**event, "pin_id": [1]}).write_parquet(log / "a.parquet")
    pl.DataFrame({**event, "pin_id": ["2"], "position": ["3"]}).write_parquet(log / "b.parquet")
    import_catalogue("native", folder, fresh)
    found = rows(fresh, ENGAGEMENTS).sort("pin_id").select("pin_id", "event", "position").rows()
    assert found == [("1", "long_click", None), ("2", "long_click", 3)]


def test_each_bad_row_is_dropped_and_counted_by_its_reason(folder, fresh):
    (folder / "engagements.csv").write_text(
        "query,pin_id,event,position,country,event_timestamp\n"
        "shoe,1,click,1,us,2024-03-01 10:00\n"
        "shoe,1,click,1,us,2024-03-01 10:00\n"  # the same line once more: a duplicate
        "shoe,1,click,0,Atlantis,2024-03-02\n"  # kept, with position and country blanked
        "shoe,1,save,2,us,2024-03-03\n"
        "shoe,2,save,2,us,2024-03-03\n"
        "shoe,3,save,2,us,2024-03-03\n"
        "shoe,2,hide,2,us,2024-03-03\n"
        "shoe,1,stare,2,us,2024-03-03\n"
        "shoe,,click,2,us,2024-03-03\n"
        f"{'x' * 5000},1,click,2,us,2024-03-03\n"
        "shoe,1,click,2,us,1969-12-31\n"
        "shoe,1,click,2,us,1970-01-01\n"  # 0, a clock that was never set
        "shoe,1,click,2,us,3024-01-01\n"
        "shoe,1,click,2\n"  # a short line
    )
    (folder / "judgments.jsonl").write_text(
        JUDGMENTS_JSONL + '{"query": "shoe", "pin_id": 3, "level": 9}\n{"query": "sh'
    )
    report = import_catalogue(Format.NATIVE, folder, fresh)
    assert of(report, ENGAGEMENTS).kept == 6
    assert of(report, ENGAGEMENTS).dropped == {
        "duplicate": 1,
        "unknown-event": 1,
        "missing-pin_id": 1,
        "too-long-query": 1,
        "impossible-event_timestamp": 3,
        "unreadable-line": 1,
    }
    assert of(report, ENGAGEMENTS).blanked == {"zero-position": 1, "malformed-country": 1}
    assert of(report, JUDGMENTS).dropped == {"outside-1-5-level": 1, "unreadable-line": 1}


def test_times_that_are_absent_are_given_and_the_report_says_so(tmp_path, fresh):
    (tmp_path / "pins.csv").write_text("pin_id,title\n1,shoe\n")
    (tmp_path / "judgments.csv").write_text("query,pin_id,level\nshoe,1,4\n")
    (tmp_path / "engagements.csv").write_text("query,pin_id,event,event_timestamp\nshoe,1,click,2024-03-01\n")
    (tmp_path / "interests.csv").write_text("interest_id,name\n1,shoes\n")
    notes = import_catalogue("native", tmp_path, fresh).notes
    assert rows(fresh, PINS)["created_at"].item() == datetime(2000, 1, 1, tzinfo=UTC)
    assert rows(fresh, JUDGMENTS)["judged_at"].item() == datetime(2024, 3, 2, tzinfo=UTC)
    assert rows(fresh, INTERESTS)["is_shopping"].item() is False
    assert [note.split(":")[0] for note in notes] == [
        "pins.created_at",
        "judgments.judged_at",
        "interests.is_shopping",
        "judgments",  # a day after a log of one day they see nothing of it
    ]


def test_content_of_an_unknown_time_precedes_the_earliest_judgment(tmp_path, fresh):
    (tmp_path / "pins.csv").write_text("pin_id\n1\n")
    (tmp_path / "judgments.csv").write_text("query,pin_id,level,judged_at\nshoe,1,4,1995-01-02\n")
    import_catalogue("native", tmp_path, fresh)
    assert rows(fresh, PINS)["created_at"].item() == datetime(1995, 1, 1, tzinfo=UTC)


def test_judgments_that_cannot_see_their_pin_are_noted(folder, fresh):
    (folder / "judgments.csv").write_text("query,pin_id,level,judged_at\nshoe,1,4,2023-01-01\nshoe,99,4,2024-06-01\n")
    (folder / "judgments.jsonl").unlink()
    notes = import_catalogue("native", folder, fresh).notes
    assert any("1 precede their pin's updated_at" in note for note in notes)
    assert any("1 name a pin that the catalogue does not have" in note for note in notes)


def test_judgments_that_no_snapshot_of_behaviour_precedes_are_noted(two_pins: Path, tmp_path: Path) -> None:
    """A first event of 3 January 2024 is in the snapshot of the 18th (multiples of 30 days from 1970), known on the
    19th, and seen 15 days later."""
    (two_pins / "engagements.csv").write_text(
        "query,pin_id,event,event_timestamp\nhat,1,click,2024-01-03\nhat,1,click,2024-05-01\n"
    )
    votes = ("2024-01-01", "2024-02-02T23:59:59Z", "2024-02-03", "2024-05-01")
    lines = [f"hat,1,5,ann{number},{at}" for number, at in enumerate(votes)]
    (two_pins / "judgments.csv").write_text("\n".join(["query,pin_id,level,annotator_id,judged_at", *lines]))
    notes = import_catalogue("native", two_pins, Workspace.at(tmp_path / "w")).notes
    (said,) = (note for note in notes if "see nothing of" in note)
    assert said.startswith("judgments: 2 precede 2024-02-03 and see nothing of engagements")


def test_judgments_of_a_log_of_one_day_see_nothing_of_it(two_pins: Path, tmp_path: Path) -> None:
    (two_pins / "engagements.csv").write_text("query,pin_id,event,event_timestamp\nhat,1,click,2024-01-03\n")
    (two_pins / "judgments.csv").write_text("query,pin_id,level\nhat,1,5\n")
    notes = import_catalogue("native", two_pins, Workspace.at(tmp_path / "w")).notes
    assert any("judgments: 1 precede 2024-02-03 and see nothing of engagements" in note for note in notes)


@pytest.mark.parametrize("ends", [("\r\n", "\n"), ("\n", "\r\n")])
def test_lines_appended_with_other_ends_are_read(tmp_path, fresh, ends):
    first, then = ends
    lines = [f"pin_id,title{first}1,vase{first}", f'2,"two{first}lines"{first}', f"3,lamp{then}4,oak{then}"]
    (tmp_path / "pins.csv").write_bytes("".join(lines).encode())
    import_catalogue("native", tmp_path, fresh)
    assert rows(fresh, PINS)["title"].to_list() == ["vase", f"two{first}lines", "lamp", "oak"]


def test_an_open_quote_among_lines_of_unlike_ends_is_refused(tmp_path, fresh):
    (tmp_path / "pins.csv").write_bytes(b'pin_id,title\r\n1,vase\n2,"open\n3,lamp\n')
    with pytest.raises(BadInput, match="a quote left open"):
        import_catalogue("native", tmp_path, fresh)


def test_lines_lost_to_an_open_quote_are_all_counted(tmp_path, fresh):
    pins = "".join(f"{i},fine\n" for i in range(20))
    (tmp_path / "pins.csv").write_text(f'pin_id,title\n{pins}97,"open\n98,lost\n99,lost too\n')
    assert of(import_catalogue("native", tmp_path, fresh), PINS) == TableReport(
        "pins", 20, Counter({"unreadable-line": 3}), Counter()
    )


def test_files_that_hide_in_a_folder_of_parts_are_not_read(tmp_path, fresh):
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "part-0.csv").write_text("pin_id\n1\n")
    for name in (".part-0.csv.crc", "._part-0.csv", "_SUCCESS", "_metadata.parquet"):
        (tmp_path / "pins" / name).write_text("not ours")
    import_catalogue("native", tmp_path, fresh)
    assert rows(fresh, PINS)["pin_id"].to_list() == ["1"]


def test_what_lies_in_a_hidden_folder_of_parts_is_not_read(tmp_path, fresh):
    """As a log that is left in place: a writer's unfinished rows, a bin; a partition may be of a column _day."""
    catalogue = tmp_path / ".catalogue"  # where the folder itself lies is nobody's concern
    for name, pin in (("a.csv", 1), ("_temporary/0/b.csv", 2), (".trash/c.csv", 3), ("_day=1/d.csv", 4)):
        part = catalogue / "pins" / name
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"pin_id\n{pin}\n")
    import_catalogue("native", catalogue, fresh)
    assert sorted(rows(fresh, PINS)["pin_id"]) == ["1", "4"]


def test_parts_whose_headers_differ_in_writing_are_one_table(folder, fresh):
    log = folder / "engagements"
    log.mkdir()
    for name, header in (("a", "query,pin_id"), ("b", "Query,PIN_ID"), ("c", "QUERY,Pin ID")):
        (log / f"{name}.csv").write_text(f"{header},event,event_timestamp\n{name},1,click,2024-03-01\n")
    (log / "d.jsonl").write_text(
        '{"qUery": "d", "pin_id": 1, "Event": "click", "event_timestamp": "2024-03-01", "more": 1}\n'
    )
    report = import_catalogue("native", folder, fresh)
    assert sorted(rows(fresh, ENGAGEMENTS)["query"]) == ["a", "b", "c", "d"]
    assert not of(report, ENGAGEMENTS).dropped
    assert "engagements: columns that are not read: more" in report.notes


def test_two_columns_of_a_part_that_differ_in_case_stay_two(folder, fresh):
    """The first is read, as in a file alone; the other part's `query` is the first part's `query`."""
    log = folder / "engagements"
    log.mkdir()
    row = {"pin_id": [1], "event": ["click"], "event_timestamp": [datetime(2024, 3, 1)]}
    pl.DataFrame({"query": ["a"], "Query": ["x"], **row}).write_parquet(log / "a.parquet")
    pl.DataFrame({"QUERY": ["b"], **row}).write_parquet(log / "b.parquet")
    import_catalogue("native", folder, fresh)
    assert sorted(rows(fresh, ENGAGEMENTS)["query"]) == ["a", "b"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_where_a_folder_lies_gives_no_column(kind, tmp_path, fresh):
    """Its parts have a lang; a folder above them is named as a partition of another one would be."""
    log = tmp_path / "lang=en" / "catalogue" / "engagements" / "day=1"
    log.mkdir(parents=True)
    (log.parents[1] / "pins.csv").write_text("pin_id\n1\n")
    rows_of_it = pl.DataFrame(
        {"query": ["a"], "pin_id": ["1"], "event": ["click"], "event_timestamp": ["2024-03-01"], "lang": ["de"]}
    )
    write = {"csv": rows_of_it.write_csv, "jsonl": rows_of_it.write_ndjson, "parquet": rows_of_it.write_parquet}
    write[kind](log / f"a.{kind}")
    report = import_catalogue("native", log.parents[1], fresh)
    assert rows(fresh, ENGAGEMENTS)["lang"].to_list() == ["de"]
    assert "engagements: columns that are not read: day" in report.notes


def test_engagements_with_unknown_pins_are_kept_and_noted(folder, fresh):
    (folder / "engagements.csv").write_text(
        "query,pin_id,event,event_timestamp\nshoe,1,click,2024-03-01\nshoe,x,click,2024-03-01\n"
    )
    assert (
        "engagements: 1 name a pin that the catalogue does not have" in import_catalogue("native", folder, fresh).notes
    )
    assert rows(fresh, ENGAGEMENTS).height == 2


@pytest.mark.parametrize("name", ["pins.csv.gz", "pins.jsonl.gz"])
@pytest.mark.parametrize(
    "raw",
    [gzip.compress(b"pin_id\n1\n" * 99)[:-20], b"\x1f\x8b" + bytes(range(200)), b"no gzip"],
    ids=["cut", "no stream", "no gzip"],  # gzip writes the time: as an id it would differ between two workers
)
def test_a_broken_archive_is_bad_input(name, raw, tmp_path, fresh):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadInput, match=r"pins\.(csv|jsonl)\.gz"):
        import_catalogue("native", tmp_path, fresh)


def test_votes_without_a_name_all_count_and_a_named_one_counts_once(tmp_path, fresh):
    (tmp_path / "pins.csv").write_text("pin_id\n1\n")
    (tmp_path / "judgments.csv").write_text(
        "query,pin_id,level,annotator_id,judged_at\n"
        "shoe,1,4,,2024-01-01\nshoe,1,4,,2024-01-01\nshoe,1,2,ann,2024-01-02\nshoe,1,5,ann,2024-01-01\n"
    )
    report = import_catalogue("native", tmp_path, fresh)
    assert sorted(rows(fresh, JUDGMENTS)["level"]) == [2.0, 4.0, 4.0]
    assert of(report, JUDGMENTS).dropped == {"duplicate": 1}


def test_importing_again_replaces_and_never_doubles(folder, fresh):
    first = import_catalogue("native", folder, fresh)
    before = rows(fresh, PINS).sort("pin_id").rows()
    assert import_catalogue("native", folder, fresh) == first
    assert rows(fresh, PINS).sort("pin_id").rows() == before
    (folder / "pins.csv").write_text("pin_id,title\n9,only one left\n")
    import_catalogue("native", folder, fresh)
    assert rows(fresh, PINS)["pin_id"].to_list() == ["9"]


def made(workspace: Workspace) -> None:
    """Let `enrich texts` read what was imported."""
    run_texts(workspace, TextSettings(identify=False))


def updates(workspace: Workspace) -> list[datetime | None]:
    return rows(workspace, PINS).sort("pin_id")["updated_at"].to_list()


def test_content_that_changed_without_saying_when_is_dated_by_the_import_that_found_it(folder, fresh):
    import_catalogue("native", folder, fresh)
    made(fresh)
    start = datetime.now(UTC)
    (folder / "pins.csv").write_text(PINS_CSV.replace("red shoe", "blue shoe"))
    noted = "pins: 1 changed without a later updated_at, dated by this import"
    said = import_catalogue("native", folder, fresh).notes
    assert noted in said
    assert any("judgments: 1 precede such a change" in note and "--corrected" in note for note in said)
    dated = updates(fresh)
    assert dated[0] >= start and dated[1:] == [None, None]
    assert noted not in import_catalogue("native", folder, fresh).notes
    assert updates(fresh) == dated


def test_content_that_nothing_was_made_of_yet_keeps_the_catalogues_dates(folder, fresh):
    """The first import's notes are read, and the second one brings what it had missed."""
    (folder / "pins.csv").write_text(PINS_CSV.replace("Title", "Name"))
    import_catalogue("native", folder, fresh)
    (folder / "pins.csv").write_text(PINS_CSV)
    assert not any("changed" in note or "precede" in note for note in import_catalogue("native", folder, fresh).notes)
    assert updates(fresh) == [None, None, None]


def test_a_corrected_import_dates_other_words_as_the_catalogue_does(folder, fresh):
    """At once, or after an import that dated them, as long as nothing was made of its date."""
    (folder / "pins.csv").write_text(PINS_CSV.replace("Title", "Name"))
    import_catalogue("native", folder, fresh)
    made(fresh)
    (folder / "pins.csv").write_text(PINS_CSV)
    assert any("judgments: 3 precede such a change" in note for note in import_catalogue("native", folder, fresh).notes)
    said = import_catalogue("native", folder, fresh, corrected=True).notes
    assert updates(fresh) == [None, None, None] and not any("precede" in note for note in said)
    made(fresh)
    texts = parts.latest(fresh.folder(PIN_TEXT), PIN_TEXT).sort("pin_id")
    assert texts["title"].to_list() == ["red shoe", "new hat", 'a "quoted", boot']
    assert texts["event_timestamp"].to_list() == rows(fresh, PINS).sort("pin_id")["created_at"].to_list()
    (folder / "pins.csv").write_text(PINS_CSV.replace("red shoe", "blue shoe"))
    said = import_catalogue("native", folder, fresh, corrected=True).notes
    assert "pins: 1 changed without a later updated_at, dated as the words before, which were wrong" in said
    assert updates(fresh) == [None, None, None]


def test_a_corrected_import_stays_after_what_was_made_of_a_later_date(folder, fresh):
    """Else the row of the later date would be the newest for ever, and be served."""
    import_catalogue("native", folder, fresh)
    made(fresh)
    (folder / "pins.csv").write_text(PINS_CSV.replace("red shoe", "blue shoe"))
    import_catalogue("native", folder, fresh)
    made(fresh)
    dated = updates(fresh)
    (folder / "pins.csv").write_text(PINS_CSV.replace("red shoe", "green shoe"))
    said = import_catalogue("native", folder, fresh, corrected=True).notes
    assert updates(fresh) == dated
    assert any("judgments: 1 precede words that an earlier import dated" in note for note in said)
    made(fresh)
    assert parts.latest(fresh.folder(PIN_TEXT), PIN_TEXT).sort("pin_id")["title"][0] == "green shoe"


def test_judgments_of_an_unknown_time_have_seen_what_an_import_dated(tmp_path, fresh):
    (tmp_path / "judgments.csv").write_text("query,pin_id,level\nshoe,1,4\n")
    for title in ("shoe", "boot"):
        (tmp_path / "pins.csv").write_text(f"pin_id,title\n1,{title}\n")
        notes = import_catalogue("native", tmp_path, fresh).notes
        made(fresh)
    assert rows(fresh, JUDGMENTS)["judged_at"].item() > updates(fresh)[0]
    assert not any("precede" in note for note in notes)


def test_judgments_see_nothing_of_content_that_was_never_made(folder, fresh):
    """The first version came in an import, and was replaced before `enrich texts` had read it."""
    import_catalogue("native", folder, fresh)
    heads, first, *others = PINS_CSV.splitlines()
    later = [f"{heads},updated_at", f"{first},2024-09-01", *(f"{line}," for line in others)]
    (folder / "pins.csv").write_text("\n".join(later))
    blind = "judgments: 1 precede their pin's updated_at (else created_at) and will not see its text"
    assert blind in import_catalogue("native", folder, fresh).notes
    (folder / "pins.csv").write_text(PINS_CSV)
    import_catalogue("native", folder, fresh)
    made(fresh)
    (folder / "pins.csv").write_text("\n".join(later))
    assert blind not in import_catalogue("native", folder, fresh).notes, "they see the version before"


def test_content_that_says_when_it_changed_is_dated_so(folder, fresh):
    import_catalogue("native", folder, fresh)
    made(fresh)
    heads, first, *others = PINS_CSV.replace("red shoe", "blue shoe").splitlines()
    lines = [f"{heads},updated_at", f"{first},2024-03-01", *(f"{line}," for line in others)]
    (folder / "pins.csv").write_text("\n".join(lines))
    import_catalogue("native", folder, fresh)
    assert updates(fresh) == [datetime(2024, 3, 1, tzinfo=UTC), None, None]


def test_every_change_that_does_not_say_when_is_dated_by_its_import(folder, fresh):
    """An updated_at that is there but never kept up: the second change, too, and a return to what once was."""
    moments = []
    for title in ("red shoe", "blue shoe", "green shoe", "red shoe"):
        heads, first, *others = PINS_CSV.replace("red shoe", title).splitlines()
        lines = [f"{heads},updated_at", *(f"{line},2024-03-01" for line in (first, *others))]
        (folder / "pins.csv").write_text("\n".join(lines))
        import_catalogue("native", folder, fresh)
        made(fresh)
        moments.append(updates(fresh))
    changed = [moment[0] for moment in moments]
    assert changed == sorted(set(changed))
    assert {moment[1] for moment in moments} == {datetime(2024, 3, 1, tzinfo=UTC)}


def test_what_killed_imports_wrote_aside_is_removed(folder, fresh):
    import_catalogue("native", folder, fresh)
    left = [fresh.folder(PINS) / ".part-0.parquet.77", fresh.root / ".import.json.77"]
    for path in left:
        path.write_bytes(b"cut")
    import_catalogue("native", folder, fresh)
    assert not any(path.exists() for path in left)


def test_a_column_spelt_twice_is_taken_once(folder, fresh):
    (folder / "pins.csv").write_text("pin_id,title,TITLE\n1,first,second\n")
    import_catalogue("native", folder, fresh)
    assert rows(fresh, PINS)["title"].to_list() == ["first"]


def test_a_killed_import_is_healed_by_the_next(folder, fresh):
    import_catalogue("native", folder, fresh)
    part = next(path for path in fresh.folder(PINS).glob("*.parquet") if "schema" not in path.name)
    part.with_name("part-of-a-killed-import.parquet").write_bytes(part.read_bytes())
    (fresh.root / ".import-killed").mkdir()
    import_catalogue("native", folder, fresh)
    assert rows(fresh, PINS).height == 3
    assert not (fresh.root / ".import-killed").exists()


def test_a_workspace_whose_import_was_killed_is_closed_until_the_next(folder, fresh, monkeypatch):
    import_catalogue("native", folder, fresh)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(parts, "replace_all", killed)
        import_catalogue("native", folder, fresh)
    with pytest.raises(BadInput, match="an import that was cut off"):
        Workspace.open(fresh.root)
    with pytest.raises(BadInput, match="name another"):
        fresh.admit(Catalogue("native", "elsewhere"))
    import_catalogue("native", folder, fresh)
    assert Workspace.open(fresh.root).catalogue.format == "native"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pins.csv", "id,title\n1,a\n", "needs a column 'pin_id'.*found id, title; add it"),
        ("pins.csv", "pin_id,title\n", "expected at least one pin"),
        ("pins.csv", "", "found an empty line; add the header"),
        ("pins.csv", "pin_id,title\rp1,a\rp2,b\r", "to be readable lines of text"),
        ("pins.csv", f"pin_id,{'x' * 140_000}\np1,a\n", "to be readable lines of text"),
        ("pins.csv", "pin_id,title\n,a\n,b\n3,c\n", "found 2 of 3 rows bad .missing-pin_id 2.; is this the right file"),
        ("pins.parquet", "not parquet", "to be readable parquet"),
        ("judgments.jsonl", "[[[\n", "needs a column 'query'.*found no columns"),
        ("judgments.jsonl", '{"query": "q", "level": 3}\n', "needs a column 'pin_id'.*found level, query"),
        ("pins.jsonl", '{"pin_id": 1}\n', "expected one file or folder for table 'pins'.*keep one"),
    ],
)
def test_what_cannot_be_imported_says_why_and_changes_nothing(name, text, said, folder, fresh):
    import_catalogue("native", folder, fresh)
    before = snapshot(fresh.root)
    if name == "pins.parquet":
        (folder / "pins.csv").unlink()
    (folder / name).write_text(text)
    with pytest.raises(BadInput, match=said) as raised:
        import_catalogue("native", folder, fresh)
    assert "\n" not in str(raised.value)
    assert snapshot(fresh.root) == before


def test_a_failed_first_import_leaves_no_workspace(tmp_path, fresh):
    (tmp_path / "pins.csv").write_text("pin_id\n")
    with pytest.raises(BadInput, match="expected at least one pin"):
        import_catalogue("native", tmp_path, fresh)
    assert not fresh.root.exists()


def test_unknown_formats_and_paths_are_named_with_the_remedy(folder, fresh, tmp_path):
    with pytest.raises(BadInput, match=r"expected a format of sample, native, chorus.*found 'csv'"):
        import_catalogue("csv", folder, fresh)
    with pytest.raises(BadInput, match="found nothing there; check the path"):
        import_catalogue("native", tmp_path / "nowhere", fresh)
    with pytest.raises(BadInput, match="found a file; name the folder that holds it"):
        import_catalogue("native", folder / "pins.csv", fresh)
    with pytest.raises(BadInput, match=r"expected pins\.parquet"):
        import_catalogue("native", tmp_path, fresh)
    assert not fresh.root.exists()


def test_a_workspace_keeps_its_catalogue(folder, workspace):
    before = snapshot(workspace.root)
    with pytest.raises(BadInput, match="name another with --workspace"):
        import_catalogue("native", folder, workspace)
    assert snapshot(workspace.root) == before


def test_a_column_of_lists_is_refused(folder, fresh):
    (folder / "pins.csv").unlink()
    pl.DataFrame({"pin_id": ["1"], "title": [["a", "b"]]}).write_parquet(folder / "pins.parquet")
    with pytest.raises(BadInput, match=r"pins.title to hold single values, found List.*flatten it"):
        import_catalogue("native", folder, fresh)


def test_boards_take_the_start_of_the_catalogue_where_they_have_no_time(folder, fresh):
    (folder / "boards.csv").write_text("board_id,title\nb,shoes I like\n")
    import_catalogue("native", folder, fresh)
    assert rows(fresh, BOARDS)["created_at"].item() == datetime(2000, 1, 1, tzinfo=UTC)


def test_json_lines_without_a_line_are_a_table_without_rows(folder, fresh):
    """They have no header that could be missing; beside other parts they are one that says nothing."""
    (folder / "judgments.jsonl").write_text("")
    (folder / "engagements").mkdir()
    (folder / "engagements" / "a.jsonl").write_text("\n")
    (folder / "engagements" / "b.csv").write_text("query,pin_id,event,event_timestamp\nshoe,1,click,2024-03-01\n")
    report = import_catalogue("native", folder, fresh)
    assert (of(report, JUDGMENTS).kept, of(report, ENGAGEMENTS).kept) == (0, 1)


def test_grades_from_zero_are_another_scale(folder, fresh):
    """Their 1 to 4 would be taken for levels, and the pairs of 0 lost."""
    (folder / "judgments.jsonl").unlink()
    grades = "".join(f"shoe,{pin},{grade}\n" for pin, grade in enumerate((0, 4, 3, 1, 2, 0.0)))
    (folder / "judgments.csv").write_text("query,pin_id,level\n" + grades)
    with pytest.raises(BadInput, match=r"levels 1..5, found grades from 0 \(2 of 0, none of 5\); write each"):
        import_catalogue("native", folder, fresh)
    assert not fresh.root.exists()


def test_a_zero_beside_levels_up_to_five_is_a_bad_row(folder, fresh):
    (folder / "judgments.jsonl").unlink()
    (folder / "judgments.csv").write_text("query,pin_id,level\nshoe,1,5\nshoe,2,0\nshoe,3,3\n")
    told = of(import_catalogue("native", folder, fresh), JUDGMENTS)
    assert (told.kept, told.dropped) == (2, {"zero-level": 1})


def test_content_of_the_future_is_noted_and_moves_no_other_date(tmp_path, fresh):
    ahead = datetime.now(UTC) + timedelta(hours=9)
    (tmp_path / "pins.csv").write_text(f"pin_id,title,created_at\n1,shoe,{ahead:%Y-%m-%d %H:%M}\n2,hat,2024-01-01\n")
    (tmp_path / "judgments.csv").write_text("query,pin_id,level\nhat,2,4\n")
    notes = import_catalogue("native", tmp_path, fresh).notes
    assert any(note.startswith("pins: 1 have an updated_at (else created_at) in the future") for note in notes)
    assert f"up to {ahead:%Y-%m-%d %H:%M} UTC" in "".join(notes)
    assert rows(fresh, JUDGMENTS)["judged_at"].item() == datetime(2024, 1, 2, tzinfo=UTC)
    (tmp_path / "pins.csv").write_text("pin_id,title,created_at\n2,hat,2024-01-01\n")
    assert not any("future" in note for note in import_catalogue("native", tmp_path, fresh).notes)
