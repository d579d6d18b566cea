"""Position bias, estimated from the log itself: how likely a shown pin is looked at, by its position.

The examination hypothesis says P(click) = P(looked at | position) * P(clicked | looked at; query, pin), and the
propensity of position k is modelled as k ** -eta (Joachims, Swaminathan and Schnabel, WSDM 2017, section 7.1). No
experiment is needed where the same pin was shown for the same query at several positions (intervention harvesting:
Agarwal et al., WSDM 2019). Given how many clicks such a pair got in all, they fall on its positions with chances
proportional to impressions(k) * k ** -eta; that conditional likelihood is free of the pair's own appeal, and its
maximum is eta.
"""

from __future__ import annotations

import ibis.expr.types as ir
import numpy as np
import polars as pl
from scipy.optimize import minimize_scalar

from enrich.history import how_often

MAX_ETA = 2.0
MAX_WEIGHT = 10.0  # of one event, so that a lone click far down cannot outweigh all others (clipped propensities)
_RIDGE = 1.0  # a weak pull to 0, no bias, worth about one click: a log without evidence is left uncorrected
_STEP = 0.05  # eta is rounded to it, so that scores do not stir at every snapshot


def fit_eta(log: ir.Table) -> float:
    """Eta in 0..MAX_ETA from `log` (query, pin_id, event, position, and n where rows are counted).

    0 where no pair with clicks changed position.
    """
    cells = _cells(log).to_polars()
    if cells.is_empty():
        return 0.0
    pair = cells.select(pl.struct("query", "pin_id").rle_id()).to_series().to_numpy()
    depth = np.log(cells["position"].to_numpy())
    shown, clicks = cells["shown"].to_numpy().astype(float), cells["clicks"].to_numpy().astype(float)
    pair_clicks = np.bincount(pair, weights=clicks)

    def loss(eta: float) -> float:
        expected = np.bincount(pair, weights=shown * np.exp(-eta * depth))
        return float(eta * (clicks @ depth) + pair_clicks @ np.log(expected) + _RIDGE * eta**2 / 2)

    best = minimize_scalar(loss, bounds=(0.0, MAX_ETA), method="bounded")
    return round(round(float(best.x) / _STEP) * _STEP, 2)


def moved_pairs(log: ir.Table) -> int:
    """How many (query, pin) were clicked and shown at two positions or more: all that `fit_eta` can learn from."""
    return int(_cells(log).select("query", "pin_id").distinct().count().execute())


def weight(position: ir.IntegerValue, eta: float) -> ir.FloatingValue:
    """The inverse propensity of an event at `position`, at most MAX_WEIGHT; 1 where the position is unknown."""
    inverse = position.cast("float64") ** eta
    return inverse.fill_null(1.0).clip(upper=MAX_WEIGHT)


def _cells(log: ir.Table) -> ir.Table:
    """query, pin_id, position, shown, clicks: of pairs with clicks that were shown at two positions or more."""
    seen = log.filter(log.position.notnull() & log.event.isin(["impression", "click"]))
    counted = seen.group_by("query", "pin_id", "position").agg(
        impressions=how_often(seen, seen.event == "impression"),
        clicks=how_often(seen, seen.event == "click"),
    )
    counted = counted.mutate(shown=counted.impressions.clip(lower=1))
    pairs = counted.group_by("query", "pin_id").agg(positions=counted.count(), total=counted.clicks.sum())
    moved = pairs.filter((pairs.positions > 1) & (pairs.total > 0)).select("query", "pin_id")
    return counted.semi_join(moved, ["query", "pin_id"]).order_by("query", "pin_id", "position")
