"""What the judged pairs of an evaluation are told apart by: the columns of its segments.

Reads the judged pairs with the teacher's texts of them (as of each judgment), query_features, interests, pin_text,
judgments and the log; writes nothing. A column that the workspace knows nothing of is "unknown" throughout, and then
not shown.

- lang: of the query, as judged. interest: its best one. words: how many it has.
- popularity: head, torso and tail, thirds of all searches by how often their query is asked (labelling/strata.py).
- country: where the query is asked most. category: the catalogue's own, of the pin.
- source: whether a person of an audit looked at the pair (`relevance audit`).
- title, description, ... queries: whether the pin had that text when it was judged.
"""

from __future__ import annotations

import polars as pl

from enrich import parts
from enrich.history import History, query_keys
from enrich.judgments import AUDIT, counted_votes
from enrich.tables import INTERESTS, PIN_TEXT, QUERY_FEATURES
from enrich.workspace import Workspace
from relevance.framing.judged import Judged
from relevance.labelling.strata import frequency_classes
from relevance.text import pin_texts_from_frame
from relevance.text_fields import Field

SEGMENTS = ("lang", "interest", "words", "popularity", "country", "category", "source", *(str(one) for one in Field))
_PAIR = ("query", "pin_id")
_MANY_WORDS = 4  # words and more of a query that are one segment
_NOT_ASKED = "not in the log"


def segment_columns(judged: Judged) -> pl.DataFrame:
    """query, pin_id and the columns of `SEGMENTS` but lang, of every judged pair."""
    workspace, pairs = judged.workspace, judged.pairs.select(_PAIR)
    rows = pairs.join(of_queries(workspace, pairs["query"].unique()), on="query", how="left")
    rows = rows.join(_categories(workspace), on="pin_id", how="left").join(_sources(workspace), on=_PAIR, how="left")
    return rows.join(_texts(judged), on=_PAIR, how="left")


def of_queries(workspace: Workspace, queries: pl.Series) -> pl.DataFrame:
    """query, interest, country, popularity and words of each of `queries`."""
    latest = parts.latest(workspace.folder(QUERY_FEATURES), QUERY_FEATURES)
    names = parts.scan(workspace.folder(INTERESTS)).select("interest_id", interest="name").collect()
    volumes = latest.group_by("frequency").agg(queries=pl.len()).drop_nulls()
    classes = {volume: name for volume, name in frequency_classes(dict(volumes.iter_rows())).items() if volume}
    known = latest.select(
        "query",
        interest_id=pl.col("interests").list.first(),
        popularity=pl.col("frequency").replace_strict(classes, default=None, return_dtype=pl.String),
    ).join(names, on="interest_id", how="left")
    words = pl.col("query").str.split(" ").list.len()
    asked = pl.DataFrame({"query": queries}).join(known, on="query", how="left")
    return asked.join(_countries(workspace, queries), on="query", how="left").select(
        "query",
        "interest",
        "country",
        popularity=pl.col("popularity").fill_null(_NOT_ASKED) if classes else pl.lit(None, pl.String),
        words=pl.when(words >= _MANY_WORDS).then(pl.lit(f"{_MANY_WORDS} or more")).otherwise(words.cast(pl.String)),
    )


def _countries(workspace: Workspace, queries: pl.Series) -> pl.DataFrame:
    """query, country: where most rows of its log are from, the first by name where two have as many."""
    log = History(workspace).log()
    log = log.filter(log.country.notnull())
    counts: pl.DataFrame = log.group_by("query", "country").agg(rows=log.count()).to_polars()
    return most_rows(counts, pl.DataFrame({"query": queries.unique()}), "country")


def most_rows(counts: pl.DataFrame, asked: pl.DataFrame, what: str) -> pl.DataFrame:
    """`asked` (query, its key, and what else tells a group apart) with the `what` of most rows of each, the first by
    name where two have as many; `counts` has query (as typed), the like columns, `what`, rows.
    """
    on = asked.columns
    keys = query_keys(counts["query"].unique()).select("raw", key="query")
    by_key = counts.join(keys, left_on="query", right_on="raw").drop("query").rename({"key": "query"})
    summed = by_key.join(asked, on=on, how="semi").group_by(*on, what).agg(pl.col("rows").sum())
    most = summed.sort("rows", what, descending=[True, False]).unique(on, keep="first", maintain_order=True)
    return most.select(*on, what)


def _categories(workspace: Workspace) -> pl.DataFrame:
    return parts.latest(workspace.folder(PIN_TEXT), PIN_TEXT).select("pin_id", "category")


def _sources(workspace: Workspace) -> pl.DataFrame:
    return counted_votes(workspace).group_by(_PAIR).agg(source=source_of(pl.col("annotator_id"))).collect()


def source_of(annotators: pl.Expr) -> pl.Expr:
    """Of a pair's `annotators`, whether one of them was of an audit."""
    audited = annotators.str.starts_with(AUDIT).fill_null(False).any()
    return pl.when(audited).then(pl.lit("audited")).otherwise(pl.lit("imported"))


def _texts(judged: Judged) -> pl.DataFrame:
    pins = pin_texts_from_frame(judged.texts)
    there = {
        str(field): pl.Series(["there" if pin.of(field) else "missing" for pin in pins], dtype=pl.String)
        for field in Field
    }
    return judged.texts.select(_PAIR).with_columns(**there)


def with_segments(rows: pl.DataFrame, segments: pl.DataFrame) -> pl.DataFrame:
    """A model's rows with the pairs' segment columns."""
    return rows.join(segments, on=_PAIR, how="left", maintain_order="left")
