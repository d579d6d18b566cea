"""What position bias did to the log, and what another order would have been clicked: `enrich status positions`.

Reads engagements and deletions; writes nothing. Positions are shown with their click-through rate and the propensity
that `propensity.py` finds for them. The counterfactual: half of the searches (those of even days) say how often each
pin of a query would be clicked if it were looked at, a rate corrected by propensities and pulled to the mean,

    appeal(q, p) = (clicks + strength * mean) / (sum of propensities of its impressions + strength),

and the other half are replayed. Searches there are known by query and pin alone, so a query's impressions at each
position keep their number and its pins are put there in the order of their appeal. Expected clicks of an order are
the sum over positions of impressions * propensity * appeal, with the appeal of the replayed half (the examination
model of Joachims, Swaminathan and Schnabel, WSDM 2017). Clicks of an appeal measured on the same half that ordered the
pins would flatter the new order; here each half judges what the other one ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import polars as pl

from enrich import propensity
from enrich.history import History
from enrich.workspace import Workspace

STRENGTH = 5.0  # impressions at the top that the mean appeal counts for
POSITIONS = 20  # shown
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class PositionRate:
    """Impressions and clicks at one position; `propensity` is how likely one there is looked at, the first being 1."""

    position: int
    impressions: int
    clicks: int
    click_rate: float
    propensity: float


@dataclass(frozen=True, slots=True)
class PositionReport:
    eta: float  # propensity = position ** -eta
    moved: int  # (query, pin) that were clicked and shown at two positions or more, of which eta is found
    positions: tuple[PositionRate, ...]
    observed: float  # clicks an impression of the replayed searches, as the log has them
    logged: float  # the same as the model expects of the order that was shown
    reordered: float  # and of the order by corrected appeal, learned from the other half
    by_clicks: float  # and of the order by uncorrected click-through rate


def position_report(workspace: Workspace) -> PositionReport | None:
    """The report over the whole log; None where no impression has a position."""
    log = History(workspace).engagements()
    cells = _cells(log)
    if cells.is_empty():
        return None
    eta = propensity.fit_eta(log)
    cells = cells.with_columns(weight=pl.col("position").cast(pl.Float64) ** -eta)
    rates = cells.group_by("position").agg(pl.col("impressions", "clicks").sum(), pl.col("weight").first())
    positions = tuple(
        PositionRate(position, shown, clicks, clicks / shown, weight)
        for position, shown, clicks, weight in rates.sort("position").head(POSITIONS).iter_rows()
    )
    shown, *clicks = (sum(halves) for halves in zip(*(_replay(cells, half) for half in (0, 1)), strict=True))
    return PositionReport(eta, propensity.moved_pairs(log), positions, *(found / shown for found in clicks))


class _Replay(NamedTuple):
    """Impressions of the replayed half, and clicks: seen, and expected of three orders."""

    shown: float
    observed: float
    logged: float
    by_appeal: float
    by_clicks: float


def _cells(log: ir.Table) -> pl.DataFrame:
    """query, pin_id, position, half (0, 1: of its day), impressions, clicks; a click is of an impression."""
    seen = log.filter(log.position.notnull() & log.event.isin(["impression", "click"]))
    half = (seen.event_timestamp.epoch_seconds() // _SECONDS_A_DAY) % 2
    counted = seen.mutate(half=half).group_by("query", "pin_id", "position", "half").agg(
        shown=(seen.event == "impression").sum(), clicks=(seen.event == "click").sum()
    )  # fmt: skip
    frame: pl.DataFrame = counted.order_by("query", "pin_id", "position", "half").to_polars()
    impressions = pl.max_horizontal("shown", "clicks")
    return frame.with_columns(impressions=impressions).filter(pl.col("impressions") > 0).drop("shown")


def _replay(cells: pl.DataFrame, half: int) -> _Replay:
    """The searches of one `half` in the orders that the other half suggests."""
    judge, teach = cells.filter(pl.col("half") == half), cells.filter(pl.col("half") != half)
    if judge.is_empty():
        return _Replay(0.0, 0.0, 0.0, 0.0, 0.0)
    pairs = judge.group_by("query", "pin_id", maintain_order=True).agg(
        pl.col("impressions", "clicks").sum(), looked=(pl.col("impressions") * pl.col("weight")).sum()
    )
    pairs = pairs.with_columns(appeal=_appeal(pairs["clicks"], pairs["looked"]))
    taught = teach.group_by("query", "pin_id").agg(
        clicked=pl.col("clicks").sum(),
        seen=pl.col("impressions").sum(),
        examined=(pl.col("impressions") * pl.col("weight")).sum(),
    )
    pairs = pairs.join(taught, on=["query", "pin_id"], how="left", maintain_order="left").with_columns(
        pl.col("clicked", "seen", "examined").fill_null(0.0)
    )
    by_appeal = pairs.with_columns(order=_appeal(pairs["clicked"], pairs["examined"]))
    by_clicks = pairs.with_columns(order=_appeal(pairs["clicked"], pairs["seen"]))
    logged = float((pairs["looked"] * pairs["appeal"]).sum())
    slots = judge.select("query", "weight", "impressions")
    shown, clicks = float(pairs["impressions"].sum()), float(pairs["clicks"].sum())
    return _Replay(shown, clicks, logged, _expected(by_appeal, slots), _expected(by_clicks, slots))


def _appeal(clicks: pl.Series, looked: pl.Series) -> pl.Series:
    mean = float(clicks.sum()) / max(float(looked.sum()), 1.0)
    return ((clicks + STRENGTH * mean) / (looked + STRENGTH)).clip(0.0, 1.0)


def _expected(pairs: pl.DataFrame, slots: pl.DataFrame) -> float:
    """Clicks where each query's impressions, the best seen ones first, go to its pins in their `order`.

    Every pin keeps the number of its impressions; what moves is how well they are placed.
    """
    ranked = pairs.sort(["query", "order", "pin_id"], descending=[False, True, False])
    placed = slots.sort(["query", "weight"], descending=[False, True])
    wants, gives = ranked["impressions"].to_numpy(), placed["impressions"].to_numpy()
    # Both run over the same impressions of the same queries: cut them at all borders of either.
    ends = np.unique(np.concatenate([np.cumsum(wants), np.cumsum(gives)]))
    lengths = np.diff(np.concatenate([[0], ends]))
    pin = np.searchsorted(np.cumsum(wants), ends)
    slot = np.searchsorted(np.cumsum(gives), ends)
    return float((lengths * ranked["appeal"].to_numpy()[pin] * placed["weight"].to_numpy()[slot]).sum())


def render(found: PositionReport | None) -> str:
    """The report as plain text."""
    if found is None:
        return "no impression in the log has a position, so nothing can be said of position bias"
    lines = [
        _bias(found),
        f"{'position':>8}{'impressions':>13}{'clicks':>10}{'click rate':>12}{'propensity':>12}",
    ]
    for one in found.positions:
        lines.append(
            f"{one.position:>8}{one.impressions:>13,}{one.clicks:>10,}{one.click_rate:>12.4f}{one.propensity:>12.3f}"
        )
    lines += [
        "",
        "clicks an impression, each half of the days judging the order that the other half suggests:",
        f"  {found.observed:.4f} seen in the log, {found.logged:.4f} expected of its order",
        f"  {found.reordered:.4f} expected of the order by corrected rate ({_change(found.reordered, found.logged)})",
        f"  {found.by_clicks:.4f} expected of the order by plain click rate ({_change(found.by_clicks, found.logged)})",
    ]
    return "\n".join(lines)


def _bias(found: PositionReport) -> str:
    if not found.moved:
        return "no (query, pin) was clicked and shown at two positions or more: no bias can be told, none is corrected"
    exponent = f"{-found.eta:g}" if found.eta else "0"
    return f"propensity = position ** {exponent}, from {found.moved:,} (query, pin) clicked and shown at two or more"


def _change(new: float, old: float) -> str:
    return f"{new / old - 1:+.1%}" if old else "no clicks"
