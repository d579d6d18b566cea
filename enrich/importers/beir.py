"""Reads a BEIR data set: corpus.jsonl, queries.jsonl and qrels/*.tsv.

    enrich import beir DIR

Levels: grade 0 is 1, the highest grade in the qrels is 5, those between evenly (prose_and_levels.py); where scale.json
names the highest grade there can be, as `relevance export beir` writes it, that one is 5.
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path

import polars as pl

from enrich.errors import BadInput
from enrich.importers import files
from enrich.importers.qrels import judged
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import PINS

SCALE_FILE, HIGHEST = "scale.json", "highest_grade"  # beside the corpus: which grade is level 5


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput when the corpus is missing or a file cannot be read."""
    corpus = files.file_in(path, ["corpus.jsonl", "corpus.jsonl.gz"], "the corpus")
    scanned = files.scan(corpus, ["_id", "title", "text"])
    documents = files.need(scanned, corpus, ["_id"], ["title", "text"])
    pins = RawTable(
        PINS, documents.select(pin_id="_id", title="title", description="text"), str(corpus), scanned.unreadable
    )
    splits = sorted((path / "qrels").glob("*.tsv"))
    if not splits:
        return RawCatalogue((pins,), ("no qrels/*.tsv: judgments stays empty",))
    queries = files.file_in(path, ["queries.jsonl", "queries.jsonl.gz"], "the queries")
    asked = files.scan(queries, ["_id", "text"])
    texts = files.need(asked, queries, ["_id", "text"]).select(query_id="_id", query="text")
    scans = [(split, files.scan_separated(split, "\t")) for split in splits]
    votes = pl.concat([files.need(scan, split, ["query-id", "corpus-id", "score"]) for split, scan in scans])
    judgments, note = judged(
        votes.select(query_id="query-id", pin_id="corpus-id", grade="score"),
        texts,
        str(path / "qrels"),
        asked.unreadable + sum(scan.unreadable for _, scan in scans),
        _highest(path / SCALE_FILE),
    )
    return RawCatalogue((pins, judgments), (note,))


def _highest(path: Path) -> float | None:
    """The grade that is level 5; None where the data set does not say. Raises BadInput for what is no such grade."""
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise files.unreadable(path, "a scale of grades", error) from error
    highest = said.get(HIGHEST) if isinstance(said, dict) else None
    if highest is None:
        return None  # a file of that name that is not ours
    if isinstance(highest, bool) or not isinstance(highest, int | float) or not (isfinite(highest) and highest > 0):
        raise BadInput(f"{path}: expected {HIGHEST} to be a number above 0, found {highest!r}; mend or remove the file")
    return float(highest)
