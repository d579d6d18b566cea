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
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest
from tqdm import trange

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder, for its workers too
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from data.experiment_trials import ALIKE, EFFECT, TRUTH, Said, said  # noqa: E402
from data.sample_maker.settings import SampleSettings  # noqa: E402

LEVEL = 0.05
COVERED, ALARMS = 0.93, 0.07  # what at least, and at most, must hold


def _runs(parallel: Parallel, seed: int, kind: int, count: int) -> list[list[Said]]:
    """So many experiments of a kind, over processes."""
    numbers = trange(count, desc=("truth", "effect", "alike")[kind], disable=None)
    return list(parallel(delayed(said)(seed, kind, number) for number in numbers))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often `relevance abtest` tells the truth.")
    parser.add_argument("--runs", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=SampleSettings().seed, help="of the sample's world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    flags = parser.parse_args(arguments)
    with Parallel(n_jobs=flags.jobs) as parallel:
        truth, effects, alike = (_runs(parallel, flags.seed, kind, flags.runs) for kind in (TRUTH, EFFECT, ALIKE))
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
