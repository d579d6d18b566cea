"""ARCS as a catalogue: ratings become votes, unusable ones are left out, a wrong folder is one line."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from data.arcs_catalogue import main

VOTE = {"query": "tax", "link": "https://x/1", "title": "Sales tax", "description": "by year", "tainted": "false"}


def vote(**changes: str) -> str:
    return json.dumps(VOTE | changes)


@pytest.fixture
def arcs(tmp_path: Path) -> Path:
    lines = [
        vote(worker="w1", relevance="0"),
        vote(worker="w2", relevance="3", description="by year and county"),
        vote(worker="w3", relevance="-1"),
        vote(worker="w4", relevance="2", tainted="true"),
    ]
    (tmp_path / "judgements.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_votes_and_pins(arcs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(arcs), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.output == "2 votes on 1 pairs; 2 left out\n"
    judgments = pl.read_parquet(tmp_path / "out" / "judgments.parquet")
    assert judgments.select("annotator_id", "level").rows() == [("w1", 1.0), ("w2", 5.0)]
    pins = pl.read_parquet(tmp_path / "out" / "pins.parquet")
    assert pins.select("pin_id", "description").rows() == [("https://x/1", "by year and county")]


def test_a_folder_without_the_file_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path), str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "expected judgements.jsonl" in done.output
