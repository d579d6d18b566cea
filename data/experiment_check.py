"""Simulate online experiments in the sample's world, and see how often `relevance abtest` tells the truth.

    python data/experiment_check.py [--runs 500] [--seed 2024] [--jobs 2]

Each run draws new users, who search for two weeks in two arms. The true effect of the treatment is the mean over other
runs, as many again; an interval covers when it holds that. In the runs where the arms are alike, a p-value below .05
is a false alarm: of the test at the end, and of the always-valid one looked at every day. Nothing of the latent truth
reaches the analysis: it is given the events and the judged pairs alone. Runs are spread over processes (--jobs, a core
each by default); what they draw does not depend on how many.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import cache
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from joblib import Parallel, delayed
from scipy.stats import binomtest
from tqdm import trange

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder, for its workers too
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from data.sample_check import gold  # noqa: E402
from data.sample_maker.experiment import TREATMENT_GAIN, ExperimentEvent, make_experiment  # noqa: E402
from data.sample_maker.settings import SampleSettings  # noqa: E402
from data.sample_maker.users import make_users  # noqa: E402
from data.sample_maker.world import World, make_world  # noqa: E402
from enrich.normalise import normalise_query  # noqa: E402
from relevance.abtest.analysis import AbtestSettings, analyse_log  # noqa: E402
from relevance.abtest.log import ExperimentLog, experiment_log  # noqa: E402
from relevance.abtest.outcomes import outcomes  # noqa: E402

LEVEL = 0.05
COVERED, ALARMS = 0.93, 0.07  # what at least, and at most, must hold
SETTINGS = AbtestSettings(segment_users=10**9)  # no segments: they take the time and are the same formulas
_TRUTH, _EFFECT, _ALIKE = 0, 1, 2  # kinds of runs, which are drawn apart


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


def _said(seed: int, kind: int, number: int) -> list[Said]:
    """What one run's analysis says of each outcome; of a run for the truth only the difference itself."""
    simulator = _simulator(seed)
    log = simulator.log(simulator.seed_of(kind, number), 0.0 if kind == _ALIKE else TREATMENT_GAIN)
    if kind == _TRUTH:
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


def _runs(parallel: Parallel, seed: int, kind: int, count: int) -> list[list[Said]]:
    """So many experiments of a kind, over processes."""
    numbers = trange(count, desc=("truth", "effect", "alike")[kind], disable=None)
    return list(parallel(delayed(_said)(seed, kind, number) for number in numbers))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often `relevance abtest` tells the truth.")
    parser.add_argument("--runs", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=SampleSettings().seed, help="of the sample's world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    flags = parser.parse_args(arguments)
    with Parallel(n_jobs=flags.jobs) as parallel:
        truth, effects, alike = (_runs(parallel, flags.seed, kind, flags.runs) for kind in (_TRUTH, _EFFECT, _ALIKE))
    met = True
    for place, first in enumerate(truth[0]):
        true = float(np.mean([run[place].difference for run in truth]))
        covers = [run[place].low <= true <= run[place].high for run in effects]
        ends = [run[place].p_value < LEVEL for run in alike]
        peeks = [run[place].always_valid_p < LEVEL for run in alike]
        print(f"{first.outcome}: true effect {true:+.4f}; {_share(covers, 'covered')}")
        print(f"  arms alike: {_share(ends, 'false alarms')}; {_share(peeks, 'looked at daily')}")
        met &= np.mean(covers) >= COVERED and np.mean(ends) <= ALARMS and np.mean(peeks) <= ALARMS
    print(f"every interval covers in {COVERED:.0%} or more, false alarms are {ALARMS:.0%} or fewer: {met}")
    return 0 if met else 1


def _share(found: Sequence[bool], what: str) -> str:
    interval = binomtest(sum(found), len(found)).proportion_ci(method="wilson")
    return f"{what} {np.mean(found):.1%} [{interval.low:.1%}, {interval.high:.1%}] of {len(found):,}"


if __name__ == "__main__":
    sys.exit(main())
