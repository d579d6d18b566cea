"""What an order of pins is worth: pure measures of a run against qrels, one value a judged query.

Named as ir_measures names them, and computed by it where it has them: nDCG@20, P(rel=4)@8, Judged@10. Ours are nDCG
with gains that are no whole numbers, which trec_eval behind it cannot read, or large ones, of which it makes tables as
long, and sDCG, for which it wants a package that has no wheels and pads every query with a thousand documents; tests
hold both equal to it.

The rules are trec_eval's: ties by pin id, descending; a pin without a judgment gains nothing; a judged query that the
run does not answer, or that has nothing to gain, scores 0 and is never dropped. Unlike trec_eval's own, scores are
compared in float64: it is given places instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from math import isfinite, isnan, log2, nan
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from scipy.stats import kendalltau

from enrich.errors import BadInput
from enrich.tables import LEVELS

Qrels = Mapping[str, Mapping[str, int]]  # query -> pin -> level
Run = Mapping[str, Mapping[str, float]]  # query -> pin -> score, higher is better

GAINS: Mapping[int, float] = MappingProxyType({1: 0, 2: 1, 3: 3, 4: 7, 5: 15})  # 2^(level-1) - 1, Burges et al. 2005
GAINS_NAME = "2^(level-1)-1: 1→0, 2→1, 3→3, 4→7, 5→15"
RELEVANT = 4  # the least level that is relevant
_LARGEST_GAIN = 1_000  # given to trec_eval, which counts in a table of so many places


def ndcg_by_query(qrels: Qrels, run: Run, cutoff: int = 20, gains: Mapping[int, float] = GAINS) -> dict[str, float]:
    """DCG@cutoff ÷ that of the best order of all that is judged, discount 1 / log2(rank + 1); in the order of `qrels`.

    `gains` says what each level is worth (see GAINS); a level that it does not name raises BadInput.
    """
    check_ranking(qrels, run, cutoff)
    check_gains(qrels, gains)
    whole = {level: int(gain) for level, gain in gains.items()}
    if whole != dict(gains) or max(whole.values()) > _LARGEST_GAIN:
        return {query: _ndcg(levels, run.get(query, {}), cutoff, gains) for query, levels in qrels.items() if levels}
    from ir_measures import nDCG

    gained = {query: {pin: whole[level] for pin, level in pins.items()} for query, pins in qrels.items()}
    return _measured(nDCG @ cutoff, gained, run)


def sdcg_by_query(qrels: Qrels, run: Run, cutoff: int = 25, gains: Mapping[int, float] = GAINS) -> dict[str, float]:
    """DCG@cutoff ÷ that of `cutoff` pins of the highest gain, as if there were no end of them.

    The scaled DCG, SDCG(max_rel=15)@25 of ir_measures on gains; arXiv 2509.03764 measures by sDCG@25 and does not print
    its gains, so that GAINS are our choice.
    """
    check_ranking(qrels, run, cutoff)
    check_gains(qrels, gains)
    best = _dcg([max(gains.values())] * cutoff, cutoff)
    if not best:
        raise BadInput(f"expected a gain above 0, found {dict(gains)}")
    return {
        query: _dcg(_gained(levels, run.get(query, {}), gains), cutoff) / best
        for query, levels in qrels.items()
        if levels
    }


def precision_by_query(qrels: Qrels, run: Run, cutoff: int = 8, level: int = RELEVANT) -> dict[str, float]:
    """Share of the first `cutoff` places that a pin of `level` or more has; P(rel=4)@8."""
    from ir_measures import P

    check_ranking(qrels, run, cutoff)
    if not is_whole(level) or level not in LEVELS:
        raise BadInput(f"expected a level of 1..{LEVELS[-1]} to be relevant from, found {level!r}; {RELEVANT} is usual")
    return _measured(P(rel=level) @ cutoff, qrels, run)


def judged_by_query(qrels: Qrels, run: Run, cutoff: int = 10) -> dict[str, float]:
    """Share of the run's first `cutoff` pins that are judged; Judged@10. Says what a figure of this run may hide."""
    from ir_measures import Judged

    check_ranking(qrels, run, cutoff)
    return _measured(Judged @ cutoff, qrels, run)


def kendall_by_query(qrels: Qrels, run: Run) -> dict[str, float]:
    """Kendall's τ-b of a query's levels and scores (scipy), pins that the run leaves out tied behind all others.

    0 where the run has no order; nan where all its pins are of one level, which no order could follow or break.
    """
    check_ranking(qrels, run, 1)
    return {query: _kendall(levels, run.get(query, {})) for query, levels in qrels.items() if levels}


def check_ranking(qrels: Qrels, run: Run, cutoff: int) -> None:
    """Raises BadInput for a cutoff that is no count, nothing judged, and what is no level or score."""
    if not is_whole(cutoff) or cutoff < 1:
        raise BadInput(f"expected a cutoff of 1 or more, a whole number, found {cutoff!r}; 20 gives nDCG@20")
    _check_nested(qrels, "qrels as {query: {pin: level}}")
    _check_nested(run, "a run as {query: {pin: score}}")
    if not any(qrels.values()):
        raise BadInput("expected qrels with at least one judged query, found none; judge some pairs first")
    for query, pins in qrels.items():
        for pin, level in pins.items():
            if not is_whole(level):
                raise BadInput(f"expected whole levels, found {level!r} for pin {pin!r} of query {query!r}")
    for query, scores in run.items():
        for pin, score in scores.items():
            if not is_finite(score):
                raise BadInput(f"expected finite scores, found {score!r} for pin {pin!r} of query {query!r}")


def _check_nested(given: object, wanted: str) -> None:
    if not isinstance(given, Mapping):
        raise BadInput(f"expected {wanted}, found {type(given).__name__}")
    for query, pins in given.items():
        if not isinstance(query, str) or not isinstance(pins, Mapping):
            raise BadInput(f"expected {wanted}, found {type(pins).__name__} for query {query!r}")
        odd = next((pin for pin in pins if not isinstance(pin, str)), None)
        if odd is not None or None in pins:
            raise BadInput(f"expected {wanted}, ids as text, found pin {odd!r} of query {query!r}")


def is_whole(value: object) -> bool:
    """Whether it is a whole number, and no truth value."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_finite(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and isfinite(value)


def check_gains(qrels: Qrels, gains: Mapping[int, float]) -> None:
    """Raises BadInput for a level without a gain, and for gains that are none; of qrels that `check_ranking` passed."""
    if not isinstance(gains, Mapping):
        raise BadInput(f"expected gains as {{level: gain}}, found {type(gains).__name__}")
    unknown = {level for pins in qrels.values() for level in pins.values()} - set(gains)
    if unknown:
        raise BadInput(f"expected every level of the qrels in the gain table {dict(gains)}, found {sorted(unknown)}")
    if not all(is_finite(gain) and gain >= 0 for gain in gains.values()):
        raise BadInput(f"expected gains that are finite and not negative, found {dict(gains)}")


def ranking(scores: Mapping[str, float]) -> list[str]:
    """The pins, best first; ties by pin id, descending."""
    return sorted(scores, key=lambda pin: (scores[pin], pin), reverse=True)


def _measured(measure: Any, qrels: Qrels, run: Run) -> dict[str, float]:
    """By ir_measures, every judged query in the order of `qrels`; 0 where the run has none of it."""
    import ir_measures

    judged = {query: dict(pins) for query, pins in qrels.items() if pins}
    places = {
        query: {pin: float(-place) for place, pin in enumerate(ranking(scores))}
        for query, scores in run.items()
        if query in judged and scores
    }
    found = dict.fromkeys(judged, 0.0)
    if places:  # its provider takes no empty run
        found |= {one.query_id: float(one.value) for one in ir_measures.iter_calc([measure], judged, places)}
    return found


def _ndcg(levels: Mapping[str, int], scores: Mapping[str, float], cutoff: int, gains: Mapping[int, float]) -> float:
    """Of one query: its pins' levels and the run's scores."""
    ideal = _dcg(sorted((gains[level] for level in levels.values()), reverse=True), cutoff)
    return _dcg(_gained(levels, scores, gains), cutoff) / ideal if ideal else 0.0


def _gained(levels: Mapping[str, int], scores: Mapping[str, float], gains: Mapping[int, float]) -> Iterable[float]:
    return (gains[levels[pin]] if pin in levels else 0.0 for pin in ranking(scores))


def _dcg(gains: Iterable[float], cutoff: int) -> float:
    """Σ gain / log2(rank + 1) over the first `cutoff` ranks."""
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(islice(gains, cutoff), start=1))


def _kendall(levels: Mapping[str, int], scores: Mapping[str, float]) -> float:
    gold = list(levels.values())
    if len(set(gold)) == 1:
        return nan
    places = {score: place for place, score in enumerate(sorted(set(scores.values())), start=1)}
    said = [places[scores[pin]] if pin in scores else 0 for pin in levels]
    found = float(kendalltau(gold, said).statistic)
    return 0.0 if isnan(found) else found
