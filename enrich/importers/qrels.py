"""Relevance judgments as TREC and BEIR keep them, query id, document id, grade, put onto queries' texts and levels."""

from __future__ import annotations

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers import columns, files, prose_and_levels
from enrich.importers.raw import RawTable
from enrich.tables import JUDGMENTS


def judged(
    votes: pl.LazyFrame, queries: pl.LazyFrame, origin: str, unreadable: int, highest: float | None = None
) -> tuple[RawTable, str]:
    """The judgments of votes [query_id, pin_id, grade] and queries [query_id, query], and a note on their levels.

    `highest` is the grade that is level 5, where the data set says so. A vote whose query has no text is dropped when
    the table is cleaned. Raises BadInput when no grade is above 0 and nobody said which is the highest.
    """
    graded = votes.with_columns(grade=columns.number(pl.col("grade"), pl.String()))
    try:
        top = graded.select(pl.col("grade").max()).collect().item()
    except (pl.exceptions.PolarsError, duckdb.Error) as error:
        raise files.unreadable(origin, "qrels", error) from error
    said = "the highest found" if highest is None else "the highest there can be, as the data set says"
    top = top if highest is None else highest
    if top is None or top <= 0:
        raise BadInput(f"{origin}: expected grades above 0 in the qrels, found at most {top}; are these qrels?")
    judgments = _named(graded, queries).select(
        "query", "pin_id", level=prose_and_levels.level_of_grade(pl.col("grade"), top)
    )
    note = f"levels: grade 0 is 1, grade {top:g} ({said}) is 5, those between evenly; below 0 is 1"
    return RawTable(JUDGMENTS, judgments, origin, unreadable), note


def judged_levels(votes: pl.LazyFrame, queries: pl.LazyFrame, origin: str, unreadable: int) -> tuple[RawTable, str]:
    """As `judged`, of grades that are levels 1..5 already; others are dropped when the table is cleaned."""
    judgments = _named(votes, queries).select("query", "pin_id", level="grade")
    return RawTable(
        JUDGMENTS, judgments, origin, unreadable
    ), "levels: the grades of the qrels, which say that they are"


def _named(votes: pl.LazyFrame, queries: pl.LazyFrame) -> pl.LazyFrame:
    """With the queries' texts; of a query id that stands twice the first."""
    return votes.join(queries.unique("query_id", keep="first", maintain_order=True), on="query_id", how="left")
