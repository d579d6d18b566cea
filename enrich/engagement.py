"""How people engage with a pin, and with a pin for a query: `pin_engagement` and `query_pin_engagement`.

Reads engagements and deletions; writes the two tables, one snapshot at a time (`enrich engagement`): counts of each
event over the windows before the snapshot (30 and 365 days; a pair has 365 days alone), and rates per impression,
smoothed by empirical Bayes (`smoothing.py`): a pin's towards all pins' rate, a pair's towards its pin's. A private
query has no pairs. A window with no impression at all has counts and no rates.

The priors move a little with every event of the log. A key whose own counts stand still keeps its last rates, and so
needs no new row, until one of them would move by more than `max_lag` of itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import ibis.expr.types as ir
import polars as pl

from enrich import snapshots
from enrich.backends import BOUNDED, BackendLimits
from enrich.day_folders import Kind
from enrich.errors import BadInput
from enrich.history import History, how_often, times
from enrich.job import JobReport
from enrich.smoothing import prior_strength, smoothed
from enrich.snapshots import Computed, SnapshotSettings
from enrich.tables import ENGAGEMENT_WINDOWS_DAYS, EVENTS, PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT, Table
from enrich.window_sums import Remembered, Sum, WindowSums
from enrich.workspace import Workspace

PAIR_WINDOW_DAYS = 365


@dataclass(frozen=True, slots=True)
class EngagementSettings:
    max_lag: float = 0.1  # share of a rate by which it may lag the whole log's while the key's own counts stand still
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    backend: BackendLimits = BOUNDED

    def __post_init__(self) -> None:
        if not 0 <= self.max_lag < 1:
            raise BadInput(f"expected a max_lag from 0 up to 1, found {self.max_lag}; name another share")

    @property
    def producer(self) -> str:
        return f"engagement/1 max-lag={self.max_lag:g} cadence={self.snapshots.cadence_days}d"


def run_engagement(workspace: Workspace, settings: EngagementSettings) -> list[JobReport]:
    """Bring pin_engagement and query_pin_engagement up to date with what was logged before each due snapshot."""
    days = History(workspace, settings.backend).days()
    longest = max(*ENGAGEMENT_WINDOWS_DAYS, PAIR_WINDOW_DAYS)
    planned = snapshots.plan(days.changes(settings.snapshots), settings.snapshots, window=timedelta(days=longest))
    lost = [one.at for one in planned if days.lost(one.at - timedelta(days=longest), one.at)]
    sums, of_pins, of_pairs = WindowSums(days), Remembered[Computed](), Remembered[Computed]()

    def pins(at: datetime, state: pl.DataFrame) -> Computed:
        windows = {window: _window(sums, _PIN_EVENTS[window], at, window) for window in ENGAGEMENT_WINDOWS_DAYS}
        found = of_pins.of(windows.values(), lambda: Computed(pin_engagement(windows), Counter()))
        return found._replace(values=_settled(PIN_ENGAGEMENT, found.values, state, settings.max_lag))

    def pairs(at: datetime, state: pl.DataFrame) -> Computed:
        window = _window(sums, _PAIR_EVENTS, at, PAIR_WINDOW_DAYS)
        found = of_pairs.of([window], lambda: Computed(query_pin_engagement(window), _refused(window)))
        return found._replace(values=_settled(QUERY_PIN_ENGAGEMENT, found.values, state, settings.max_lag))

    reports = []
    for table, compute in ((PIN_ENGAGEMENT, pins), (QUERY_PIN_ENGAGEMENT, pairs)):
        due = snapshots.as_made(workspace, table, planned, lost)
        reports.append(snapshots.run(workspace, table, due, compute, settings.producer, settings.snapshots))
    sums.save()
    return reports


def _window(sums: WindowSums, sum: Sum, at: datetime, days: int) -> ir.Table:
    return sums.of(sum, at - timedelta(days=days), at)


def _summed(log: ir.Table, *columns: str) -> ir.Table:
    return log.group_by(*columns).agg(n=times(log).sum())


_PIN_EVENTS = {
    days: Sum(f"pin-events-{days}d", Kind.PAIRS, lambda log: _summed(log, "pin_id", "event"))
    for days in ENGAGEMENT_WINDOWS_DAYS
}
_PAIR_EVENTS = Sum(
    f"pair-events-{PAIR_WINDOW_DAYS}d", Kind.PAIRS, lambda log: _summed(log, "query", "refused", "pin_id", "event")
)


def pin_engagement(windows: dict[int, ir.Table]) -> pl.DataFrame:
    """Counts and rates of every pin with an event in the longest of the windows: its days and its log."""
    longest, *others = sorted(windows, reverse=True)
    counted = _counted(windows[longest], ["pin_id"], longest)
    for days in others:
        counted = counted.join(
            _counted(windows[days], ["pin_id"], days), on="pin_id", how="left", maintain_order="left"
        )
    counted = counted.select("pin_id", *(f"{e}s_{d}d" for d in windows for e in EVENTS)).fill_null(0)
    rates = [_pin_rate(counted, event, days) for days in windows for event in EVENTS[1:]]
    return counted.with_columns(rates)


def query_pin_engagement(log: ir.Table) -> pl.DataFrame:
    """Counts and rates of every (query, pin) in the log of one window, private queries left out but of a pin's own."""
    pins = _counted(log, ["pin_id"], PAIR_WINDOW_DAYS)
    means = pins.select(
        "pin_id", *(_pin_rate(pins, event, PAIR_WINDOW_DAYS).alias(f"pin_{event}") for event in EVENTS[1:])
    )
    pairs = _counted(log.filter(log.refused.isnull()), ["query", "pin_id"], PAIR_WINDOW_DAYS)
    joined = pairs.join(means, on="pin_id", how="left", maintain_order="left")
    return joined.with_columns([_pair_rate(joined, event) for event in EVENTS[1:]])


def counts(log: ir.Table, key: list[str], days: int) -> ir.Table:
    """The key, and how many of each event `log` has, the rows of a window of so many `days`."""
    sums = {f"{event}s_{days}d": how_often(log, log.event == event) for event in EVENTS}
    return log.group_by(key).agg(**sums)


def _counted(log: ir.Table, key: list[str], days: int) -> pl.DataFrame:
    frame: pl.DataFrame = counts(log, key, days).order_by(key).to_polars()
    return frame


def _shown(events: pl.Series, impressions: pl.Series) -> pl.Series:
    """How often it was shown: its impressions, or its events where the log lacks theirs."""
    return pl.select(pl.max_horizontal(events, impressions)).to_series().cast(pl.Float64)


def _pin_rate(counted: pl.DataFrame, event: str, days: int) -> pl.Series:
    events, impressions = counted[f"{event}s_{days}d"], counted[f"impressions_{days}d"]
    shown = _shown(events, impressions)
    total = float(shown.sum())
    means = pl.Series([float(events.sum()) / total if total else 0.0]).new_from_index(0, counted.height)
    return _rate(events, shown, impressions, means).alias(f"{event}_rate_{days}d")


def _pair_rate(joined: pl.DataFrame, event: str) -> pl.Series:
    events, impressions = joined[f"{event}s_{PAIR_WINDOW_DAYS}d"], joined[f"impressions_{PAIR_WINDOW_DAYS}d"]
    means = joined[f"pin_{event}"].cast(pl.Float64)
    return _rate(events, _shown(events, impressions), impressions, means).alias(f"{event}_rate_{PAIR_WINDOW_DAYS}d")


def _rate(events: pl.Series, shown: pl.Series, impressions: pl.Series, means: pl.Series) -> pl.Series:
    """Float32; null throughout where the window has no impressions."""
    if not impressions.sum():
        return pl.Series([None] * len(events), dtype=pl.Float32)
    return smoothed(events, shown, means, prior_strength(events, shown, means)).cast(pl.Float32)


def _settled(table: Table, values: pl.DataFrame, state: pl.DataFrame, max_lag: float) -> pl.DataFrame:
    """`values`, with the last rates of each key whose counts are its last and whose rates have hardly moved."""
    rates = [column.name for column in table.features if "_rate_" in column.name]
    counts = [column.name for column in table.features if column.name not in rates]
    joined = values.join(state, on=[*table.key, *counts], how="left", suffix="_last")
    moved = [(pl.col(rate) - pl.col(f"{rate}_last")).abs() > max_lag * pl.col(f"{rate}_last") for rate in rates]
    still = pl.all_horizontal(~move.fill_null(True) for move in moved)
    kept = [pl.when(still).then(f"{rate}_last").otherwise(rate).alias(rate) for rate in rates]
    return joined.with_columns(kept).select(values.columns)


def _refused(log: ir.Table) -> Counter[str]:
    """Distinct queries that have no pairs, by reason."""
    refused = log.filter(log.refused.notnull())
    counted = refused.group_by("refused").agg(queries=refused["query"].nunique()).to_polars()
    return Counter(dict(counted.iter_rows()))
