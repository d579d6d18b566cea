"""Reads a BEIR data set: corpus.jsonl, queries.jsonl and qrels/*.tsv.

    enrich import beir DIR

Levels: grade 0 is 1, the highest grade in the qrels is 5, those between evenly (mapping.level_of_grade).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from enrich.importers import files
from enrich.importers.qrels import judged
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import PINS


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
    )
    return RawCatalogue((pins, judgments), (note,))
