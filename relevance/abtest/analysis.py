"""An experiment analysed: every outcome's effect, overall, by week, by country and language (`relevance abtest`).

Reads the log and the workspace's judgments and engagements; returns the `Analysis` that page.py renders. Effects are
of treatment less control, by user (effects.py). Segments' p-values are Holm-corrected over the outcome's segments, the
whole log's over all outcomes of all treatments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, isfinite, nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.history import History
from enrich.tables import JUDGMENT
from enrich.workspace import Workspace
from relevance.abtest import effects
from relevance.abtest.effects import Adjusted, Change, Effect, Sums
from relevance.abtest.log import ExperimentLog, read_log
from relevance.abtest.outcomes import RANKED, Outcome, outcomes
from relevance.intervals import holm
from relevance.training_frame import judged_pairs

_ENGAGED = ("click", "long_click", "save")
_UNKNOWN = "unknown"
_MOST_PLAUSIBLE = 10.0  # times the control's value: who expects more needs no test
_DAY, _WEEK_DAYS = timedelta(days=1), 7


@dataclass(frozen=True, slots=True)
class AbtestSettings:
    control: str = "control"
    confidence: float = 0.95
    power: float = 0.8  # of the least detectable effect
    plausible_lift: float = 0.05  # of the control's first value: effects that the always-valid test is made for
    segment_users: int = 50  # of an arm, below which a segment is not shown
    shares: tuple[float, ...] = ()  # of the arms planned, control first; none: equal
    broken_ratio: float = 1e-3  # p-value of the sample ratio below which arms cannot be compared

    def __post_init__(self) -> None:
        if not (0.5 <= self.confidence < 1 and 0 < self.power < 1 and 0 < self.plausible_lift <= _MOST_PLAUSIBLE):
            raise BadInput(
                f"expected a confidence of 0.5 to 1, a power of 0 to 1 and a plausible lift above 0 and up to "
                f"{_MOST_PLAUSIBLE:g}, found {self.confidence}, {self.power} and {self.plausible_lift}"
            )
        if not all(isfinite(share) and share > 0 for share in self.shares):
            raise BadInput(f"expected shares that are numbers above 0, found {', '.join(map(str, self.shares))}")


class Week(NamedTuple):
    number: int  # from 1
    days: int  # that it had, of seven: the last one may be cut short
    effect: Effect


class Segment(NamedTuple):
    column: str
    value: str
    effect: Effect
    p_value: float  # Holm-corrected


class Result(NamedTuple):
    """One outcome of one treatment. `least_detectable` is a share of the control's value."""

    treatment: str
    outcome: Outcome
    effect: Effect
    adjusted: Adjusted | None
    always_valid_p: float
    least_detectable: float
    weeks: tuple[Week, ...]
    fading: Change | None  # the last week's effect less the first's, of whole weeks where there are two
    segments: tuple[Segment, ...]
    reason: str | None = None  # why there is no effect
    p_holm: float = nan  # the effect's, corrected for all outcomes of all treatments


@dataclass(frozen=True, slots=True)
class Analysis:
    users: dict[str, int]  # by arm
    crossed: int  # users in two arms, left out
    dropped: dict[str, int]  # rows of the log, by reason
    events: int
    start: datetime
    end: datetime
    sample_ratio_p: float
    judged_share: float  # of impressions
    unplaced: int  # impressions without a position: their searches have no nDCG and no P@8
    sessions: int  # among the users, those that are sessions, for nobody said whose
    results: tuple[Result, ...]
    settings: AbtestSettings

    @property
    def ratio_is_broken(self) -> bool:
        return self.sample_ratio_p < self.settings.broken_ratio


class Inputs(NamedTuple):
    """A log, the judged pairs (query, pin_id, level), and what users did before it (user, before)."""

    log: ExperimentLog
    judged: pl.DataFrame
    before: pl.DataFrame


def read_inputs(workspace: Workspace, path: Path | None = None) -> Inputs:
    """The log at `path`, else the workspace's, and what the workspace knows. Raises BadInput where there is no log."""
    log = read_log(workspace, path)
    judged = judged_pairs(workspace) if parts.count(workspace.folder(JUDGMENT)) else _NO_PAIRS
    return Inputs(log, judged, _before(workspace, log))


_NO_PAIRS = pl.DataFrame(schema={"query": pl.String, "pin_id": pl.String, "level": pl.Int64})


def analyse_log(log: ExperimentLog, judged: pl.DataFrame, before: pl.DataFrame, settings: AbtestSettings) -> Analysis:
    """Of what `Inputs` holds. Raises BadInput where there is no control, no treatment, or a share too many."""
    treatments = [arm for arm in log.users if arm != settings.control]
    if settings.control not in log.users or not treatments:
        raise BadInput(
            f"expected events of an arm {settings.control!r} and of a treatment, found arms "
            f"{', '.join(log.users)}; name the control with --control"
        )
    arms = [settings.control, *treatments]
    if settings.shares and len(settings.shares) != len(arms):
        raise BadInput(f"expected a share for each of {', '.join(arms)}, found {len(settings.shares)}")
    events = log.events
    impressions = events.filter(pl.col("event") == "impression")
    known = impressions.join(judged.select("query", "pin_id"), on=["query", "pin_id"], how="semi")
    start, unplaced = _moment(events["event_timestamp"].min()), bool(impressions["position"].is_null().all())
    found = [(outcome, rows.join(before, on="user", how="left")) for outcome, rows in outcomes(events, judged)]
    return Analysis(
        users=log.users,
        crossed=log.crossed,
        dropped=dict(log.dropped),
        events=events.height,
        start=start,
        end=_moment(events["event_timestamp"].max()),
        sample_ratio_p=effects.sample_ratio_p([log.users[arm] for arm in arms], settings.shares or [1.0] * len(arms)),
        judged_share=known.height / impressions.height if impressions.height else 0.0,
        unplaced=impressions["position"].null_count(),
        sessions=log.sessions,
        results=_corrected(
            [
                _Comparison(outcome, treatment, rows, start, settings, unplaced).result()
                for treatment in treatments
                for outcome, rows in found
            ]
        ),
        settings=settings,
    )


def _corrected(results: Sequence[Result]) -> tuple[Result, ...]:
    """With Holm's p-value over all of them: who asks about eight things finds something."""
    corrected = holm([one.effect.p_value for one in results])
    return tuple(one._replace(p_holm=p) for one, p in zip(results, corrected, strict=True))


class _Comparison(NamedTuple):
    """One outcome's rows of all arms, looked at for one treatment."""

    outcome: Outcome
    treatment: str
    rows: pl.DataFrame
    start: datetime
    settings: AbtestSettings
    unplaced: bool  # whether no impression has a position

    def result(self) -> Result:
        sides = self.sides(self.rows)
        if sides is None:
            return Result(self.treatment, self.outcome, _NOTHING, None, 1.0, nan, (), None, (), self._reason())
        overall = effects.effect(*sides, self.settings.confidence)
        detectable = effects.least_detectable(overall.standard_error, self.settings.power, self.settings.confidence)
        return Result(
            treatment=self.treatment,
            outcome=self.outcome,
            effect=overall,
            adjusted=effects.adjusted(*sides, self.settings.confidence),
            always_valid_p=self._always_valid_p(),
            least_detectable=detectable / abs(overall.control) if overall.control else nan,
            weeks=tuple(self._weeks()),
            fading=self._fading(),
            segments=tuple(self._segments()),
        )

    def _reason(self) -> str:
        if self.rows.height:
            return "no row of one arm"
        return (
            "no impression has a position" if self.unplaced and self.outcome in RANKED else "nothing judged was shown"
        )

    def sides(self, rows: pl.DataFrame) -> tuple[Sums, Sums] | None:
        """Sums by user of control and treatment; None where one of them has nothing to divide by."""
        found = tuple(_sums(rows.filter(pl.col("arm") == arm)) for arm in (self.settings.control, self.treatment))
        return (found[0], found[1]) if all(len(side.n) and side.n.sum() > 0 for side in found) else None

    def _always_valid_p(self) -> float:
        """One look at the end of each day that brought something, at all that was seen by then.

        What is plausible is a share of the control's value as of the first look: later values are not known then.
        """
        looks = []
        for day in (self.rows["at"] - self.start).dt.total_days().unique().sort():
            end = self.start + (day + 1) * _DAY
            sides = self.sides(self.rows.filter(pl.col("at") < end))
            if sides is not None:
                looks.append(effects.effect(*sides, self.settings.confidence))
        first = next(filter(effects.is_look, looks), None)
        return effects.always_valid_p(looks, self.settings.plausible_lift * abs(first.control)) if first else 1.0

    def _by_week(self) -> dict[int, pl.DataFrame]:
        week = ((self.rows["at"] - self.start).dt.total_days() // _WEEK_DAYS + 1).alias("week")
        return {
            int(key[0]): part for key, part in self.rows.with_columns(week).partition_by("week", as_dict=True).items()
        }

    def _weeks(self) -> Iterator[Week]:
        for number, rows in sorted(self._by_week().items()):
            sides = self.sides(rows)
            if sides is not None:
                yield Week(number, self._days(number), effects.effect(*sides, self.settings.confidence))

    def _days(self, week: int) -> int:
        """How many of its seven days the rows reach."""
        seen = _moment(self.rows["at"].max()) - self.start - (week - 1) * _WEEK_DAYS * _DAY
        return min(_WEEK_DAYS, max(1, ceil(seen / _DAY)))

    def _fading(self) -> Change | None:
        """Of users who were there in the first week or the last; None with one week."""
        weeks = self._by_week()
        whole = {number: rows for number, rows in weeks.items() if self._days(number) == _WEEK_DAYS}
        weeks = whole if len(whole) > 1 else weeks
        if len(weeks) < 2:
            return None
        periods = [weeks[min(weeks)], weeks[max(weeks)]]
        users = pl.concat(periods).select("arm", "user", "before").unique(["arm", "user"])
        aligned = [self.sides(_of_all(users, rows)) for rows in periods]
        if aligned[0] is None or aligned[1] is None:
            return None
        return effects.change(aligned[0], aligned[1], self.settings.confidence)

    def _segments(self) -> Iterator[Segment]:
        if self.rows["user"].n_unique() < self.settings.segment_users:
            return  # nor has any part of them so many
        found: list[tuple[str, str, Effect]] = []
        for column in ("country", "lang"):
            parted = self.rows.with_columns(pl.col(column).fill_null(_UNKNOWN)).partition_by(column, as_dict=True)
            for (value,), rows in sorted(parted.items(), key=lambda item: (-item[1].height, item[0])):
                sides = self.sides(rows)
                if sides is not None and min(len(side.n) for side in sides) >= self.settings.segment_users:
                    found.append((column, str(value), effects.effect(*sides, self.settings.confidence)))
        corrected = holm([one.p_value for _, _, one in found])
        yield from (Segment(*one, p_value) for one, p_value in zip(found, corrected, strict=True))


_NOTHING = Effect(nan, nan, nan, nan, nan, nan, nan, nan, nan, (0, 0), nan)


def _sums(rows: pl.DataFrame) -> Sums:
    by_user = rows.group_by("user").agg(pl.col("y", "n").sum(), pl.col("before").first()).sort("user")
    y, n, before = (by_user[name].fill_null(0.0).to_numpy().astype(np.float64) for name in ("y", "n", "before"))
    return Sums(y, n, before)


def _of_all(users: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, and one of nothing for each user who has none, so that periods have the same users."""
    nothing = users.join(rows, on=["arm", "user"], how="anti").with_columns(y=pl.lit(0.0), n=pl.lit(0.0))
    columns = ["arm", "user", "before", "y", "n"]
    return pl.concat([rows.select(columns), nothing.select(columns)])


def _before(workspace: Workspace, log: ExperimentLog) -> pl.DataFrame:
    """What each user did before the experiment: ln(1 + clicks, long clicks and saves) of the engagement log."""
    start = _moment(log.events["event_timestamp"].min())
    users = log.events.select(pl.col("user").unique())
    history = History(workspace)
    events = history.without_gone(history.log())
    events = events.filter(events.event_timestamp < start, events.event.isin(_ENGAGED), events.user_hash.notnull())
    counts: pl.DataFrame = events.group_by(user=events.user_hash).agg(events=events.count()).to_polars()
    done = counts.select("user", before=pl.col("events").cast(pl.Float64).log1p())
    return users.join(done, on="user", how="left").with_columns(pl.col("before").fill_null(0.0))


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise BadInput(f"expected events with a time, found {value!r}")
    return value
