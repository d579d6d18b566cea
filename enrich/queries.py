"""The queries that people engaged with a pin for: `pin_queries`, one snapshot at a time.

Reads engagements and deletions; writes pin_queries, and query_features through `query_features.py`
(`enrich queries`).

A pin's top 20 by weighted engagement in the two years before the snapshot, after OmniSearchSage: each click, long click
and save adds its event's weight divided by the propensity of the position it was at (`propensity.py`), each hide takes
away. A query counts only when at least `min_users` distinct users issued it in that time, and never when it holds
something private (`privacy.py`). Where the log names no user, half-hour sittings stand in (`history.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import propensity, snapshots
from enrich.errors import BadInput
from enrich.history import History, before, changes
from enrich.job import JobReport
from enrich.query_features import QueryFeatureSettings, run_query_features
from enrich.snapshots import Computed, SnapshotSettings
from enrich.tables import PIN_QUERIES
from enrich.workspace import Workspace

TOO_FEW_USERS = "fewer-users-than-k"
WITHOUT_USER = "log-rows-without-user"  # not left out: counted, because half-hour sittings stand in for their users
LOG_COLUMNS = ("query", "pin_id", "event", "position", "user_hash", "lang")


@dataclass(frozen=True, slots=True)
class EventWeights:
    """What one event says for a query, in clicks."""

    click: float = 1.0
    long_click: float = 2.0
    save: float = 4.0
    hide: float = -2.0


@dataclass(frozen=True, slots=True)
class QuerySettings:
    queries: int = 20  # kept a pin, at most
    min_users: int = 5  # distinct users a query needs before it may reach a pin's text
    window: timedelta = timedelta(days=730)  # of engagement that counts
    weights: EventWeights = field(default_factory=EventWeights)
    features: QueryFeatureSettings = field(default_factory=QueryFeatureSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise BadInput(f"expected to keep at least 1 query a pin, found {self.queries}; raise `queries`")
        if self.min_users < 1:
            raise BadInput(f"expected --min-users of at least 1, found {self.min_users}; name how many users hide one")

    @property
    def producer(self) -> str:
        weights = self.weights
        return (
            f"queries/1 top={self.queries} k={self.min_users} window={self.window.days}d "
            f"weights={weights.click:g},{weights.long_click:g},{weights.save:g},{weights.hide:g} "
            f"cadence={self.snapshots.cadence_days}d"
        )


def run_queries(workspace: Workspace, settings: QuerySettings) -> list[JobReport]:
    """Bring pin_queries and query_features up to date with what was logged before each due snapshot."""
    history = History(workspace)
    log = history.engagements()
    return [
        _run_pin_queries(workspace, log, settings),
        run_query_features(workspace, history, log, settings.features, settings.snapshots),
    ]


def _run_pin_queries(workspace: Workspace, log: ir.Table, settings: QuerySettings) -> JobReport:
    log_changes = changes(log, "event_timestamp", LOG_COLUMNS, settings.snapshots)
    planned = snapshots.plan(log_changes, settings.snapshots, window=settings.window)

    def compute(at: datetime, _: pl.DataFrame) -> Computed:
        seen = before(log, "event_timestamp", at, settings.window)
        return Computed(engaged_queries(seen, settings), _dropped(seen, settings.min_users))

    return snapshots.run(workspace, PIN_QUERIES, planned, compute, settings.producer, settings.snapshots)


def engaged_queries(log: ir.Table, settings: QuerySettings) -> pl.DataFrame:
    """pin_id, engaged_queries, engaged_query_scores (best first) from the log rows of one window."""
    scored = _scored(log, propensity.fit_eta(log), settings.weights)
    allowed = _issuers(log).filter(lambda table: table.users >= settings.min_users)
    order = [ibis.desc("score"), "query"]
    kept = scored.semi_join(allowed, "query")
    ranked = kept.mutate(rank=ibis.row_number().over(group_by="pin_id", order_by=order))
    best = ranked.filter(ranked.rank < settings.queries)
    frame: pl.DataFrame = (
        best.group_by("pin_id")
        .agg(
            engaged_queries=best.query.collect(order_by=best.rank),
            engaged_query_scores=best.score.collect(order_by=best.rank),
        )
        .to_polars()
    )
    return frame


def _scored(log: ir.Table, eta: float, weights: EventWeights) -> ir.Table:
    """pin_id, query, score: the weighted, position-corrected engagement of each pair that has more for than against."""
    usable = log.filter(log.refused.isnull() & (log.event != "impression"))
    worth = usable.event.cases(
        ("click", weights.click),
        ("long_click", weights.long_click),
        ("save", weights.save),
        ("hide", weights.hide),
        else_=0.0,
    )
    scored = usable.group_by("pin_id", "query").agg(
        score=(worth * propensity.weight(usable.position, eta)).sum().round(3)
    )
    return scored.filter(scored.score > 0)


def _issuers(log: ir.Table) -> ir.Table:
    """query, users: how many distinct users issued each usable query."""
    usable = log.filter(log.refused.isnull())
    return usable.group_by("query").agg(users=usable.user.nunique())


def _dropped(log: ir.Table, min_users: int) -> Counter[str]:
    """Distinct queries of the window that may reach no pin's text, by reason; and rows whose user is unknown."""
    refused = log.filter(log.refused.notnull())
    counted = refused.group_by("refused").agg(queries=refused["query"].nunique()).to_polars()
    issuers = _issuers(log)
    reasons = Counter(dict(counted.iter_rows()))
    reasons[TOO_FEW_USERS] = int(issuers.filter(issuers.users < min_users).count().execute())
    reasons[WITHOUT_USER] = int(log.filter(log.user_hash.isnull()).count().execute())
    return +reasons
