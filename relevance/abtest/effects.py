"""What a treatment changed, and how sure that is: pure functions of sums by user.

The unit is what was randomised, the user. A measure is a ratio of sums, such as fulfilled sessions ÷ sessions, and
users have unequally many: its variance is the delta method's (Deng, Knoblich & Lu 2018, "Applying the Delta Method in
Metric Analytics"), through each user's linearised share e = (y - R n) / mean(n).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isnan, log, nan, sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats

from relevance.metrics import Floats

LOOK_USERS = 20  # of an arm, before which nobody looks: of fewer a variance is too rough to go by
_LEAST_USERS = 2  # of an arm, to have a variance
_ROUNDING = 1e-12  # of the values: a standard error below it is how sums are rounded, and no spread of users


class Sums(NamedTuple):
    """An arm's users by position: numerators and denominators of the measure, float64 [users]; covariates beside."""

    y: Floats
    n: Floats
    before: Floats  # what the user did before the experiment

    @property
    def value(self) -> float:
        return float(self.y.sum() / self.n.sum()) if self.n.sum() else nan

    @property
    def shares(self) -> Floats:
        """Each user's linearised share in the value, mean 0."""
        return np.asarray((self.y - self.value * self.n) / self.n.mean())


class Effect(NamedTuple):
    """Treatment less control, with its interval and two-sided p-value.

    These are nan, and so is the standard error, where either arm has fewer than two users, or users who are all alike:
    who has seen no spread cannot say how far chance reaches.
    """

    control: float
    treatment: float
    difference: float
    low: float
    high: float
    p_value: float
    lift: float  # difference ÷ control
    lift_low: float
    lift_high: float
    users: tuple[int, int]
    standard_error: float


class Change(NamedTuple):
    """How the effect of one period differs from that of another, with its interval; nan where an `Effect`'s is."""

    first: float
    last: float
    difference: float
    low: float
    high: float
    p_value: float


class Adjusted(NamedTuple):
    """The effect with what users did before the experiment taken out, and the share of variance that this took."""

    effect: Effect
    variance_removed: float


def effect(control: Sums, treatment: Sums, confidence: float = 0.95) -> Effect:
    """Welch's interval and test of the difference of two ratios of sums."""
    return _effect(control, treatment, 0.0, control.shares, treatment.shares, confidence)


def adjusted(control: Sums, treatment: Sums, confidence: float = 0.95) -> Adjusted | None:
    """CUPED (Deng, Xu, Kohavi & Walker 2013): less θ times the arms' difference in `before`, θ pooled over the arms.

    None where `before` is alike for all users, or what they did is, so that there is nothing to take out.
    """
    arms = (control, treatment)
    if min(len(arm.y) for arm in arms) < _LEAST_USERS:
        return None
    spread = sum(float(np.sum((arm.before - arm.before.mean()) ** 2)) for arm in arms)
    if spread <= 0:
        return None
    together = sum(float(np.sum(arm.shares * (arm.before - arm.before.mean()))) for arm in arms)
    theta = together / spread
    shift = theta * float(treatment.before.mean() - control.before.mean())
    shares = [arm.shares - theta * (arm.before - arm.before.mean()) for arm in arms]
    found = _effect(control, treatment, shift, shares[0], shares[1], confidence)
    plain = effect(control, treatment, confidence)
    if isnan(plain.standard_error):
        return None
    left = sum(float(one.var(ddof=1)) / len(one) for one in shares) / plain.standard_error**2
    return Adjusted(found, 1 - left)


def _effect(control: Sums, treatment: Sums, shift: float, c: Floats, t: Floats, confidence: float) -> Effect:
    users = len(control.y), len(treatment.y)
    r_c, r_t = control.value, treatment.value
    gap = r_t - r_c - shift
    lift = gap / r_c if r_c else nan
    nothing = Effect(r_c, r_t, gap, nan, nan, nan, lift, nan, nan, users, nan)
    if min(users) < _LEAST_USERS or isnan(gap):
        return nothing
    v_c, v_t = float(c.var(ddof=1)) / users[0], float(t.var(ddof=1)) / users[1]
    if sqrt(min(v_c, v_t)) <= _ROUNDING * max(abs(r_c), abs(r_t)):
        return nothing
    test = _Test.of(gap, v_c, v_t, users, confidence)
    spread = test.reach * sqrt(v_t + (1 + lift) ** 2 * v_c) / abs(r_c) if r_c else nan
    lifts = lift, lift - spread, lift + spread
    return Effect(r_c, r_t, gap, test.low, test.high, test.p_value, *lifts, users, sqrt(v_c + v_t))


class _Test(NamedTuple):
    """Welch's: the interval, the two-sided p-value, and how many standard errors the interval reaches."""

    low: float
    high: float
    p_value: float
    reach: float

    @classmethod
    def of(cls, gap: float, v_c: float, v_t: float, users: tuple[int, int], confidence: float) -> _Test:
        error, freedom = sqrt(v_c + v_t), _freedom(v_c, v_t, users)
        reach = float(stats.t.ppf((1 + confidence) / 2, freedom))
        p_value = 2 * float(stats.t.sf(abs(gap) / error, freedom))
        return cls(gap - reach * error, gap + reach * error, p_value, reach)


def _freedom(v_c: float, v_t: float, users: tuple[int, int]) -> float:
    """Welch and Satterthwaite's degrees of freedom."""
    below = v_c**2 / (users[0] - 1) + v_t**2 / (users[1] - 1)
    return (v_c + v_t) ** 2 / below if below else float(sum(users) - 2)


def change(first: tuple[Sums, Sums], last: tuple[Sums, Sums], confidence: float = 0.95) -> Change:
    """The effect of the last period less that of the first; `Sums` by the same users in both, (control, treatment)."""
    before, after = (effect(*period, confidence).difference for period in (first, last))
    users = len(first[0].y), len(first[1].y)
    gap = after - before
    if min(users) < _LEAST_USERS or isnan(gap):
        return Change(before, after, gap, nan, nan, nan)
    v_c, v_t = (float((last[arm].shares - first[arm].shares).var(ddof=1)) / users[arm] for arm in (0, 1))
    if sqrt(min(v_c, v_t)) <= _ROUNDING * max(abs(side.value) for side in (*first, *last)):
        return Change(before, after, gap, nan, nan, nan)
    test = _Test.of(gap, v_c, v_t, users, confidence)
    return Change(before, after, gap, test.low, test.high, test.p_value)


def is_look(found: Effect) -> bool:
    """Whether the always-valid test may look at it: LOOK_USERS in each arm, and a spread among them."""
    return min(found.users) >= LOOK_USERS and not isnan(found.standard_error)


def always_valid_p(looks: Sequence[Effect], plausible: float) -> float:
    """A p-value that holds however often one looks and whenever one stops: the least over the looks so far.

    The mixture sequential ratio test (Robbins 1970; Johari, Koomen, Pekelis & Walsh 2017, "Peeking at A/B Tests"), with
    differences normal around 0 of standard deviation `plausible`. What is no look (`is_look`) says nothing.
    """
    least = 1.0
    for look in filter(is_look, looks):
        variance, mixed = look.standard_error**2, plausible**2
        evidence = 0.5 * log(variance / (variance + mixed)) + mixed * look.difference**2 / (
            2 * variance * (variance + mixed)
        )
        least = min(least, exp(-evidence) if evidence > 0 else 1.0)
    return least


def least_detectable(standard_error: float, power: float = 0.8, confidence: float = 0.95) -> float:
    """The difference that a test of this confidence finds with this power, two-sided (Cohen 1988)."""
    return standard_error * float(stats.norm.ppf((1 + confidence) / 2) + stats.norm.ppf(power))


def sample_ratio_p(users: Sequence[int], shares: Sequence[float]) -> float:
    """χ² of users by arm against the shares planned; below .001 the assignment is broken (Fabijan et al. 2019)."""
    total = sum(users)
    expected = [total * share / sum(shares) for share in shares]
    return float(stats.chisquare(users, expected).pvalue)
