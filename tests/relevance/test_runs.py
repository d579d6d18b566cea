"""Runs from elsewhere: queries and pins known again, what is unknown counted, what is no run refused in a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from enrich.errors import BadInput
from relevance.evaluation import evaluate
from relevance.exporting.ids import document_id, query_id
from relevance.intervals import BootstrapSettings
from relevance.judging.figures import EvaluationSettings, Measure
from relevance.judging.runs import RunFile, read_run

PINS = pl.Series(["p1", "p2", "pin 3"])
GOLD = pl.DataFrame(
    {"query": ["oak table"] * 2 + ["lamp"], "pin_id": ["p1", "pin 3", "p2"], "level": [5, 1, 4]},
    schema_overrides={"level": pl.Int64},
)
QUERIES = ["oak table", "lamp"]


def written(folder: Path, *lines: str, name: str = "run.txt") -> RunFile:
    (folder / name).write_text("\n".join(lines) + "\n")
    return RunFile.parse(str(folder / name))


def test_queries_are_known_by_our_ids_by_topics_or_as_they_are(tmp_path):
    topics = tmp_path / "topics.tsv"
    topics.write_text("301\tOak  Table\n\n  \n")
    lines = [f"{query_id('oak table')} Q0 p1 1 2.5 x", "Lamp Q0 p2 1 1e-3 x", "other Q0 p1 1 1 x"]
    ours = read_run(written(tmp_path, *lines), QUERIES, PINS)
    assert ours.rows.rows() == [("oak table", "p1", 2.5), ("lamp", "p2", 0.001)]
    assert (ours.unknown_queries, ours.unknown_pins) == (1, 0)
    named = read_run(written(tmp_path, "301 Q0 p1 1 2 x"), QUERIES, PINS, topics)
    assert named.rows["query"].to_list() == ["oak table"]


def test_a_pin_with_a_blank_in_its_id_is_known_by_the_one_that_was_exported(tmp_path):
    assert document_id("p1") == "p1" and " " not in document_id("pin 3")
    found = read_run(written(tmp_path, f"lamp Q0 {document_id('pin 3')} 1 2 x"), QUERIES, PINS)
    assert found.rows["pin_id"].to_list() == ["pin 3"]


def test_unknown_pins_are_counted_and_keep_their_places(tmp_path):
    """Two that the catalogue lacks stand first: as it is DCG takes place 3; of judged pins alone the order is best."""
    lines = [f"lamp Q0 {pin} {rank} {9 - rank} x" for rank, pin in enumerate(["x1", "x2", "p2"], 1)]
    run = read_run(written(tmp_path, *lines), QUERIES, PINS)
    assert run.unknown_pins == 2
    assert run.note() == "run: 2 of its rows name pins that the catalogue does not have"
    gold = GOLD.filter(pl.col("query") == "lamp")
    found = evaluate(run.predictions(gold), settings=EvaluationSettings(BootstrapSettings(draws=100)))
    whole, judged = (found.model(name) for name in ("run", "run (judged only)"))
    assert whole.estimate(Measure.NDCG).value == pytest.approx(0.5)  # 1 / log2(4)
    assert judged.estimate(Measure.NDCG).value == 1.0
    assert whole.estimate(Measure.JUDGED).value == pytest.approx(1 / 3)


def test_names_are_given_or_the_files(tmp_path):
    assert RunFile.parse("a/b c.run.gz").name == "b_c"
    assert RunFile.parse("x=y/run.txt=elastic") == (Path("x=y/run.txt"), "elastic")
    with pytest.raises(BadInput, match="NAME"):
        RunFile.parse("run.txt=<b>")


def test_a_mark_at_the_start_is_not_of_the_first_query(tmp_path):
    (tmp_path / "run.txt").write_text("lamp Q0 p2 1 2 x\n", encoding="utf-8-sig")
    assert read_run(RunFile.parse(str(tmp_path / "run.txt")), QUERIES, PINS).rows["query"].to_list() == ["lamp"]


def test_a_gzipped_run_is_read(tmp_path):
    with gzip.open(tmp_path / "run.txt.gz", "wt") as file:
        file.write("lamp Q0 p2 1 2 x\n")
    assert read_run(RunFile.parse(str(tmp_path / "run.txt.gz")), QUERIES, PINS).rows.height == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["lamp Q0 p1 1 2 x", "lamp p2 1 2"], "line 2 .* found 4"),
        (["lamp Q0 p1 1 nan x"], "finite score in line 1"),
        (["lamp Q0 p1 1 inf x"], "finite score in line 1"),
        (["lamp Q0 p1 1 high x"], "finite score in line 1 .* 'high'"),
        (["", " "], "found no lines"),
        (["sofa Q0 p1 1 2 x"], "--topics"),
        (["lamp Q0 zz 1 2 x"], "is this a run over this catalogue"),
        (["lamp Q0 p1 1 2 x", "lamp Q0 p1 2 1 x"], "each document once"),
    ],
)
def test_what_is_no_run_is_one_line(tmp_path, lines, words):
    with pytest.raises(BadInput, match=words) as caught:
        read_run(written(tmp_path, *lines), QUERIES, PINS)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"lamp Q0 p1 1 2 x\n" * 99)[:-12])
    packed = bytearray(gzip.compress(b"lamp Q0 p1 1 2 x\n"))
    packed[10] = 7  # the first block is then of a kind that there is not
    (tmp_path / "torn.gz").write_bytes(packed)
    (tmp_path / "topics.tsv").write_text("301 oak table\n")
    for name in ("nothing", "bytes", "cut.gz", "torn.gz"):
        with pytest.raises(BadInput):
            read_run(RunFile.parse(str(tmp_path / name)), QUERIES, PINS)
    with pytest.raises(BadInput, match="readable text"):
        read_run(written(tmp_path, "301 Q0 p1 1 2 x"), QUERIES, PINS, tmp_path / "torn.gz")
    with pytest.raises(BadInput, match="id, tab, query in line 1"):
        read_run(written(tmp_path, "301 Q0 p1 1 2 x"), QUERIES, PINS, tmp_path / "topics.tsv")
