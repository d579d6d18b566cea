"""The check of `relevance abtest`: its counts by hand, and five runs of a small world."""

from __future__ import annotations

from math import nan

import numpy as np
import polars as pl
import pytest
from scipy.stats import pearsonr

from data import abtest_check
from data.abtest_check import Count, counts
from data.abtest_trials import ALIKE, EFFECT, TRUTH, Interval, Said, Simulator, said
from data.sample_maker.settings import SampleSettings

SMALL = SampleSettings(seed=5, pins=150)


def test_counts_by_hand() -> None:
    """True: the mean of .1 and .3, in week 1 of .0 and .2. Of two runs one covers it plainly, the other with CUPED."""
    truth = [[Said("x", Interval(value), (Interval(value - 0.1),))] for value in (0.1, 0.3)]
    covers, misses, none = Interval(0.0, 0.05, 0.25), Interval(0.0, 0.21, 0.3), Interval(nan)
    effects = [[Said("x", covers, (covers,), none)], [Said("x", misses, (misses,), covers)]]
    alike = [[Said("x", covers, (), covers, p, q)] for p, q in ((0.04, 0.06), (0.01, 0.5), (0.5, 0.9))]
    (found,) = counts(truth, effects, alike)
    assert found.true == pytest.approx(0.2)
    assert (found.covered, found.adjusted, found.weeks) == ([True, False], [False, True], [[True, False]])
    assert (found.alarms, found.peeks) == ([True, True, False], [False] * 3)
    assert not found.met
    assert list(found.lines())[1].startswith("  with CUPED: covered 50.0%")


@pytest.mark.parametrize(
    ("covered", "adjusted", "alarms", "met"), [(93, 93, 7, True), (93, 92, 7, False), (93, 93, 8, False)]
)
def test_a_check_is_met_with_and_without_cuped(covered: int, adjusted: int, alarms: int, met: bool) -> None:
    one, other, cried = ([place < many for place in range(100)] for many in (covered, adjusted, alarms))
    assert Count("x", 0.0, one, other, [], cried, [False] * 100).met == met


def test_what_users_did_before_goes_with_what_they_do_and_not_with_their_arm() -> None:
    trial = Simulator.of(SMALL).trial(1, 0.0)
    events = trial.log.events.join(trial.before, on="user")
    engaged = events["event"].is_in(["click", "long_click", "save"]).to_numpy().astype(float)
    assert pearsonr(engaged, events["before"].to_numpy()).statistic > 0.1
    means = dict(events.unique("user").group_by("arm").agg(pl.col("before").mean()).iter_rows())
    assert abs(means["control"] - means["treatment"]) < 0.5


def test_five_runs_of_a_small_world_are_counted() -> None:
    runs = [
        [said(SMALL, kind, number) for number in range(many)] for kind, many in ((TRUTH, 5), (EFFECT, 5), (ALIKE, 2))
    ]
    found = counts(*runs)
    assert [one.outcome for one in found] == [one.outcome for one in runs[0][0]]
    truth, effects, alike = ([run[0] for run in of_kind] for of_kind in runs)  # fulfilment
    true = sum(one.plain.difference for one in truth) / 5
    assert found[0].true == pytest.approx(true)
    assert found[0].covered == [one.plain.low <= true <= one.plain.high for one in effects]
    assert found[0].adjusted == [one.adjusted.low <= true <= one.adjusted.high for one in effects]
    assert len(found[0].weeks) == 2 and [len(week) for week in found[0].weeks] == [5, 5]
    assert found[0].alarms == [one.p_value < 0.05 for one in alike]
    assert all(np.isfinite(one.adjusted.low) and one.adjusted != one.plain for one in effects)


def test_the_command_says_what_was_covered(capsys: pytest.CaptureFixture[str]) -> None:
    status = abtest_check.main(["--runs", "1", "--seed", "5", "--pins", "150", "--jobs", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert sum("with CUPED: covered" in line and line.endswith(" of 1") for line in lines) == 4
    assert status == (0 if lines[-1].endswith("True") else 1)
