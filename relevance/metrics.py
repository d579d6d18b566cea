"""What a prediction is worth: pure measures of levels 1..5 against gold.

Rows are pairs; `levels` and `predicted` are int [n] in 1..5, `probabilities` float [n, 5], column k for level k + 1.
Malformed input raises BadInput, a measure that these rows cannot define raises Undefined (a BadInput): one line each.
Of rankings there are means over the judged queries; rankings.py has their rules and the value of each query.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import rankings
from relevance.rankings import GAINS, GAINS_NAME, RELEVANT, Qrels, Run, ndcg_by_query

__all__ = ["GAINS", "GAINS_NAME", "Floats", "Ints", "Qrels", "Run", "Undefined", "ndcg_by_query"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SUM_TOLERANCE = 1e-3  # five float16 probabilities are this close to 1


class Undefined(BadInput):
    """The rows are well formed, but the measure has no value on them."""


def accuracy(levels: ArrayLike, probabilities: ArrayLike) -> float:
    """Share of rows whose most probable level (the lower one on a tie) is the gold level."""
    gold, probs = _rows(levels, probabilities)
    return float(np.mean(most_probable(probs) == gold))


def within_one(levels: ArrayLike, probabilities: ArrayLike) -> float:
    """Share of rows whose most probable level is at most one from the gold level."""
    gold, probs = _rows(levels, probabilities)
    return float(np.mean(np.abs(most_probable(probs) - gold) <= 1))


def auroc_at_least(levels: ArrayLike, probabilities: ArrayLike, level: int) -> float:
    """Chance that a pair of gold `level` or more has more probability at or above `level` than a pair below it.

    `level` is 2..5 ("AUROC 3+" is level 3). Raises Undefined when every row is on one side.
    """
    gold, probs = _rows(levels, probabilities)
    if not rankings.is_whole(level) or level not in LEVELS[1:]:
        raise BadInput(f"expected a level of 2..5 for AUROC, found {level!r}; 3 measures levels 3, 4, 5 against 1, 2")
    positive = gold >= level
    if positive.all() or not positive.any():
        side = f"at {level} or more" if positive.all() else f"below {level}"
        raise Undefined(
            f"AUROC {level}+ needs gold levels on both sides of {level}, found all {len(gold)} rows {side}; judge more"
        )
    return float(roc_auc_score(positive, probability_at_least(probs, level)))


def quadratic_kappa(levels: ArrayLike, predicted: ArrayLike) -> float:
    """Cohen's κ with weights (a - b)²: 1 for agreement, 0 for chance. Raises Undefined when both are one same level."""
    gold, guess = _levels(levels, "levels"), _levels(predicted, "predicted")
    _same_length(gold, guess, "predicted")
    if np.unique(np.concatenate([gold, guess])).size == 1:
        raise Undefined(f"quadratic κ needs two levels, found level {gold[0]} on both sides of every row; judge more")
    return float(cohen_kappa_score(gold, guess, weights="quadratic", labels=list(LEVELS)))


def calibration_error(levels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the most probable level, in `bins` equal bins of confidence (Guo et al. 2017)."""
    gold, probs = _rows(levels, probabilities)
    if not rankings.is_whole(bins) or bins < 1:
        raise BadInput(f"expected at least one bin, a whole number, found {bins!r}; 15 is usual")
    confidence = probs.max(axis=1)
    gap = np.bincount(confidence_bin(confidence, bins), weights=(most_probable(probs) == gold) - confidence)
    return float(np.abs(gap).sum() / len(gold))


def kendall_tau(levels: ArrayLike, values: ArrayLike) -> float:
    """Kendall's τ-b over all rows, queries mixed: of gold levels and what was said of them, levels or scores.

    Raises Undefined where one of the two is the same in every row.
    """
    gold, said = _levels(levels, "levels"), _numbers(values, "values")
    _same_length(gold, said, "values")
    if not np.isfinite(said).all():
        raise BadInput(f"expected finite values, found {said[~np.isfinite(said)][0]}")
    if np.unique(gold).size == 1 or np.unique(said).size == 1:
        raise Undefined("Kendall's τ needs rows that differ in level and in value, found all the same; judge more")
    return float(kendalltau(gold, said).statistic)


def ndcg(qrels: Qrels, run: Run, cutoff: int = 20, gains: Mapping[int, float] = GAINS) -> float:
    """nDCG@cutoff with `gains`: what each level is worth. A level that they do not name raises BadInput."""
    return _mean(ndcg_by_query(qrels, run, cutoff, gains))


def sdcg(qrels: Qrels, run: Run, cutoff: int = 25, gains: Mapping[int, float] = GAINS) -> float:
    """The scaled DCG, against `cutoff` pins of the highest gain."""
    return _mean(rankings.sdcg_by_query(qrels, run, cutoff, gains))


def precision(qrels: Qrels, run: Run, cutoff: int = 8, level: int = RELEVANT) -> float:
    """P(rel=level)@cutoff."""
    return _mean(rankings.precision_by_query(qrels, run, cutoff, level))


def kendall_tau_by_query(qrels: Qrels, run: Run) -> float:
    """Kendall's τ-b within a query, the mean over those whose pins differ in level. Raises Undefined where none has."""
    found = {query: tau for query, tau in rankings.kendall_by_query(qrels, run).items() if not np.isnan(tau)}
    if not found:
        raise Undefined("Kendall's τ by query needs a query with pins of two levels, found none; judge more")
    return _mean(found)


def most_probable(probabilities: Floats) -> Ints:
    """The level with the greatest probability, the lower one on a tie; int [n]."""
    top: Ints = probabilities.argmax(axis=1).astype(np.int64) + 1
    return top


def probability_at_least(probabilities: Floats, level: int) -> Floats:
    """Probability of `level` or more; [n]."""
    upper: Floats = probabilities[:, level - 1 :].sum(axis=1)
    return upper


def expected_level(probabilities: ArrayLike) -> Floats:
    """Σ level · probability, 1..5; [n]."""
    return checked_probabilities(probabilities) @ np.asarray(LEVELS, np.float64)


def confidence_bin(confidence: Floats, bins: int) -> Ints:
    """Which of `bins` equal bins (k/bins, (k+1)/bins] each confidence falls into; int [n].

    A confidence is at an edge, and in the bin below, where it differs from it by how it was rounded.
    """
    return np.clip(np.ceil((confidence * bins).round(9)).astype(np.int64) - 1, 0, bins - 1)


def checked_probabilities(probabilities: ArrayLike) -> Floats:
    """As float64 [n, 5]. Raises BadInput unless every row is finite, not negative and sums to 1."""
    try:
        probs = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"expected probabilities of shape [n, {len(LEVELS)}], found ragged or not numbers") from error
    if probs.ndim != 2 or probs.shape[1] != len(LEVELS):
        raise BadInput(f"expected probabilities of shape [n, {len(LEVELS)}], found {list(probs.shape)}; one a level")
    bad = ~np.isfinite(probs).all(axis=1)
    bad |= (probs < 0).any(axis=1) | (np.abs(probs.sum(axis=1) - 1) > _SUM_TOLERANCE)
    if bad.any():
        row = int(bad.argmax())
        raise BadInput(
            f"expected probabilities that are finite, not negative and sum to 1, found {probs[row].tolist()} in row "
            f"{row} ({int(bad.sum())} such rows); apply a softmax"
        )
    return probs


def _rows(levels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    gold, probs = _levels(levels, "levels"), checked_probabilities(probabilities)
    _same_length(gold, probs, "probabilities")
    return gold, probs


def _levels(values: ArrayLike, name: str) -> Ints:
    found = _numbers(values, name)
    if found.ndim != 1 or found.size == 0:
        raise BadInput(f"expected {name} as a list of at least one level, found shape {list(found.shape)}")
    if not np.isin(found, LEVELS).all():
        odd = found[~np.isin(found, LEVELS)][0]
        raise BadInput(f"expected {name} to be whole numbers 1..{LEVELS[-1]}, found {odd!r}; map other scales onto it")
    return found.astype(np.int64)


def _numbers(values: ArrayLike, name: str) -> Floats:
    """As float64. Raises BadInput for what is ragged, text, a truth value or nothing at all."""
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise BadInput(f"expected {name} as a list of numbers, found lists of unequal length") from error
    if found.dtype.kind == "O":
        odd = [one for one in found.flat if isinstance(one, bool) or not isinstance(one, Real)]
        if odd:
            raise BadInput(
                f"expected {name} as numbers 1..{LEVELS[-1]}, found {odd[0]!r}; leave out what is not judged"
            )
    elif found.size and found.dtype.kind not in "iuf":
        raise BadInput(
            f"expected {name} as numbers 1..{LEVELS[-1]}, found {found.flat[0]!r}; leave out what is not judged"
        )
    return found.astype(np.float64)


def _same_length(gold: Ints, other: NDArray[np.generic], name: str) -> None:
    if len(gold) != len(other):
        raise BadInput(f"expected one row of {name} a level, found {len(other)} for {len(gold)} levels")


def _mean(by_query: Mapping[str, float]) -> float:
    return float(np.mean(list(by_query.values())))
