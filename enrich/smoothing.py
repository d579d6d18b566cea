"""Rates from few observations: empirical-Bayes smoothing with a prior of measured strength.

    rate = (events + strength * mean) / (shown + strength)

the posterior mean of a beta-binomial whose prior has the given mean. Its strength follows from how much the rates
differ between keys beyond chance, by the method of moments: with n shown, rate p and prior mean m of each key,

    E[n (p - m)^2] = m (1 - m) (1 + (n - 1) rho),      strength = 1 / rho - 1

(rho is the intra-class correlation; Kleinman, JASA 68:341, 1973, summed over keys instead of reweighted).
"""

from __future__ import annotations

import polars as pl

WEAKEST, STRONGEST = 1.0, 1000.0  # strengths, in impressions; the strongest where rates differ no more than by chance
UNKNOWN = 20.0  # where no key was shown twice, so that nothing can be said of how rates differ


def prior_strength(events: pl.Series, shown: pl.Series, means: pl.Series) -> float:
    """The prior's strength in impressions, from each key's events, times shown and prior mean."""
    keys = pl.DataFrame({"k": events.cast(pl.Float64), "n": shown, "m": means}).filter(pl.col("n") > 0)
    rate, chance = pl.col("k") / pl.col("n"), pl.col("m") * (1 - pl.col("m"))
    excess, room = keys.select(
        excess=(pl.col("n") * (rate - pl.col("m")) ** 2 - chance).sum(), room=((pl.col("n") - 1) * chance).sum()
    ).row(0)
    if room <= 0:
        return UNKNOWN
    if excess <= 0:
        return STRONGEST
    return float(min(max(room / excess - 1, WEAKEST), STRONGEST))


def smoothed(events: pl.Series, shown: pl.Series, means: pl.Series, strength: float) -> pl.Series:
    """The smoothed rate of each key."""
    return (events + strength * means) / (shown + strength)
