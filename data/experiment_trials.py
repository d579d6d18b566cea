"""Simulated online experiments in the sample's world, analysed as `relevance abtest` would: experiment_check.py."""

from __future__ import annotations

from functools import cache
from math import nan
from typing import NamedTuple

import polars as pl

from data.sample_check import gold
from data.sample_maker.experiment import TREATMENT_GAIN, ExperimentEvent, make_experiment
from data.sample_maker.settings import SampleSettings
from data.sample_maker.users import make_users
from data.sample_maker.world import World, make_world
from enrich.normalise import normalise_query
from relevance.abtest.analysis import AbtestSettings, analyse_log
from relevance.abtest.log import ExperimentLog, experiment_log
from relevance.abtest.outcomes import outcomes

SETTINGS = AbtestSettings(segment_users=10**9)  # no segments: they take the time and are the same formulas
TRUTH, EFFECT, ALIKE = 0, 1, 2  # kinds of runs, which are drawn apart


class Said(NamedTuple):
    """One run's outcome."""

    outcome: str
    difference: float
    low: float = nan
    high: float = nan
    p_value: float = nan
    always_valid_p: float = nan


class Simulator(NamedTuple):
    world: World
    settings: SampleSettings
    judged: pl.DataFrame  # query, pin_id, level

    @classmethod
    def of(cls, seed: int) -> Simulator:
        settings = SampleSettings(seed=seed)
        world = make_world(settings)
        votes = pl.DataFrame([vote._asdict() for vote in world.judgments])
        spelled = votes.with_columns(pl.col("query").map_elements(normalise_query, return_dtype=pl.String))
        return cls(world, settings, gold(spelled).select("query", "pin_id", "level"))

    def log(self, seed: int, gain: float) -> ExperimentLog:
        """One experiment's events."""
        users = make_users(seed, self.settings.number(self.settings.users_per_pin))
        sessions = self.settings.number(self.settings.experiment_sessions_per_pin)
        events = make_experiment(seed, self.world.engine, users, sessions, gain)
        return experiment_log(pl.DataFrame(events, schema=list(ExperimentEvent._fields), orient="row"))

    def seed_of(self, kind: int, number: int) -> int:
        return self.settings.seed + 10_000_000 * (kind + 1) + number


@cache
def _simulator(seed: int) -> Simulator:
    """A world a process: it is larger than what a run would send."""
    return Simulator.of(seed)


def said(seed: int, kind: int, number: int) -> list[Said]:
    """What one run's analysis says of each outcome; of a run for the truth only the difference itself."""
    simulator = _simulator(seed)
    log = simulator.log(simulator.seed_of(kind, number), 0.0 if kind == ALIKE else TREATMENT_GAIN)
    if kind == TRUTH:
        return [Said(outcome.value, _difference(rows)) for outcome, rows in outcomes(log.events, simulator.judged)]
    before = log.events.select(pl.col("user").unique(), before=pl.lit(0.0))
    results = analyse_log(log, simulator.judged, before, SETTINGS).results
    return [
        Said(
            one.outcome.value,
            one.effect.difference,
            one.effect.low,
            one.effect.high,
            one.effect.p_value,
            one.always_valid_p,
        )
        for one in results
    ]


def _difference(rows: pl.DataFrame) -> float:
    """Treatment's ratio of sums less control's."""
    sums = {arm: (y, n) for arm, y, n in rows.group_by("arm").agg(pl.col("y", "n").sum()).iter_rows()}
    (treated, of_treated), (control, of_control) = sums["treatment"], sums[SETTINGS.control]
    return treated / of_treated - control / of_control
