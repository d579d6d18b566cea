"""What became of each linked page when it was last asked for: W/visits/, the fetching half of `enrich links`.

One row a page and visit, appended as the answers come, so that a kill costs the last seconds; `tidy` keeps the newest
visit of each page that some pin still links to. A row carries what the page said when it could last be read, beside
the reason why it could not be read now, and `version`, which counts the times that this changed. What a page said at
its first reading counts as true since its pins' content; what it said instead later, from `revised_at` on.
"""

from __future__ import annotations

import string
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from enrich import parts
from enrich.fetch import TRANSIENT, Request
from enrich.job import RETRY_ALL
from enrich.tables import BOOL, DOUBLE, INT, PIN_LINK, STRING, TIMESTAMP, Column, Kind, Table
from enrich.web.exchange import Validators
from enrich.web.fetch_reasons import NEVER_FETCHED, Reason
from enrich.web.visiting import PRODUCER, Visit
from enrich.workspace import Workspace

VALUES = tuple(column.name for column in PIN_LINK.features)  # what a page says of itself
_KEPT = (*VALUES, "etag", "last_modified", "final_url", "read_by")  # of the last time it could be read
_SNIPPET = ("link_description", "description_rule")  # what an unchanged page's server may come to forbid
FLUSH_SECONDS = 2.0  # what came in so long is written, also where it is less than a part

VISITS = Table(
    "link_visits",
    Kind.SOURCE,
    ("page",),
    (
        Column("page", STRING, "hash of the canonical URL", required=True),
        Column("url", STRING, "canonical", required=True),
        Column("host", STRING, "that was asked; empty where none can be", required=True),
        Column("visited_at", TIMESTAMP, "when the answer was there", required=True),
        Column("seconds", DOUBLE, "from the page's turn to its end, pauses included", required=True),
        Column("reason", STRING, "why it could not be read; null when it was"),
        Column("unchanged", BOOL, "the server said so of the texts below", required=True),
        Column("producer", STRING, "rules in force", required=True),
        Column("version", INT, "times that what is known of the page changed", required=True),
        Column("revised_at", TIMESTAMP, "when the page was first seen to say this, having said something else"),
        *PIN_LINK.features,
        Column("etag", STRING, "validator of these texts"),
        Column("last_modified", STRING, "validator of these texts"),
        Column("final_url", STRING, "where these texts were, after redirects"),
        Column("read_by", STRING, "rules that read them"),
    ),
    "enrich links",
    "what became of each linked page when it was last asked for",
)


_SCHEMA = pl.Schema(
    dict.fromkeys(Visit._fields, pl.String)
    | {"visited_at": pl.Datetime("us", "UTC"), "seconds": pl.Float64, "unchanged": pl.Boolean, "snippet": pl.Boolean}
)


_FOLDER = "visits"  # of the workspace


def exist(workspace: Workspace) -> bool:
    """Whether any page was visited yet."""
    return (workspace.root / _FOLDER).is_dir()


def folder(workspace: Workspace) -> Path:
    """Where the visits lie; made where it is missing."""
    found = workspace.root / _FOLDER
    parts.create(found, VISITS)
    return found


def latest(workspace: Workspace, *columns: str) -> pl.DataFrame:
    """The newest visit of each page: `columns`, else all of VISITS."""
    return _newest(parts.scan(folder(workspace))).select(*(columns or VISITS.schema.names)).collect()


def _newest(visits: pl.LazyFrame) -> pl.LazyFrame:
    return visits.sort("visited_at", "version").unique(subset="page", keep="last", maintain_order=True)


def due(pages: pl.DataFrame, known: pl.DataFrame, max_age: timedelta, retry: frozenset[str]) -> list[Request]:
    """Which of `pages` (page, url) to ask for: `known` is their newest visits.

    Those never visited; visited under other rules; longer than `max_age` ago; without success for a passing reason,
    which come last, so that a limit gets on behind them. Where `retry` names reasons, those that failed so, and no
    others. What was asked for longest ago comes first. What was read by the rules in force is asked for conditionally.
    """
    failed = pl.col("reason").is_not_null()
    passing = pl.col("reason").is_in(sorted(map(str, TRANSIENT)))
    named = failed if RETRY_ALL in retry else pl.col("reason").is_in(sorted(map(str, retry)))
    aged = pl.col("visited_at") <= datetime.now(UTC) - max_age
    never_safe = pl.col("reason").fill_null("").is_in(sorted(map(str, NEVER_FETCHED)))
    other_rules = pl.col("producer") != PRODUCER
    stale = pl.col("visited_at").is_null() | other_rules | (aged & ~never_safe) | passing
    wanted = (
        pages.join(known.drop("url"), on="page", how="left", maintain_order="left")
        .filter(named if retry else stale)
        .sort(passing.fill_null(False), "visited_at", nulls_last=False, maintain_order=True)
        .with_columns(comparable=pl.col("read_by").eq_missing(PRODUCER))
        .select("url", "etag", "last_modified", "final_url", "comparable")
    )
    return [
        Request(url, Validators(etag, modified), final_url) if comparable else Request(url)
        for url, etag, modified, final_url, comparable in wanted.iter_rows()
    ]


class VisitLog:
    """Appends visits to the workspace in small parts, each row completed by what was `known` of its page before."""

    def __init__(self, workspace: Workspace, known: pl.DataFrame, pages: pl.DataFrame, most: int) -> None:
        """`pages` gives the page of each url; `known` is `latest`; a part has at most so many visits, or a batch."""
        self._most = most
        self._folder = folder(workspace)
        self._known = known.select("page", "reason", "version", "revised_at", *_KEPT)
        self._pages = pages.select("url", "page")
        self._waiting: list[Visit] = []
        self._written = time.monotonic()

    def add(self, visits: Sequence[Visit]) -> None:
        """Take visits in; every few of them, or every few seconds, they are written."""
        self._waiting += visits
        if len(self._waiting) >= self._most or time.monotonic() - self._written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            visits = pl.DataFrame(self._waiting, schema=_SCHEMA, orient="row").join(self._pages, on="url")
            before = self._known.join(visits, on="page", how="semi")
            parts.append(self._folder, VISITS, completed(visits, before).to_arrow())
        self._waiting, self._written = [], time.monotonic()


def completed(visits: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """VISITS' rows of `visits` (Visit's columns and page), given the newest visit of each of their pages `before`.

    A page that could not be read, or that has not changed, keeps what it said, but not where it is not to be indexed
    any more; the version counts changes.
    """
    joined = visits.join(before, on="page", how="left", suffix="_before", maintain_order="left")
    made, made_before = pl.col("reason").is_null(), pl.col("reason_before").is_null()
    read = made & ~pl.col("unchanged")
    taken = read | (pl.col("reason") == Reason.REFUSED_NOINDEX.value).fill_null(False)
    kept = [pl.when(taken).then(pl.col(name)).otherwise(pl.col(f"{name}_before")).alias(name) for name in _KEPT]
    silenced = [pl.when("snippet").then(name).alias(name) for name in _SNIPPET]
    other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in VALUES)
    changed = (made != made_before) | (read & other)
    revised = read & other & pl.col("read_by_before").eq_missing(PRODUCER)  # other rules read it otherwise, it may be
    version = pl.when(pl.col("version").is_null()).then(0).otherwise(pl.col("version") + changed.cast(pl.Int64))
    revised_at = pl.when(revised).then("visited_at").otherwise("revised_at")
    rows = joined.with_columns(*kept, version=version, revised_at=revised_at, producer=pl.lit(PRODUCER))
    return rows.with_columns(silenced).select(VISITS.schema.names)


def tidy(workspace: Workspace, pages: pl.DataFrame) -> None:
    """Keep the newest visit of each of `pages` (page), and nothing else; a sixteenth of them in memory at a time."""
    parts.sweep(folder(workspace))
    kept = latest(workspace, "page").join(pages, on="page", how="semi").height
    if kept == parts.count(folder(workspace)):
        return
    visits = parts.scan(folder(workspace)).join(pages.lazy(), on="page", how="semi")
    shares = (visits.filter(pl.col("page").str.starts_with(digit)) for digit in string.hexdigits[:16])
    parts.replace_all(folder(workspace), VISITS, (_newest(share).collect().to_arrow() for share in shares))
