"""Simulate online experiments in the sample's world, and see how often `relevance abtest` tells the truth.

    python data/abtest_check.py [--runs 500] [--seed 2024] [--pins 1400] [--jobs 2]

Each run draws new users, who search for two weeks in two arms. The true effect of the treatment is the mean over other
runs, as many again; an interval covers when it holds that: the plain one, the one with what users did before taken out
(CUPED), and those of the weeks, each of its own week's. In the runs where the arms are alike, a p-value below .05 is a
false alarm: of the test at the end, and of the always-valid one looked at every day. Nothing of the latent truth
reaches the analysis: it is given the events, the judged pairs and what users did before. Runs are spread over processes
(--jobs, a core each by default); what they draw does not depend on how many.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest
from tqdm import trange

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder, for its workers too
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from data.abtest_trials import ALIKE, EFFECT, TRUTH, Said, said  # noqa: E402
from data.sample_maker.settings import SampleSettings  # noqa: E402

Runs = Sequence[Sequence[Said]]  # a list of outcomes a run
LEVEL = 0.05
COVERED, ALARMS = 0.93, 0.07  # what at least, and at most, must hold


class Count(NamedTuple):
    """One outcome's true effect, and of how many runs what was so: intervals covered, false alarms."""

    outcome: str
    true: float
    covered: list[bool]
    adjusted: list[bool]
    weeks: list[list[bool]]
    alarms: list[bool]  # at the end, where the arms are alike
    peeks: list[bool]  # looked at daily, always-valid

    @property
    def met(self) -> bool:
        covers, alarms = (self.covered, self.adjusted), (self.alarms, self.peeks)
        return min(map(np.mean, covers)) >= COVERED and max(map(np.mean, alarms)) <= ALARMS

    def lines(self) -> Iterator[str]:
        yield f"{self.outcome}: true effect {self.true:+.4f}; {_share(self.covered, 'covered')}"
        yield f"  with CUPED: {_share(self.adjusted, 'covered')}"
        for number, week in enumerate(self.weeks, 1):
            yield f"  week {number}: {_share(week, 'covered')}"
        yield f"  arms alike: {_share(self.alarms, 'false alarms')}; {_share(self.peeks, 'looked at daily')}"


def counts(truth: Runs, effects: Runs, alike: Runs) -> list[Count]:
    """Of each outcome. A run that has no interval does not cover; a week counts where every run of it has one."""
    found = []
    for place, first in enumerate(truth[0]):
        of_truth, of_effects, of_alike = ([run[place] for run in runs] for runs in (truth, effects, alike))
        true = float(np.mean([one.plain.difference for one in of_truth]))
        weeks = range(min(len(one.weeks) for one in (*of_truth, *of_effects)))
        by_week = [float(np.nanmean([one.weeks[week].difference for one in of_truth])) for week in weeks]
        found.append(
            Count(
                first.outcome,
                true,
                [one.plain.covers(true) for one in of_effects],
                [one.adjusted.covers(true) for one in of_effects],
                [[one.weeks[week].covers(by_week[week]) for one in of_effects] for week in weeks],
                [one.p_value < LEVEL for one in of_alike],
                [one.always_valid_p < LEVEL for one in of_alike],
            )
        )
    return found


def _runs(parallel: Parallel, settings: SampleSettings, kind: int, count: int) -> list[list[Said]]:
    """So many experiments of a kind, over processes."""
    numbers = trange(count, desc=("truth", "effect", "alike")[kind], disable=None)
    return list(parallel(delayed(said)(settings, kind, number) for number in numbers))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often `relevance abtest` tells the truth.")
    parser.add_argument("--runs", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=SampleSettings().seed, help="of the sample's world")
    parser.add_argument("--pins", type=int, default=SampleSettings().pins, help="of the sample's world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    flags = parser.parse_args(arguments)
    settings = SampleSettings(seed=flags.seed, pins=flags.pins)
    with Parallel(n_jobs=flags.jobs) as parallel:
        found = counts(*(_runs(parallel, settings, kind, flags.runs) for kind in (TRUTH, EFFECT, ALIKE)))
    print("\n".join(line for one in found for line in one.lines()))
    met = all(one.met for one in found)
    print(
        f"every interval covers in {COVERED:.0%} or more, plain and with CUPED, and false alarms are {ALARMS:.0%} or "
        f"fewer: {met}"
    )
    return 0 if met else 1


def _share(found: Sequence[bool], what: str) -> str:
    interval = binomtest(sum(found), len(found)).proportion_ci(method="wilson")
    return f"{what} {np.mean(found):.1%} [{interval.low:.1%}, {interval.high:.1%}] of {len(found):,}"


if __name__ == "__main__":
    sys.exit(main())
