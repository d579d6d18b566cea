"""The queries that people engaged with a pin for: `pin_queries`, one snapshot at a time.

Reads engagements and deletions; writes pin_queries, and query_features through `query_features.py`
(`enrich queries`).

A pin's top 20 by weighted engagement in the two years before the snapshot, after OmniSearchSage: each click, long click
and save adds its event's weight divided by the propensity of the position it was at (`propensity.py`), each hide takes
away. A query counts only when at least `min_users` distinct users issued it in that time, and never when it holds
something private (`privacy.py`). Where the log names no user, half-hour sittings stand in (`history.py`).

`--refresh full` aggregates the whole window at every snapshot. `--refresh merge`, as OmniSearchSage does, adds the new
period's engagement to the previous top 40, those of too few users among them, and takes away what has left the window
of these (`query_merge.py`): exact, but for the bias, of a query that stayed there; one that was below it then counts
with its new engagement alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import propensity, query_merge, snapshots
from enrich.backends import BOUNDED, BackendLimits, lists
from enrich.day_folders import Kind
from enrich.errors import BadInput
from enrich.history import History, times
from enrich.job import JobReport
from enrich.left_out import WITHOUT_USER
from enrich.log_days import LogDays
from enrich.query_features import QueryFeatureSettings, run_query_features
from enrich.snapshots import Computed, Snapshot, SnapshotSettings
from enrich.tables import PIN_QUERIES
from enrich.window_sums import Remembered, Sum, WindowSums
from enrich.workspace import Workspace

MAX_WEIGHT = 1000.0  # of an event: its millionths, times the largest propensity weight, fit 64 bits for 10^8 events
TOO_FEW_USERS = "fewer-users-than-k"


class Refresh(StrEnum):
    """What a snapshot is computed from."""

    FULL = "full"  # the whole window
    MERGE = "merge"  # the period since the last snapshot, and what that said


@dataclass(frozen=True, slots=True)
class EventWeights:
    """What one event says for a query, in clicks."""

    click: float = 1.0
    long_click: float = 2.0
    save: float = 4.0
    hide: float = -2.0

    @classmethod
    def parse(cls, text: str) -> EventWeights:
        """Of "click,long_click,save,hide", such as "1,2,4,-2". Raises BadInput for anything but four numbers that are
        not too large to be summed (`MAX_WEIGHT`).
        """
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != len(fields(cls)) or not all(abs(number) <= MAX_WEIGHT for number in numbers):
            raise BadInput(
                f"expected --event-weights as click,long_click,save,hide, each from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, "
                f"found {text!r}; write numbers, as 1,2,4,-2"
            )
        return cls(*numbers)


@dataclass(frozen=True, slots=True)
class QuerySettings:
    queries: int = 20  # kept a pin, at most
    min_users: int = 5  # distinct users a query needs before it may reach a pin's text
    window: timedelta = timedelta(days=730)  # of engagement that counts
    weights: EventWeights = field(default_factory=EventWeights)
    refresh: Refresh = Refresh.FULL
    features: QueryFeatureSettings = field(default_factory=QueryFeatureSettings)
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    backend: BackendLimits = BOUNDED

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
            + ("" if self.refresh is Refresh.FULL else f" refresh={self.refresh}")
        )


_CELLS = Sum(
    "query-cells", Kind.PAIRS, lambda log: _summed(log, "query", "refused", "pin_id", "event", "position")
)  # all that the scores and the bias need
_ASKERS = Sum("query-askers", Kind.ASKERS, lambda log: _summed(log, "query", "refused", "user", "named"))


def _summed(log: ir.Table, *columns: str) -> ir.Table:
    return log.group_by(*columns).agg(n=times(log).sum())


def run_queries(workspace: Workspace, settings: QuerySettings) -> list[JobReport]:
    """Bring pin_queries and query_features up to date with what was logged before each due snapshot."""
    history = History(workspace, settings.backend)
    days = history.days()
    return [
        run_pin_queries(workspace, days, settings),
        run_query_features(workspace, history, days, settings.features, settings.snapshots),
    ]


def run_pin_queries(workspace: Workspace, days: LogDays, settings: QuerySettings) -> JobReport:
    """Bring pin_queries up to date."""
    planned = snapshots.plan(days.changes(settings.snapshots), settings.snapshots, window=settings.window)
    lost = [one.at for one in planned if days.lost(one.at - settings.window, one.at)]
    planned = snapshots.as_made(workspace, PIN_QUERIES, planned, lost)
    before_it = dict(zip((one.at for one in planned[1:]), planned, strict=False))
    of = {one.at: one for one in planned}
    sums, found = WindowSums(days), Remembered[Computed]()

    def whole(at: datetime) -> Computed:
        cells, askers = (sums.of(one, at - settings.window, at) for one in (_CELLS, _ASKERS))
        return found.of(
            [cells, askers],
            lambda: Computed(engaged_queries(cells, askers, settings), _dropped(askers, settings.min_users)),
        )

    def merged(at: datetime) -> Computed:
        values, askers = _merged(workspace, days, sums, of[at], before_it.get(at), settings)
        return Computed(values, _dropped(askers, settings.min_users))

    def compute(at: datetime, _: pl.DataFrame) -> Computed:
        return merged(at) if settings.refresh is Refresh.MERGE else whole(at)

    report = snapshots.run(workspace, PIN_QUERIES, planned, compute, settings.producer, settings.snapshots)
    sums.save()
    return report


def engaged_queries(log: ir.Table, askers: ir.Table, settings: QuerySettings) -> pl.DataFrame:
    """pin_id, engaged_queries, engaged_query_scores (best first) from the log of one window and who asked in it."""
    scored = scores(log, propensity.fit_eta(log), settings.weights)
    return _best(scored.filter(scored.score > 0), askers, settings)


def _merged(
    workspace: Workspace,
    days: LogDays,
    sums: WindowSums,
    snapshot: Snapshot,
    last: Snapshot | None,
    settings: QuerySettings,
) -> tuple[pl.DataFrame, ir.Table]:
    """`engaged_queries` from what was kept of the `last` snapshot and the log since; of the whole window without it.

    Who asked (the second) is counted over the whole window, for privacy allows no estimate; the bias is that of the new
    period.
    """
    start = snapshot.at - settings.window
    old = query_merge.load(workspace, last, settings.producer) if last else None
    if old is None or last is None:
        cells = sums.of(_CELLS, start, snapshot.at)
        scored = scores(cells, propensity.fit_eta(cells), settings.weights)
        scored = scored.filter(scored.score > 0)
    else:
        new, left = query_merge.between(days, last.at, snapshot.at, settings.window)
        eta = propensity.fit_eta(new)
        scored = query_merge.merged(old, scores(new, eta, settings.weights), scores(left, eta, settings.weights))
    kept = _first(scored, 2 * settings.queries).drop("rank").to_polars()
    query_merge.save(workspace, snapshot, settings.producer, kept, last.at if last else None)
    askers = sums.of(_ASKERS, start, snapshot.at)
    return _best(scored, askers, settings), askers


def _best(scored: ir.Table, askers: ir.Table, settings: QuerySettings) -> pl.DataFrame:
    best = best_queries(scored, askers, settings)
    rows = best.select("pin_id", "rank", engaged_queries="query", engaged_query_scores="score").to_polars()
    return lists(rows, "pin_id", "rank")


def best_queries(scored: ir.Table, askers: ir.Table, settings: QuerySettings) -> ir.Table:
    """pin_id, rank, query, score: each pin's best queries of those that enough users asked."""
    allowed = _issuers(askers).filter(lambda table: table.users >= settings.min_users)
    return _first(scored.semi_join(allowed, "query"), settings.queries)


def _first(scored: ir.Table, limit: int) -> ir.Table:
    order = [ibis.desc("score"), "query"]
    ranked = scored.mutate(rank=ibis.row_number().over(group_by="pin_id", order_by=order))
    return ranked.filter(ranked.rank < limit)


def scores(log: ir.Table, eta: float, weights: EventWeights) -> ir.Table:
    """pin_id, query, score: the weighted, position-corrected engagement of each pair, below 0 where more is against.

    Summed in millionths, whole numbers: so that no order of the rows, and no engine, makes another score.
    """
    usable = log.filter(log.refused.isnull() & (log.event != "impression"))
    worth = usable.event.cases(
        ("click", weights.click),
        ("long_click", weights.long_click),
        ("save", weights.save),
        ("hide", weights.hide),
        else_=0.0,
    )
    millionths = (worth * propensity.weight(usable.position, eta) * 1e6).round().cast("int64") * times(usable)
    return usable.group_by("pin_id", "query").agg(score=(millionths.sum().cast("float64") / 1e6).round(3))


def _issuers(askers: ir.Table) -> ir.Table:
    """query, users: how many distinct users issued each usable query."""
    usable = askers.filter(askers.refused.isnull())
    return usable.group_by("query").agg(users=usable.user.nunique())


def _dropped(askers: ir.Table, min_users: int) -> Counter[str]:
    """Distinct queries of the window that may reach no pin's text, by reason; and rows whose user is unknown."""
    refused = askers.filter(askers.refused.notnull())
    counted = refused.group_by("refused").agg(queries=refused["query"].nunique()).to_polars()
    issuers = _issuers(askers)
    reasons = Counter(dict(counted.iter_rows()))
    reasons[TOO_FEW_USERS] = int(issuers.filter(issuers.users < min_users).count().execute())
    unnamed = askers.filter(~askers.named)
    reasons[WITHOUT_USER] = int(times(unnamed).sum().fill_null(0).execute())
    return +reasons
