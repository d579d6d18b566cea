"""What the ranking is tuned on: logged searches with what their pins earned, and judged searches with their levels.

Reads engagements, judgments and, through Feast, what was known of the pairs before the part of the log that is looked
at; gives `Search` records. Pairs of the log are judged by events per expected look: a position k is looked at with
chance k ** -eta, eta fitted to the log itself (enrich/propensity.py), so that a pin is not worth more for having stood
first. (Clicks over expected clicks: Zhang and Jones, WWW 2007.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from enrich.backends import BackendLimits
from enrich.errors import BadInput
from enrich.history import History
from enrich.propensity import fit_eta
from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance import query_encoder, stages
from relevance.features import Floats
from relevance.framing.judged import STUDENT_SERVICE, Judged
from relevance.learning.inputs import QueryEncoder, student_inputs
from relevance.model_names import STUDENT_MODEL
from relevance.ranking import Doubles, rates_known
from relevance.student import Student
from relevance.training_frame import training_frame

_ENGINE = BackendLimits("2GB", 1)


@dataclass(frozen=True, slots=True)
class EventValues:
    """What an event is worth to whoever searches, by which a ranking's engagement is measured."""

    click: float = 0.25
    long_click: float = 0.75
    save: float = 1.0
    hide: float = -2.0


class Search(NamedTuple):
    """One query's pins."""

    query: str
    relevance: Doubles  # [n] expected levels
    rates: Floats  # [n, 4] smoothed rates of RATED_EVENTS, as the ranking would have known them
    worth: Doubles  # [n] of a logged search: value of events per look; of a judged one: gold levels
    weight: float  # searches that it stands for; 1 of a judged one


class Material(NamedTuple):
    logged: tuple[Search, ...]
    judged: tuple[Search, ...]
    since: datetime  # the log from here on is looked at; features are of before
    eta: float  # of the positions' propensities
    taught: bool | None  # whether the student learned from some of the judged searches; None where it does not say


def material(
    workspace: Workspace,
    pairs: int,
    later: float,
    values: EventValues,
    student: Student | None = None,
    encoder: QueryEncoder | None = None,
) -> Material:
    """Searches of the last `later` share of the log, of at most `pairs` pairs in all, and the judged ones.

    Raises BadInput where there is no log, nothing judged, or no student.
    """
    student = student or Student.load(workspace.models / STUDENT_MODEL)
    encoder = encoder or query_encoder.of_student(student, workspace)
    log, since, eta = _looks(workspace, later, values)
    kept = _whole_queries(log, pairs)
    asked = kept.select("query", "pin_id", event_timestamp=pl.lit(since).cast(pl.Datetime("us", "UTC")))
    shown = training_frame(workspace, asked, STUDENT_SERVICE)
    logged = _searches(shown, kept["worth"].to_numpy(), kept["searches"].to_numpy(), student, encoder)
    judged, taught = _judged(workspace)
    levels = judged["level"].to_numpy().astype(np.float64)
    known = _searches(judged, levels, np.ones(judged.height), student, encoder)
    return Material(tuple(logged), tuple(s for s in known if len(set(s.worth)) > 1), since, eta, taught)


def _looks(workspace: Workspace, later: float, values: EventValues) -> tuple[pl.DataFrame, datetime, float]:
    """query, pin_id, worth, searches of what was shown in the later part of the log; where that begins; and eta."""
    history = History(workspace, _ENGINE)
    log = history.engagements()
    log = log.filter(log.refused.isnull())
    shown = log.filter(log.event == "impression")
    bounds = shown.aggregate(
        rows=shown.count(), since=shown.event_timestamp.epoch_seconds().quantile(1 - later)
    ).to_polars()
    if not bounds["rows"][0]:
        raise BadInput(
            f"expected impressions in the engagements of {workspace.root}, found none; tuning needs a log of what was "
            "shown and what people did"
        )
    since = (
        datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        + pl.select(pl.duration(seconds=int(bounds["since"][0]))).item()
    )
    eta = fit_eta(log)
    recent = log.filter(log.event_timestamp.epoch_seconds() >= int(bounds["since"][0]))
    counted = recent.group_by("query", "pin_id", "event", "position").agg(times=recent.count()).to_polars()
    return _per_look(counted, eta, values), since, eta


def _per_look(counted: pl.DataFrame, eta: float, values: EventValues) -> pl.DataFrame:
    """Each pair's value per expected look, drawn to the mean by one look's worth of it, and how often it was shown."""
    worth = {"click": values.click, "long_click": values.long_click, "save": values.save, "hide": values.hide}
    look = pl.when(pl.col("event") == "impression").then(pl.col("position").fill_null(1).cast(pl.Float64) ** -eta)
    earned = pl.col("event").replace_strict(worth, default=0.0, return_dtype=pl.Float64)
    pairs = counted.group_by("query", "pin_id").agg(
        looks=(look.fill_null(0.0) * pl.col("times")).sum(),
        earned=(earned * pl.col("times")).sum(),
        searches=pl.col("times").filter(pl.col("event") == "impression").sum(),
    )
    pairs = pairs.filter(pl.col("looks") > 0)
    mean = pl.col("earned").sum() / pl.col("looks").sum()
    return pairs.select("query", "pin_id", "searches", worth=(pl.col("earned") + mean) / (pl.col("looks") + 1)).sort(
        "query", "pin_id"
    )


def _whole_queries(log: pl.DataFrame, pairs: int) -> pl.DataFrame:
    """All pairs of as many queries, drawn by a hash, as have at most `pairs` together; only queries with a choice."""
    sizes = log.group_by("query").agg(pl.len()).filter(pl.col("len") > 1)
    drawn = sizes.with_columns(place=pl.col("query").map_elements(stages.fingerprint, pl.String)).sort("place")
    kept = drawn.filter((pl.col("len").cum_sum() <= pairs) | (pl.int_range(pl.len()) == 0))
    return log.join(kept.select("query"), on="query", how="semi", maintain_order="left")


def _judged(workspace: Workspace) -> tuple[pl.DataFrame, bool | None]:
    """The judged pairs' features, of queries that the student did not learn from; of all where there is no other, or
    the student does not say.
    """
    taught, judged = stages.taught_of(workspace.models / STUDENT_MODEL), Judged.of(workspace)
    if taught is None:
        return judged.features, None
    held_out = judged.features.filter(~pl.col("query").is_in(sorted(taught)))
    return (judged.features, True) if held_out.is_empty() else (held_out, False)


def _searches(
    frame: pl.DataFrame, worth: Doubles, weights: NDArray[np.generic], student: Student, encoder: QueryEncoder
) -> list[Search]:
    """The frame's rows by query, scored by the student as they would have been then."""
    if frame.is_empty():
        return []
    inputs = student_inputs(frame, encoder)
    levels = student.predict(inputs.features(student.statistics)).astype(np.float64) @ np.asarray(LEVELS, np.float64)
    found: dict[str, list[Search]] = {}
    for group in inputs.groups:
        rows = group.rows
        pins = inputs.pins
        rates, _ = rates_known(group.rates, group.has_rates, pins.engagement[rows], pins.has_engagement[rows])
        most = float(np.max(weights[rows]))
        found.setdefault(group.query.query, []).append(
            Search(group.query.query, levels[rows], rates, worth[rows].astype(np.float64), most)
        )
    return [_one(parts) for parts in found.values()]


def _one(parts: Sequence[Search]) -> Search:
    """A query of which different things were known at different times, as one search."""
    if len(parts) == 1:
        return parts[0]
    return Search(
        parts[0].query,
        np.concatenate([part.relevance for part in parts]),
        np.concatenate([part.rates for part in parts]),
        np.concatenate([part.worth for part in parts]),
        max(part.weight for part in parts),
    )
