"""Simulate online experiments in the sample's world, and see how often `relevance abtest` tells the truth.

    python data/experiment_check.py [--runs 500] [--seed 2024]

Each run draws new users, who search for two weeks in two arms. The true effect of the treatment is the mean over other
runs, as many again; an interval covers when it holds that. In the runs where the arms are alike, a p-value below .05
is a false alarm: of the test at the end, and of the always-valid one looked at every day. Nothing of the latent truth
reaches the analysis: it is given the events and the judged pairs alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import binomtest
from tqdm import trange

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder
    sys.path.insert(0, str(ROOT))

from data.sample_check import gold  # noqa: E402
from data.sample_maker.experiment import TREATMENT_GAIN, make_experiment  # noqa: E402
from data.sample_maker.settings import SampleSettings  # noqa: E402
from data.sample_maker.users import make_users  # noqa: E402
from data.sample_maker.world import World, make_world  # noqa: E402
from enrich.normalise import normalise_query  # noqa: E402
from relevance.abtest.analysis import AbtestSettings, Result, analyse_log  # noqa: E402
from relevance.abtest.log import experiment_log  # noqa: E402

LEVEL = 0.05
COVERED, ALARMS = 0.93, 0.07  # what at least, and at most, must hold
SETTINGS = AbtestSettings(segment_users=10**9)  # no segments: they take the time and are the same formulas
_TRUTH, _EFFECT, _ALIKE = 0, 1, 2  # kinds of runs, which are drawn apart


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

    def run(self, seed: int, gain: float) -> tuple[Result, ...]:
        """One experiment, analysed."""
        users = make_users(seed, self.settings.number(self.settings.users_per_pin))
        sessions = self.settings.number(self.settings.experiment_sessions_per_pin)
        events = pl.DataFrame(
            [one._asdict() for one in make_experiment(seed, self.world.engine, users, sessions, gain)]
        )
        log = experiment_log(events)
        before = log.events.select(pl.col("user").unique(), before=pl.lit(0.0))
        return analyse_log(log, self.judged, before, SETTINGS).results

    def runs(self, kind: int, count: int, gain: float) -> Iterator[tuple[Result, ...]]:
        for number in trange(count, desc=("truth", "effect", "alike")[kind], disable=None):
            yield self.run(self.settings.seed + 10_000_000 * (kind + 1) + number, gain)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often `relevance abtest` tells the truth.")
    parser.add_argument("--runs", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=SampleSettings().seed, help="of the sample's world")
    flags = parser.parse_args(arguments)
    simulator = Simulator.of(flags.seed)
    truth, effects, alike = (
        list(simulator.runs(kind, flags.runs, gain))
        for kind, gain in ((_TRUTH, TREATMENT_GAIN), (_EFFECT, TREATMENT_GAIN), (_ALIKE, 0.0))
    )
    met = True
    for place, outcome in enumerate(result.outcome for result in truth[0]):
        true = float(np.mean([run[place].effect.difference for run in truth]))
        covers = [run[place].effect.low <= true <= run[place].effect.high for run in effects]
        ends = [run[place].effect.p_value < LEVEL for run in alike]
        peeks = [run[place].always_valid_p < LEVEL for run in alike]
        print(f"{outcome.value}: true effect {true:+.4f}; {_share(covers, 'covered')}")
        print(f"  arms alike: {_share(ends, 'false alarms')}; {_share(peeks, 'looked at daily')}")
        met &= np.mean(covers) >= COVERED and np.mean(ends) <= ALARMS and np.mean(peeks) <= ALARMS
    print(f"every interval covers in {COVERED:.0%} or more, false alarms are {ALARMS:.0%} or fewer: {met}")
    return 0 if met else 1


def _share(found: Sequence[bool], what: str) -> str:
    interval = binomtest(sum(found), len(found)).proportion_ci(method="wilson")
    return f"{what} {np.mean(found):.1%} [{interval.low:.1%}, {interval.high:.1%}] of {len(found):,}"


if __name__ == "__main__":
    sys.exit(main())
