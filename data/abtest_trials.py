"""Simulated online experiments in the sample's world, analysed as `relevance abtest` would: abtest_check.py.

Users differ in zeal: the eager engage with all that the world would have them engage with, others with a part of it.
What a user did before the experiment is drawn by zeal alone: CUPED has something to take out that no arm caused.
"""

from __future__ import annotations

from functools import cache
from math import nan
from typing import NamedTuple

import numpy as np
import polars as pl

from data.sample_check import gold
from data.sample_maker.experiment import TREATMENT_GAIN, ExperimentEvent, make_experiment
from data.sample_maker.settings import SampleSettings
from data.sample_maker.users import make_users
from data.sample_maker.world import World, make_world
from enrich.normalise import normalise_query
from relevance.abtest.analysis import AbtestSettings, analyse_log
from relevance.abtest.effects import Effect
from relevance.abtest.log import ExperimentLog, experiment_log
from relevance.abtest.outcomes import outcomes

SETTINGS = AbtestSettings(segment_users=10**9)  # no segments: they take the time and are the same formulas
TRUTH, EFFECT, ALIKE = 0, 1, 2  # kinds of runs, which are drawn apart
_ENGAGED = ("click", "long_click", "save")
_BEFORE = 8  # engagements before the experiment of the most eager, on average
_WEEK_DAYS = 7


class Interval(NamedTuple):
    difference: float
    low: float = nan
    high: float = nan

    def covers(self, true: float) -> bool:
        return self.low <= true <= self.high


class Said(NamedTuple):
    """One run's outcome; of a run for the truth the differences alone."""

    outcome: str
    plain: Interval
    weeks: tuple[Interval, ...]
    adjusted: Interval = Interval(nan)  # by CUPED
    p_value: float = nan
    always_valid_p: float = nan


class Trial(NamedTuple):
    """One experiment's events, and what its users did before (user, before)."""

    log: ExperimentLog
    before: pl.DataFrame


class Simulator(NamedTuple):
    world: World
    settings: SampleSettings
    judged: pl.DataFrame  # query, pin_id, level

    @classmethod
    def of(cls, settings: SampleSettings) -> Simulator:
        world = make_world(settings)
        votes = pl.DataFrame([vote._asdict() for vote in world.judgments])
        spelled = votes.with_columns(pl.col("query").map_elements(normalise_query, return_dtype=pl.String))
        return cls(world, settings, gold(spelled).select("query", "pin_id", "level"))

    def trial(self, seed: int, gain: float) -> Trial:
        users = make_users(seed, self.settings.number(self.settings.users_per_pin))
        sessions = self.settings.number(self.settings.experiment_sessions_per_pin)
        events = make_experiment(seed, self.world.engine, users, sessions, gain)
        rows = pl.DataFrame(events, schema=list(ExperimentEvent._fields), orient="row")
        rng = np.random.default_rng([seed, 1])
        zeal = rng.beta(1, 1, len(users))
        people = pl.DataFrame({"user_hash": [user.user_hash for user in users], "zeal": zeal})
        done = pl.Series(np.log1p(rng.poisson(_BEFORE * zeal)))  # as `relevance abtest` reads it off the engagement log
        eager = rows.join(people, on="user_hash", how="left", maintain_order="left")["zeal"].to_numpy()
        kept = ~rows["event"].is_in(_ENGAGED).to_numpy() | (rng.random(rows.height) < eager)
        return Trial(experiment_log(rows.filter(kept)), people.select(user="user_hash", before=done))

    def seed_of(self, kind: int, number: int) -> int:
        return self.settings.seed + 10_000_000 * (kind + 1) + number


@cache
def _simulator(settings: SampleSettings) -> Simulator:
    """A world a process: it is larger than what a run would send."""
    return Simulator.of(settings)


def said(settings: SampleSettings, kind: int, number: int) -> list[Said]:
    """What one run's analysis says of each outcome."""
    simulator = _simulator(settings)
    log, before = simulator.trial(simulator.seed_of(kind, number), 0.0 if kind == ALIKE else TREATMENT_GAIN)
    if kind == TRUTH:
        return [_true(outcome.value, rows, log.events) for outcome, rows in outcomes(log.events, simulator.judged)]
    results = analyse_log(log, simulator.judged, before, SETTINGS).results
    return [
        Said(
            one.outcome.value,
            _interval(one.effect),
            tuple(_interval(week.effect) for week in one.weeks),
            _interval(one.adjusted.effect) if one.adjusted else Interval(nan),
            one.effect.p_value,
            one.always_valid_p,
        )
        for one in results
    ]


def _interval(effect: Effect) -> Interval:
    return Interval(effect.difference, effect.low, effect.high)


def _true(outcome: str, rows: pl.DataFrame, events: pl.DataFrame) -> Said:
    week = (pl.col("at") - events["event_timestamp"].min()).dt.total_days() // _WEEK_DAYS
    weeks = rows.with_columns(week=week).sort("week").partition_by("week", maintain_order=True)
    return Said(outcome, Interval(_difference(rows)), tuple(Interval(_difference(one)) for one in weeks))


def _difference(rows: pl.DataFrame) -> float:
    """Treatment's ratio of sums less control's; nan where an arm has no row."""
    sums = {arm: (y, n) for arm, y, n in rows.group_by("arm").agg(pl.col("y", "n").sum()).iter_rows()}
    if not {"treatment", SETTINGS.control} <= set(sums):
        return nan
    (treated, of_treated), (control, of_control) = sums["treatment"], sums[SETTINGS.control]
    return float(treated / of_treated - control / of_control)
