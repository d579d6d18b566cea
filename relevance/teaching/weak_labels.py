"""Levels read off behaviour: what the teacher learns from before it is shown what people judged.

Reads the engagement log and the judgments of training queries; gives pairs that nobody judged, each with the
probabilities of its levels; part of `relevance train-teacher`. The design:

- Evidence of a pair: its clicks, long clicks, saves and hides for each time it was looked at, impressions counting by
  the propensity of their position (`enrich.propensity`), and how often it was looked at.
- From evidence to levels: an ordinal logistic regression, fitted on the judged training pairs that were shown too. With
  fewer than LEAST_JUDGED of those there are no weak labels.
- What was shown is mostly relevant, so random pins are mixed in, as irrelevant as RANDOM_PIN says.
- A pair's time is when it was first shown: the texts joined as of then cannot hold what its own clicks made of it.

Never a judged pair, a deleted pin, or a held-out query. Which pairs are taken is decided by hashes of seed, query and
pin, at most `per_query` of a query.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.errors import BadInput
from enrich.history import History, before
from enrich.propensity import fit_eta
from enrich.workspace import Workspace
from relevance.labelling.log_pairs import usable_log
from relevance.ordinal import fit_ordinal
from relevance.splits import WHOLE_LOG, LogScope

LEAST_JUDGED = 100  # about ten a parameter of the regression
RANDOM_PIN = (0.85, 0.12, 0.03, 0.0, 0.0)  # of levels 1..5; chosen: a pin drawn blindly is hardly ever relevant
SCHEMA = pl.Schema(
    {
        "query": pl.String(),
        "pin_id": pl.String(),
        "event_timestamp": pl.Datetime("us", "UTC"),
        "probabilities": pl.List(pl.Float32()),
    }
)
_EVENTS = ("click", "long_click", "save", "hide")
_PAIR = ["query", "pin_id"]
_DIGITS = 6  # that sums of looks keep: the engine adds in any order, and the same log must give the same labels


@dataclass(frozen=True, slots=True)
class WeakSettings:
    pairs: int = 5_000  # of the log, at most; 0: the teacher learns from judgments alone
    random: float = 0.3  # random pairs for each of the log
    per_query: int = 50  # pairs of one query, at most
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 0 or self.random < 0 or self.per_query < 1:
            raise BadInput(
                "expected weak pairs and a share of random ones of 0 or more, and 1 or more a query, found "
                f"{self.pairs}, {self.random} and {self.per_query}"
            )


def weak_pairs(
    workspace: Workspace,
    judged: pl.DataFrame,
    training: pl.DataFrame,
    held_out: frozenset[str],
    settings: WeakSettings,
    scope: LogScope = WHOLE_LOG,
) -> pl.DataFrame:
    """Pairs of the log and random ones by the design above: query, pin_id, event_timestamp, probabilities.

    `judged` holds the pairs (query, pin_id) that are not to be given, `training` those to fit the levels on, with their
    level; nothing outside `scope` is read. Empty where there is no log, or too few of the `training` pairs are in it.
    """
    if not settings.pairs:
        return SCHEMA.to_frame()
    log = _within(usable_log(History(workspace), held_out), scope)
    shown = _evidence(log, fit_eta(log))
    known = shown.semi_join(_memtable(training), _PAIR).to_polars().join(training, on=_PAIR).sort(_PAIR)
    if known.height < LEAST_JUDGED or known["level"].n_unique() < 2:
        return SCHEMA.to_frame()
    rates = _rates(shown)
    fitted = fit_ordinal(_inputs(known, rates), known["level"].to_numpy().astype(np.int64))
    sampled = _sampled(shown.anti_join(_memtable(judged), _PAIR), settings)
    of_log = sampled.select(*_PAIR, "event_timestamp").with_columns(
        probabilities=pl.Series(fitted.predict(_inputs(sampled, rates)).tolist(), dtype=SCHEMA["probabilities"])
    )
    random = _random(sampled, settings).join(judged, on=_PAIR, how="anti")
    unseen = random.join(shown.semi_join(_memtable(random), _PAIR).select(_PAIR).to_polars(), on=_PAIR, how="anti")
    return pl.concat([frame.cast(SCHEMA).select(*SCHEMA) for frame in (of_log, unseen)])


def _within(log: ir.Table, scope: LogScope) -> ir.Table:
    if scope.before is not None:
        log = before(log, "event_timestamp", scope.before)
    if scope.lang is not None:
        tag = log.lang.lower().replace("_", "-")
        log = log.filter((tag == scope.lang) | tag.startswith(f"{scope.lang}-"))
    return log


def _evidence(log: ir.Table, eta: float) -> ir.Table:
    """query, pin_id, event_timestamp (of the first event), examined, and the count of each event; in memory."""
    looked_at = log.position.cast("float64").fill_null(1.0) ** -eta
    pairs = log.group_by("query", "pin_id").agg(
        event_timestamp=log.event_timestamp.min(),
        examined=looked_at.sum(where=log.event == "impression").fill_null(0.0).round(_DIGITS),
        **{event: (log.event == event).sum() for event in _EVENTS},
    )
    made: ir.Table = pairs.get_backend().create_table("evidence", pairs, temp=True)
    return made


def _rates(shown: ir.Table) -> dict[str, float]:
    """Each event's rate over the whole log: a pair's own is drawn towards it by one look."""
    totals = shown.agg(**{name: shown[name].sum() for name in ("examined", *_EVENTS)}).to_polars().row(0, named=True)
    looks = max(round(totals["examined"] or 0.0, _DIGITS), *(float(totals[event] or 0) for event in _EVENTS), 1.0)
    return {event: max(float(totals[event] or 0), 1.0) / looks for event in _EVENTS}


def _inputs(pairs: pl.DataFrame, rates: dict[str, float]) -> npt.NDArray[np.float64]:
    """Logarithms of each event's smoothed rate and of the looks, [n, 5]."""
    examined = pairs["examined"].to_numpy()
    smoothed = [np.log((pairs[event].to_numpy() + rates[event]) / (examined + 1)) for event in _EVENTS]
    return np.column_stack([*smoothed, np.log1p(examined)])


def _sampled(pairs: ir.Table, settings: WeakSettings) -> pl.DataFrame:
    """At most `pairs` of them within the cap a query, in an order of hashes."""
    order = (pairs.query + "\x1f" + pairs.pin_id + f"\x1f{settings.seed}").hexdigest("md5")
    ordered = pairs.mutate(order=order)
    placed = ordered.mutate(place=ibis.row_number().over(group_by="query", order_by="order"))
    capped = placed.filter(placed.place < settings.per_query).order_by("order").limit(settings.pairs)
    sampled: pl.DataFrame = capped.to_polars()
    return sampled


def _random(sampled: pl.DataFrame, settings: WeakSettings) -> pl.DataFrame:
    """The sample's queries beside other queries' pins, each pair once."""
    wanted = round(settings.random * sampled.height)
    random = np.random.default_rng(settings.seed)
    asked, pins = (random.integers(0, max(sampled.height, 1), wanted if sampled.height else 0) for _ in range(2))
    pairs = sampled[asked].select("query", "event_timestamp").with_columns(sampled["pin_id"][pins])
    return pairs.unique(_PAIR, keep="first", maintain_order=True).with_columns(
        probabilities=pl.lit(list(RANDOM_PIN), dtype=SCHEMA["probabilities"])
    )


def _memtable(pairs: pl.DataFrame) -> ir.Table:
    return ibis.memtable(pairs.select(pl.col(_PAIR).cast(pl.String)).unique())
