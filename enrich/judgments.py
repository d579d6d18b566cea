"""Human votes to gold levels: `judgment`, one row a judged (query, pin).

Reads judgments, pins and deletions; writes judgment (`enrich judgments`). The gold level is the annotators' mean, half
up; the row is dated by its latest vote, and a changed vote gives a new row, which counts even where it is dated before
the one that it corrects. Queries that differ only in spelling (`normalise_query`) are one; of an annotator's votes on a
pair the latest counts, and each vote without a name does.
A pair whose pin the catalogue lacks gets a row without a level, and the reason "unknown-pin"; one that has no vote any
more, since the last import brought none, a row with the reason "gone", dated by the run that found it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from enrich import job, parts
from enrich.job import JobReport, JobSettings
from enrich.live_pins import deleted_pins
from enrich.normalise import normalise_query
from enrich.tables import JUDGMENT, JUDGMENTS, LEVELS, PINS
from enrich.workspace import Workspace

PRODUCER = "mean of votes, half up 1"
UNKNOWN_PIN = "unknown-pin"
EMPTY_QUERY = "empty-query"
AUDIT = "audit:"  # how the annotator_id of a vote that `relevance audit` read begins; a name follows
_ROUNDING = 1e-9  # a mean of x.5 may come out a little below
_PAIR = ("query", "pin_id")


@dataclass(frozen=True, slots=True)
class JudgmentSettings:
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=100_000))


def run_judgments(workspace: Workspace, settings: JudgmentSettings | None = None) -> JobReport:
    """Make the gold levels of the pairs that are new or whose votes changed; take back those of which none is left."""
    chosen = settings or JudgmentSettings()
    pairs = _inputs(workspace)
    return job.run(workspace, [JUDGMENT], pairs, _grade, PRODUCER, chosen.job, without=_withdrawn(workspace, pairs))


def gold_level(votes: pl.Expr) -> pl.Expr:
    """The level (int64, 1..5) of a list of votes: their mean, half up."""
    mean = (votes.list.mean() + 0.5 + _ROUNDING).floor()
    return mean.clip(LEVELS[0], LEVELS[-1]).cast(pl.Int64)


def _grade(batch: pl.DataFrame) -> pl.DataFrame:
    graded = batch.select(*_PAIR, "lang", "reason", "votes", level=gold_level(pl.col("votes")))
    made = pl.col("reason").is_null()
    return graded.with_columns(pl.when(made).then(pl.col(name)).alias(name) for name in ("level", "votes", "lang"))


def _inputs(workspace: Workspace) -> pl.DataFrame:
    """query, pin_id, votes (ascending), lang, reason, event_timestamp and input_hash of every judged pair."""
    pins = parts.scan(workspace.folder(PINS)).select("pin_id", known=pl.lit(True))
    pairs = (
        counted_votes(workspace)
        .group_by(_PAIR)
        .agg(
            votes=pl.col("level").sort(),
            lang=pl.col("lang").drop_nulls().mode().min(),
            event_timestamp=pl.col("judged_at").max(),
        )
        .join(deleted_pins(workspace), on="pin_id", how="anti")
        .join(pins, on="pin_id", how="left")
        .with_columns(reason=_reason())
        .drop("known")
        .sort(_PAIR)
        .collect()
    )
    columns = ("votes", "lang", "event_timestamp", "reason")
    hashes = [job.input_hash(*map(str, row)) for row in pairs.select(columns).iter_rows()]
    return pairs.with_columns(input_hash=pl.Series(hashes, dtype=pl.String))


def _withdrawn(workspace: Workspace, pairs: pl.DataFrame) -> pl.DataFrame:
    """query, pin_id, event_timestamp (now) of what was a pair once and has no vote now; a deleted pin's are erased."""
    made = parts.scan(workspace.folder(JUDGMENT)).select(_PAIR).unique()
    left = made.join(pairs.lazy(), on=_PAIR, how="anti").join(deleted_pins(workspace), on="pin_id", how="anti")
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    return left.sort(_PAIR).with_columns(event_timestamp=now).collect()


def counted_votes(workspace: Workspace) -> pl.LazyFrame:
    """The votes that count, a row each, with the columns of `judgments`; `query` is normalised."""
    votes = parts.scan(workspace.folder(JUDGMENTS))
    spellings = votes.select("query").unique().collect()["query"]
    named = {"query": spellings, "key": [normalise_query(text) for text in spellings]}
    keys = pl.LazyFrame(named, schema={"query": pl.String, "key": pl.String})
    keyed = votes.with_row_index("row").join(keys, on="query", how="left").with_columns(query="key")
    voter = pl.coalesce("annotator_id", pl.format("#{}", "row"))
    return (
        keyed.with_columns(anonymous=pl.col("annotator_id").is_null(), voter=voter)
        .sort("judged_at", "level", maintain_order=True)
        .unique([*_PAIR, "anonymous", "voter"], keep="last", maintain_order=True)
    )


def _reason() -> pl.Expr:
    return (
        pl.when(pl.col("query") == "")
        .then(pl.lit(EMPTY_QUERY))
        .when(pl.col("known").is_null())
        .then(pl.lit(UNKNOWN_PIN))
    )
