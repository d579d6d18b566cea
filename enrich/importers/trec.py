"""Reads a TREC collection: a corpus, topics and qrels in one folder.

    enrich import trec DIR

Corpus: corpus.jsonl (docno, docid, _id or id; title; text, body or contents) or collection.tsv (id, text; no header).
Topics: topics.tsv or queries.tsv (id, query; no header), or topics.txt or .xml with <top>, <num>, <title>.
Qrels: qrels.txt, qrels or qrels.tsv (topic, iteration, document, grade; no header).
Levels: grade 0 is 1, the highest grade in the qrels is 5, those between evenly (prose_and_levels.py); where every
line's iteration is "level", as `relevance export trec` writes it, grades are levels. Blank lines are no lines.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers import files
from enrich.importers.qrels import judged, judged_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.importers.scanned import Scanned
from enrich.tables import PINS

_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz", "docs.jsonl", "collection.jsonl", "corpus.tsv", "collection.tsv")
_TOPICS = ("topics.tsv", "queries.tsv", "topics.txt", "topics.xml")
_QRELS = ("qrels.txt", "qrels", "qrels.tsv")
_IDS = ("docno", "docid", "_id", "id")
_BODIES = ("text", "body", "contents")
LEVELS_ALREADY = "level"  # the iteration of qrels whose grades are levels 1..5
_NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*(?:Topic:)?\s*([^<]+)", re.IGNORECASE)


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput without a corpus, for an unreadable file, and for grades of two scales."""
    corpus = _corpus(files.file_in(path, _CORPORA, "the corpus"))
    if not any((path / name).is_file() for name in _QRELS):
        return RawCatalogue((corpus,), ("no qrels: judgments stays empty",))
    topics = _topics(files.file_in(path, _TOPICS, "the topics"))
    qrels = files.file_in(path, _QRELS, "the qrels")
    lines = files.scan_separated(qrels, "\x01", columns=["line"], quoted=False)
    stripped = pl.col("line").str.strip_chars()
    field = stripped.str.replace_all(r"\s+", " ").str.split(" ").list
    votes = lines.frame.filter(stripped != "").select(
        query_id=field.get(0, null_on_oob=True),
        iteration=field.get(1, null_on_oob=True),
        pin_id=field.get(2, null_on_oob=True),
        grade=field.get(3, null_on_oob=True),
    )
    read = judged_levels if _are_levels(votes, qrels) else judged
    judgments, note = read(votes, topics.frame, str(qrels), lines.unreadable + topics.unreadable)
    return RawCatalogue((corpus, judgments), (note,))


def _are_levels(votes: pl.LazyFrame, path: Path) -> bool:
    """Whether whole lines say so. Raises BadInput where some do and others do not: grades of two scales are no file."""
    whole = votes.filter(pl.col("grade").is_not_null())
    try:
        said = whole.select(marked=(pl.col("iteration") == LEVELS_ALREADY).sum(), lines=pl.len()).collect()
    except (pl.exceptions.PolarsError, duckdb.Error) as error:
        raise files.unreadable(path, "qrels", error) from error
    marked, lines = said.row(0)
    if 0 < marked < lines:
        raise BadInput(
            f"expected the iteration {LEVELS_ALREADY!r} in all lines of {path} or in none, found it in {marked:,} of "
            f"{lines:,}; export the qrels again, or keep files of levels and of grades apart"
        )
    return bool(marked)


def _corpus(path: Path) -> RawTable:
    if files.kind(path) == ".tsv":
        scanned = files.scan_separated(path, "\t", columns=["pin_id", "description"], quoted=False)
        return RawTable(PINS, scanned.frame, str(path), scanned.unreadable)
    scanned = files.scan(path, (*_IDS, *_BODIES, "title"))
    written = {name.lower() for name in scanned.columns}
    ids = [name for name in _IDS if name in written]
    if not ids:
        found = ", ".join(scanned.columns[:40]) or "no columns"
        raise BadInput(f"expected one of {', '.join(_IDS)} in {path}, found {found}; rename the column of ids")
    documents = files.need(scanned, path, ids, ("title", *_BODIES))
    pins = documents.select("title", pin_id=pl.coalesce(ids), description=pl.coalesce(_BODIES))
    return RawTable(PINS, pins, str(path), scanned.unreadable)


def _topics(path: Path) -> Scanned:
    """Topics as [query_id, query]."""
    names = ("query_id", "query")
    if files.kind(path) == ".tsv":
        return files.scan_separated(path, "\t", columns=names, quoted=False)
    try:
        blocks = re.split(r"(?i)<top>", path.read_text(encoding="utf-8", errors="replace"))[1:]
    except OSError as error:
        raise files.unreadable(path, "topics", error) from error
    found = [topic for block in blocks if (topic := _topic(block))]
    frame = pl.LazyFrame(found, schema=dict.fromkeys(names, pl.String), orient="row")
    return Scanned(frame, len(blocks) - len(found), names)


def _topic(block: str) -> tuple[str, str] | None:
    number, title = _NUMBER.search(block), _TITLE.search(block)
    return (number.group(1), title.group(1).strip()) if number and title else None
