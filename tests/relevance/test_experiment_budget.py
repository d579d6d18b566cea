"""How an experiment is cut to its minutes: plans that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enrich.errors import BadInput
from relevance.experiments.budget import Clock, Demand, OutOfTime, Rates, Scale, plan, seconds

FULL = Scale(
    seeds=2, folds=3, train_pairs=2_000, weak_pairs=1_000, epochs=3, soft_pairs=8_000, test_pairs=900, dev_pairs=0
)
RATES = Rates(taught={"": 10.0}, asked={"": 100.0}, student=1_000.0, encoded=50.0)


def demand(scale: Scale) -> Demand:
    """A teacher a seed and fold, which labels the soft pairs."""
    each = scale.seeds * scale.folds
    return Demand({"": float(each)}, {"": float(each * scale.soft_pairs)})


def test_a_teacher_costs_its_passes_and_its_answers() -> None:
    # 2,000 pairs three times and 1,000 + 300 of the log: 7,300 passes, 730 s; 8,000 labels are 80 s; six of both
    assert seconds(demand(FULL), FULL, RATES) == pytest.approx(6 * (730 + 80))


def test_what_fits_is_not_cut() -> None:
    made = plan(FULL, demand, RATES, 100)  # 81 minutes of 85
    assert made.scale == FULL and made.cuts == () and made.fits
    assert made.lines() == ["full size: about 81 minutes expected of 100"]


def test_seeds_go_first_then_folds_then_soft_labels() -> None:
    assert plan(FULL, demand, RATES, 60).scale.seeds == 1  # 40.5 minutes
    one_fold = plan(FULL, demand, RATES, 16).scale
    assert (one_fold.seeds, one_fold.folds, one_fold.soft_pairs) == (1, 1, 8_000)  # 13.5 minutes of 13.6
    fewer = plan(FULL, demand, RATES, 15).scale  # 730 + 40 s are 12.8 of 12.75 minutes, 730 + 20 are 12.5
    assert (fewer.soft_pairs, fewer.weak_pairs) == (2_000, 1_000)


def test_what_was_cut_is_said() -> None:
    made = plan(FULL, demand, RATES, 16)
    assert [(cut.what, cut.full, cut.now) for cut in made.cuts] == [("seeds", 2, 1), ("folds", 3, 1)]
    assert made.lines() == [
        "shrunk to fit 16 minutes, for the full size wants about 81 minutes: seeds 2 → 1, folds 3 → 1"
    ]


def test_what_was_asked_for_is_not_cut() -> None:
    made = plan(FULL, demand, RATES, 16, frozenset({"folds"}))
    assert made.scale.folds == 3 and made.scale.train_pairs < FULL.train_pairs


def test_a_budget_too_small_for_anything_is_said_to_be_exceeded() -> None:
    made = plan(FULL, demand, RATES, 0.1)
    assert made.scale == Scale(1, 1, 300, 0, 1, 500, 300, 0)  # 300 passes and 500 labels: 35 s
    assert not made.fits and made.expected_minutes == pytest.approx(35 / 60)
    assert "even so" in made.lines()[-1]


def test_small_catalogues_are_not_cut_below_what_they_have() -> None:
    tiny = Scale(1, 1, train_pairs=120, weak_pairs=0, epochs=3, soft_pairs=0, test_pairs=60, dev_pairs=20)
    assert plan(tiny, demand, RATES, 0.01).scale == Scale(1, 1, 120, 0, 1, 0, 60, 20)


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_a_budget_of_no_minutes_is_refused(minutes: float) -> None:
    with pytest.raises(BadInput, match="--budget in minutes"):
        plan(FULL, demand, RATES, minutes)


def test_the_clock_lets_nothing_begin_after_its_end_but_what_is_essential() -> None:
    now = [0.0]
    clock = Clock(1, lambda: now[0])
    clock.check()
    now[0] = 61.0
    with pytest.raises(OutOfTime):
        clock.check()
    clock.essential = True
    clock.check()


def test_what_an_experiment_is_about_is_cut_late() -> None:
    made = plan(FULL, demand, RATES, 12, precious="soft_pairs").scale  # 612 s: 80 for labels leave 5,320 passes
    assert (made.soft_pairs, made.weak_pairs, made.train_pairs) == (8_000, 0, 1_500)


def test_a_teacher_answers_about_dev_pairs_after_each_epoch_and_once_more() -> None:
    one = replace(FULL, dev_pairs=500)
    assert seconds(demand(one), one, RATES) - seconds(demand(FULL), FULL, RATES) == pytest.approx(6 * 4 * 500 / 100)


def test_dev_pairs_are_cut_with_training_pairs_to_a_fifth_of_them() -> None:
    large = replace(FULL, seeds=1, folds=1, train_pairs=20_000, weak_pairs=0, soft_pairs=0, dev_pairs=1_900)
    made = plan(large, demand, RATES, 10)
    assert made.scale.train_pairs < 2_000 and made.scale.dev_pairs == made.scale.train_pairs // 5
    assert ("dev pairs", 1_900, made.scale.dev_pairs) in made.cuts
    assert plan(large, demand, RATES, 1_000).scale.dev_pairs == 1_900
    assert plan(large, demand, RATES, 0.1).scale.dev_pairs == 100


def test_a_large_test_side_is_cut_before_models_learn_too_little_to_show_anything() -> None:
    large = replace(FULL, seeds=1, folds=1, train_pairs=60_000, weak_pairs=0, soft_pairs=0, test_pairs=6_000)
    many = lambda scale: Demand({"": 1.0}, {"": 15.0 * scale.test_pairs})  # noqa: E731
    made = plan(large, many, RATES, 10).scale  # 510 s: 240 for 2,400 passes leave 1,800 test pairs
    assert (made.train_pairs, made.epochs, made.test_pairs) == (1_200, 2, 1_423)
    assert plan(large, many, RATES, 6).scale.test_pairs == 1_000
