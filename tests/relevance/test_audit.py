"""Worth by hand, a choice with many queries, sheets that no spreadsheet computes, and labels read back once."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_rows import day, write_rows

from enrich import console, parts
from enrich.errors import BadInput
from enrich.importers import import_catalogue
from enrich.judgments import run_judgments
from enrich.tables import JUDGMENT, JUDGMENTS, PIN_TEXT, PINS
from enrich.workspace import Workspace
from relevance.audit import read_back, sheet
from relevance.audit.confident import doubts
from relevance.audit.worth import AuditSettings, Reason, choose, divergence, entropy, rarity
from relevance.cli import relevance
from relevance.training_frame import labelled_pairs

HOSTILE = "</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://x.invalid")'


def test_entropy_and_divergence_by_hand():
    certain, even = np.eye(5)[[0]], np.full((1, 5), 0.2)
    assert entropy(np.concatenate([certain, even])) == pytest.approx([0, 1], abs=1e-9)
    assert divergence(np.stack([certain, certain])) == pytest.approx([0], abs=1e-9)
    contradicting = np.stack([certain, np.eye(5)[[4]]])  # two sure models: one bit, of log2(5)
    assert divergence(contradicting) == pytest.approx([1 / np.log2(5)])
    assert divergence(np.stack([even, even])) == pytest.approx([0], abs=1e-9)  # unsure alike is no contradiction


def test_doubts_by_hand():
    """Of level 1 pairs get .5 on average, of level 5 .8. The third, called 1, reaches that: it leads by .8 - .1.

    The fourth has .7 for 5, which is not enough; the fifth is called what it is.
    """
    levels = np.array([1, 1, 1, 1, 5])
    probabilities = np.array(
        [[0.9, 0, 0, 0, 0.1], [0.7, 0.3, 0, 0, 0], [0.1, 0.1, 0, 0, 0.8], [0.3, 0, 0, 0, 0.7], [0, 0, 0.2, 0, 0.8]]
    )
    assert doubts(levels, probabilities) == pytest.approx([0, 0, 0.7, 0, 0])
    assert doubts(np.zeros(0, np.int64), np.zeros((0, 5))).shape == (0,)


def test_rarity_by_hand():
    """Half the pool is of a, none judged; half of b, three judged: a's two pairs are .5 and .25, b's .125 and .1."""
    found = rarity(["a", "b", "a", "b"], ["b", "b", "b", "c"])
    assert sorted([found[0], found[2]]) == pytest.approx([0.25, 0.5])
    assert sorted([found[1], found[3]]) == pytest.approx([0.1, 0.125])


def pool_of(*rows: tuple[str, str, dict[str, float]]) -> pl.DataFrame:
    filled = [{"query": q, "pin_id": p, **{one.value: 0.0 for one in Reason}, **worth} for q, p, worth in rows]
    return pl.DataFrame(filled)


def test_reasons_take_turns_and_no_query_has_more_than_its_share():
    pool = pool_of(
        ("q", "a", {"unsure": 0.9, "apart": 0.9}),
        ("q", "b", {"unsure": 0.8}),
        ("q", "c", {"unsure": 0.7}),
        ("r", "a", {"apart": 0.5}),
        ("s", "d", {"unsure": 0.1}),
        ("t", "e", {}),
    )
    chosen = choose(pool, AuditSettings(pairs=10, per_query=2))
    found = list(chosen.select("query", "pin_id", "reason", "worth").iter_rows())
    assert found == [
        ("q", "a", "unsure", 0.9),  # apart's best as well: that turn goes to its next
        ("r", "a", "apart", 0.5),
        ("q", "b", "unsure", 0.8),
        ("s", "d", "unsure", 0.1),  # the third of q is passed over
    ]
    assert choose(pool, AuditSettings(pairs=1))["pin_id"].to_list() == ["a"]
    assert choose(pool, AuditSettings(reasons=(Reason.DOUBTED,))).is_empty()


def test_split_has_every_second_turn():
    rows = [("q", f"p{i}", {"split": 1 - i / 10, "unsure": 0.5, "rare": 0.4}) for i in range(9)]
    settings = AuditSettings(pairs=4, per_query=9, reasons=(Reason.UNSURE, Reason.SPLIT, Reason.RARE))
    assert choose(pool_of(*rows), settings)["reason"].to_list() == ["split", "unsure", "split", "rare"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(0, 1), st.floats(0, 1)), max_size=40))
def test_caps_hold_and_no_pair_is_chosen_twice(rows):
    distinct = {(f"q{q}", f"p{p}"): (a, b) for q, p, a, b in rows}
    pool = pool_of(*((q, p, {"unsure": a, "rare": b}) for (q, p), (a, b) in distinct.items()))
    if pool.is_empty():
        return
    chosen = choose(pool, AuditSettings(pairs=8, per_query=2, per_pin=3))
    assert chosen.height <= 8 and not chosen.select("query", "pin_id").is_duplicated().any()
    assert all(chosen.group_by("query").len()["len"] <= 2) and all(chosen.group_by("pin_id").len()["len"] <= 3)


def test_settings_that_choose_nothing_are_refused():
    with pytest.raises(BadInput, match="1 or more"):
        AuditSettings(pairs=0)


CHOSEN = pl.DataFrame(
    {
        "query": ["oak table", FORMULA],
        "pin_id": ["p1", "-p2"],
        "lang": ["en", None],
        "level": [None, 1],
        "teacher": [[0.2] * 5, [0.0, 0.0, 0.0, 0.0, 1.0]],
        "student": [None, [0.0, 0.0, 0.0, 0.5, 0.5]],
        "reason": ["unsure", "doubted"],
        "worth": [1.0, 4.0],
    },
    schema_overrides={"level": pl.Int64},
)


@pytest.fixture
def catalogue(workspace: Workspace) -> Workspace:
    """Two pins; the first has a title that would like to be a script."""
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in ("p1", "-p2")))
    write_rows(workspace, PIN_TEXT, {"pin_id": "p1", "title": HOSTILE, "event_timestamp": day(1)})
    return workspace


def dicts(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_round_shows_no_opinion_and_no_gold(catalogue):
    found = sheet.write_round(catalogue, CHOSEN, 40)
    assert (found.folder.name, found.pairs, found.queries, found.pool) == ("round-001", 2, 2, 40)
    rows = dicts(found.folder / sheet.SHEET)
    assert [row["level"] for row in rows] == ["", ""]
    page = (found.folder / sheet.PAGE).read_text()
    assert "0.5" not in json.dumps(_data(page)["pairs"])
    why = dicts(found.folder / sheet.WHY)
    assert [row["reason"] for row in why] == ["unsure", "doubted"]
    assert (why[1]["level"], why[1]["student"]) == ("1", "0.000 0.000 0.000 0.500 0.500")
    assert sheet.write_round(catalogue, CHOSEN, 40).folder.name == "round-002"


def _data(page: str) -> dict:
    block = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(block)


def test_hostile_texts_stay_data(catalogue):
    """The title ends no script block; no spreadsheet computes a cell; the texts are there all the same."""
    folder = sheet.write_round(catalogue, CHOSEN, 40).folder
    page = (folder / sheet.PAGE).read_text()
    assert page.count("<script") == 2 and "<img" not in page
    assert "<span>1 highly irrelevant</span><span>5 highly relevant</span>" in page  # where buttons are too narrow
    assert _data(page)["pairs"][0]["title"] == HOSTILE
    for row in csv.reader((folder / sheet.SHEET).read_text().splitlines()):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def filled(folder: Path, *levels: str, name: str = "ann", at: str = "2026-01-02T03:04:05Z") -> Path:
    rows = list(csv.reader((folder / sheet.SHEET).read_text().splitlines()))
    for row, level in zip(rows[1:], levels, strict=True):
        row[5:8] = [level, name, at] if level else ["", "", ""]
    path = folder / "labelled.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_labels_become_judgments_that_say_where_they_are_from(catalogue):
    """Once, however often the file is read; a formula's apostrophe is not part of the query."""
    path = filled(sheet.write_round(catalogue, CHOSEN, 40).folder, "4", "2")
    first, again = read_back.read_labels(catalogue, path), read_back.read_labels(catalogue, path)
    assert (first.votes, first.new, first.gold) == (2, True, 2)
    assert (again.new, again.gold) == (False, 0)
    votes = parts.scan(catalogue.folder(JUDGMENTS)).sort("level").collect()
    assert votes["annotator_id"].to_list() == ["audit:ann"] * 2
    assert votes["query"].to_list() == [FORMULA, "oak table"] and votes["pin_id"].to_list() == ["-p2", "p1"]
    assert votes["judged_at"][0] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parts.latest(catalogue.folder(JUDGMENT), JUDGMENT).sort("level")["level"].to_list() == [2, 4]
    labelled = labelled_pairs(catalogue)
    assert labelled["label_source"].unique().to_list() == ["human"] and labelled.height == 2


def test_rows_without_a_level_wait(catalogue):
    found = read_back.read_labels(catalogue, filled(sheet.write_round(catalogue, CHOSEN, 40).folder, "4", ""))
    assert (found.votes, found.blank) == (1, 1)


def test_a_later_verdict_of_the_same_person_counts_alone(catalogue):
    folder = sheet.write_round(catalogue, CHOSEN, 40).folder
    read_back.read_labels(catalogue, filled(folder, "1", ""))
    read_back.read_labels(catalogue, filled(folder, "5", "", at="2026-02-02T00:00:00Z"))
    (gold,) = parts.latest(catalogue.folder(JUDGMENT), JUDGMENT)["level"]
    assert gold == 5


def test_a_label_corrected_by_hand_at_the_same_time_counts_whether_higher_or_lower(catalogue):
    """And once more: each is dated a microsecond after the one that it corrects. Read again they add nothing."""
    folder = sheet.write_round(catalogue, CHOSEN, 40).folder
    for level in ("4", "2", "3", "1"):
        assert read_back.read_labels(catalogue, filled(folder, level, "")).new
        (gold,) = parts.latest(catalogue.folder(JUDGMENT), JUDGMENT)["level"]
        assert gold == int(level)
    assert not read_back.read_labels(catalogue, filled(folder, "2", "")).new
    more = filled(folder, "1", "5")  # the same label beside another
    read_back.read_labels(catalogue, more)
    found = parts.scan(catalogue.folder(JUDGMENTS)).filter(pl.col("pin_id") == "p1").collect()
    assert sorted(at.microsecond for at in found["judged_at"]) == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("beside", [False, True])
def test_a_pair_is_known_by_its_id_whatever_a_spreadsheet_made_of_its_texts(workspace, tmp_path, beside):
    """Leading zeros, digits past the fifteenth and a query like a date are lost; or an id that looks like a number."""
    pairs = [("lamp", "00123"), ("lamp", "123456789012345678"), ("1-2", "00123"), ("-5 °C", "a")]
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in sorted({pin for _, pin in pairs})))
    chosen = pl.concat([CHOSEN[:1].with_columns(query=pl.lit(query), pin_id=pl.lit(pin)) for query, pin in pairs])
    folder = sheet.write_round(workspace, chosen, 4, tmp_path / "round" if beside else None).folder
    ids = [sheet.pair_id(*pair) for pair in pairs]
    mangled = [
        (ids[0], "lamp", "123"),
        (ids[1], "lamp", "1.23457E+17"),
        (ids[2], "02-Jan", "123"),
        ("1.2E+15", *pairs[3]),
    ]
    lines = [",".join((*row, "4")) for row in mangled]
    (folder / sheet.SHEET).write_text("\n".join(["id,query,pin_id,level", *lines]))
    assert read_back.read_labels(workspace, folder / sheet.SHEET, "ann").votes == 4
    votes = parts.scan(workspace.folder(JUDGMENTS)).select("query", "pin_id").collect()
    assert sorted(votes.rows()) == sorted(pairs)


def test_a_name_that_the_pages_sheet_guards_is_read_as_it_was_written(catalogue, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("query,pin_id,level,annotator\nOak Table,p1,5,'=ann\n")
    read_back.read_labels(catalogue, path)
    assert parts.scan(catalogue.folder(JUDGMENTS)).collect()["annotator_id"].to_list() == ["audit:=ann"]


def test_any_csv_of_queries_pins_and_levels_is_read(catalogue, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("Query;Pin_ID;Level\nOak Table;p1;5\n")
    assert read_back.read_labels(catalogue, path, "bob").votes == 1
    (who,) = parts.scan(catalogue.folder(JUDGMENTS)).collect()["annotator_id"]
    assert who == "audit:bob"


def test_an_import_leaves_labels_of_an_audit_alone(two_pins: Path, tmp_path: Path):
    (two_pins / "judgments.csv").write_text("query,pin_id,level\nshoe,1,5\n")
    workspace = Workspace.at(tmp_path / "w")
    import_catalogue("native", two_pins, workspace)
    path = tmp_path / "votes.csv"
    path.write_text("query,pin_id,level\nhat,2,4\n")
    read_back.read_labels(workspace, path, "bob")
    import_catalogue("native", two_pins, workspace)
    run_judgments(workspace)
    found = parts.latest(workspace.folder(JUDGMENT), JUDGMENT).sort("query")
    assert found.select("query", "level").rows() == [("hat", 4), ("shoe", 5)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found nothing"),
        ("query,pin_id\nlamp,p1\n", "add level"),
        ("query,pin_id,level\nlamp,p1,\n", "without a level"),
        ("query,pin_id,level\nlamp,p1,6\n", "1 to 5 in line 2"),
        ("query,pin_id,level\nlamp,p1,nan\n", "1 to 5 in line 2"),
        ("query,pin_id,level\nlamp,p1,3.5\n", "1 to 5 in line 2"),
        ("query,pin_id,level\nlamp,zz,3\n", "such as 'zz'"),
        ("query,pin_id,level\n ,p1,3\n", "expected a query"),
        ("query,pin_id,level\nlamp,p1,3\nlamp,p1,4\n", "found 3 and 4"),
        ("query,pin_id,level,judged_at\nlamp,p1,3,soon\n", "judged_at"),
        ("query,pin_id,level,judged_at\nlamp,p1,3,2999-01-01\n", "judged_at"),
        ("id,query,pin_id,level\n123,lamp,p1,3\n", "do not change"),
        ('query,pin_id,level\n"lamp,p1,3\n', "csv in UTF-8"),
    ],
)
def test_a_file_that_is_none_is_one_line_and_adds_nothing(catalogue, tmp_path, text, words):
    path = tmp_path / "votes.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=words) as caught:
        read_back.read_labels(catalogue, path, "bob")
    assert "\n" not in str(caught.value)
    assert parts.count(catalogue.folder(JUDGMENTS)) == 0


def test_a_label_says_whose_it_is(catalogue, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("query,pin_id,level\nlamp,p1,3\n")
    with pytest.raises(BadInput, match="--annotator"):
        read_back.read_labels(catalogue, path)


def test_the_command_reads_and_refuses(catalogue, tmp_path, capsys):
    root, path = str(catalogue.root), tmp_path / "votes.csv"
    path.write_text("query,pin_id,level\nlamp,p1,3\n")
    assert console.run(relevance, ["audit", "--read", str(path), "--annotator", "bob", "--workspace", root]) == 0
    assert "1 votes added" in capsys.readouterr().out
    for arguments in (["--annotator", "bob"], ["--reasons", "boredom"], ["--read", str(tmp_path / "none.csv")]):
        assert console.run(relevance, ["audit", *arguments, "--workspace", root]) == 2
        assert capsys.readouterr().err.count("\n") == 1
