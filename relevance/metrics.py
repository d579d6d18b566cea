"""What a prediction is worth: pure measures of levels 1..5 against gold.

Rows are pairs; `levels` and `predicted` are int [n] in 1..5, `probabilities` float [n, 5], column k for level k + 1.
Malformed input raises BadInput, a measure that these rows cannot define raises Undefined (a BadInput): one line each.
Ranking follows trec_eval's rules: ties by pin id, descending; a pin without a judgment gains nothing; a judged query
that the run does not answer, or that has nothing to gain, scores 0 and is never dropped. Unlike trec_eval's own, scores
are compared in float64 and a gain may be any fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from math import isfinite, log2
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from enrich.errors import BadInput
from enrich.tables import LEVELS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Qrels = Mapping[str, Mapping[str, int]]  # query -> pin -> level
Run = Mapping[str, Mapping[str, float]]  # query -> pin -> score, higher is better

GAINS: Mapping[int, float] = MappingProxyType({1: 0, 2: 1, 3: 3, 4: 7, 5: 15})  # 2^(level-1) - 1, Burges et al. 2005
GAINS_NAME = "2^(level-1)-1: 1→0, 2→1, 3→3, 4→7, 5→15"
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
    if level not in LEVELS[1:]:
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
    if bins < 1:
        raise BadInput(f"expected at least one bin, found {bins}; 15 is usual")
    confidence = probs.max(axis=1)
    gap = np.bincount(confidence_bin(confidence, bins), weights=(most_probable(probs) == gold) - confidence)
    return float(np.abs(gap).sum() / len(gold))


def ndcg(qrels: Qrels, run: Run, cutoff: int = 20, gains: Mapping[int, float] = GAINS) -> float:
    """Mean over the judged queries of DCG@cutoff / ideal DCG@cutoff, discount 1 / log2(rank + 1).

    `gains` says what each level is worth (see GAINS); a level that it does not name raises BadInput.
    """
    return float(np.mean(list(ndcg_by_query(qrels, run, cutoff, gains).values())))


def ndcg_by_query(qrels: Qrels, run: Run, cutoff: int = 20, gains: Mapping[int, float] = GAINS) -> dict[str, float]:
    """As `ndcg`, the value of every judged query, in the order of `qrels`."""
    _check_ranking(qrels, run, cutoff, gains)
    return {query: _ndcg(levels, run.get(query, {}), cutoff, gains) for query, levels in qrels.items() if levels}


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
    """Which of `bins` equal bins (k/bins, (k+1)/bins] each confidence falls into; int [n]."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


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
    found = np.asarray(values)
    if found.ndim != 1 or found.size == 0:
        raise BadInput(f"expected {name} as a list of at least one level, found shape {list(found.shape)}")
    if not np.isin(found, LEVELS).all():
        odd = found[~np.isin(found, LEVELS)][0]
        raise BadInput(f"expected {name} to be whole numbers 1..{LEVELS[-1]}, found {odd!r}; map other scales onto it")
    return found.astype(np.int64)


def _same_length(gold: Ints, other: NDArray[np.generic], name: str) -> None:
    if len(gold) != len(other):
        raise BadInput(f"expected one row of {name} a level, found {len(other)} for {len(gold)} levels")


def _check_ranking(qrels: Qrels, run: Run, cutoff: int, gains: Mapping[int, float]) -> None:
    if cutoff < 1:
        raise BadInput(f"expected a cutoff of 1 or more, found {cutoff}; 20 gives nDCG@20")
    if not any(qrels.values()):
        raise BadInput("expected qrels with at least one judged query, found none; judge some pairs first")
    unknown = {level for pins in qrels.values() for level in pins.values()} - set(gains)
    if unknown:
        raise BadInput(f"expected every level of the qrels in the gain table {dict(gains)}, found {sorted(unknown)}")
    if not all(isfinite(gain) and gain >= 0 for gain in gains.values()):
        raise BadInput(f"expected gains that are finite and not negative, found {dict(gains)}")
    for query, pins in run.items():
        for pin, score in pins.items():
            if not isfinite(score):
                raise BadInput(f"expected finite scores, found {score} for pin {pin!r} of query {query!r}")


def _ndcg(levels: Mapping[str, int], scores: Mapping[str, float], cutoff: int, gains: Mapping[int, float]) -> float:
    """Of one query: its pins' levels and the run's scores."""
    ranking = sorted(scores, key=lambda pin: (scores[pin], pin), reverse=True)
    ideal = _dcg(sorted((gains[level] for level in levels.values()), reverse=True), cutoff)
    return _dcg((gains[levels[pin]] if pin in levels else 0.0 for pin in ranking), cutoff) / ideal if ideal else 0.0


def _dcg(gains: Iterable[float], cutoff: int) -> float:
    """Σ gain / log2(rank + 1) over the first `cutoff` ranks."""
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(islice(gains, cutoff), start=1))
