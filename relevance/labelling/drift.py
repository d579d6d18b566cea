"""Whether a teacher's soft labels may teach a student: its labels against what people said, and against themselves.

Pure functions of frames; gate.py reads them and keeps the verdict. Judged pairs and pairs of a log are selected
differently, so a difference between the two says little: what is compared is like with like, and what blocks is gross.

    check       compared                                                              blocks
    answers     rows that are no distribution, of all asked                           share > LOST
    echo        some labels as stored, as the teacher says them again; mean distance  surely > ECHO_APART
    varied      the labels among themselves: the widest deviation of a level          <= CONSTANT
    collapse    each stratum but of random pins: its commonest level's share          > COLLAPSED, people's < HUMAN
    kinds       expected level of random pins less that of other pairs, by query      surely > REVERSED
    skill       cross-entropy on judged dev pairs less that of people's mean shares   surely > WORSE (nats)
    order       dev pairs of two neighbouring levels: P(upper | both), theirs below   surely > EXCHANGED
                less theirs above
    judged      dev pairs, all, by language and frequency: predicted, human shares    surely > JUDGED_APART
    like        log pairs by frequency, language, kind: soft, like judged pairs'      surely > LIKE_APART

"judged", "skill" and "order" are of the same pairs, so any difference is the teacher's; where it was taught these, the
latter two warn. "like" are other pairs of the same kind, whence the wide limit. Distances are total variation,
½ Σ |p - q| of the five shares; the stability index (by custom 0.1 is worth a look, 0.25 an alarm) stands beside them.
"Surely" is by the bootstrap over queries, 95 %; of a distance by the basic interval, 2 d - q, for a drawn distance lies
above the true one. Beyond a half of its limit a distance warns.
Classes of fewer than LEAST_PAIRS pairs or LEAST_QUERIES queries are not judged: a small catalogue is not blocked.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich.drift import stability_index
from enrich.tables import LEVELS
from relevance.intervals import BootstrapSettings, draw_queries
from relevance.labelling.strata import ENGAGED, OTHER, RANDOM, SHOWN, Stratum
from relevance.metrics import Floats, Ints

LOST = 0.01  # share of the pairs asked about
CONSTANT = 0.005  # standard deviation of a level's probability; bfloat16 alone gives .001
COLLAPSED, HUMAN = 0.97, 0.8  # shares of one level
ECHO_APART = 0.2  # total variation; content that came late since may change an answer
REVERSED = 0.1  # levels
WORSE = 0.05  # nats
EXCHANGED = 0.0  # a share: whatever is surely above it has two levels the wrong way round
JUDGED_APART, LIKE_APART = 0.35, 0.6  # total variation
LEAST_PAIRS, LEAST_QUERIES = 50, 10
LEAST_OF_A_LEVEL = 20  # pairs, to compare it with its neighbour
_GROUPS = 500  # of whole queries, drawn together where there are more queries than this
_DRAWS = 1_000
_POOLED = "*"


class Verdict(StrEnum):
    OK, WARNS, BLOCKS = "ok", "warns", "blocks"


class Finding(NamedTuple):
    """One comparison: its figure with an interval (nan: none), and the limit beyond which it blocks."""

    check: str
    of: str  # which stratum or class
    verdict: Verdict
    figure: float
    low: float
    high: float
    limit: float
    pairs: int
    psi: float | None = None  # stability index, of the distances


class Rows(NamedTuple):
    """Pairs by position with the shares that someone gives their levels: float64 [n, 5]."""

    queries: pl.Series
    shares: Floats

    def of(self, chosen: pl.Series) -> Rows:
        """Those for which `chosen` (Boolean) holds."""
        return Rows(self.queries.filter(chosen), self.shares[chosen.to_numpy()])

    @property
    def enough(self) -> bool:
        return len(self.queries) >= LEAST_PAIRS and self.queries.n_unique() >= LEAST_QUERIES


@dataclass(frozen=True, slots=True)
class Asked:
    """Judged pairs that the teacher was asked about."""

    predicted: Rows
    levels: Ints  # [n] in 1..5
    classes: pl.DataFrame  # language and frequency of each
    held_out: bool  # whether all are of queries that it was not taught


@dataclass(frozen=True, slots=True)
class Labels:
    """What the teacher said of pairs that nobody judged."""

    asked: int  # pairs, those without a text left out
    lost: int  # of them, those that it gave no distribution
    rows: Rows  # all, or a fair sample
    strata: pl.Series  # of each
    echo: tuple[Rows, Floats]  # some of the rows, and the shares that the teacher gives them when asked again


@dataclass(frozen=True, slots=True)
class Like:
    """Judged pairs that are in the log, by position."""

    human: Rows
    strata: pl.Series


def findings(labels: Labels, asked: Asked, like: Like) -> Iterator[Finding]:
    """Every check that there is enough to judge by."""
    lost = labels.lost / max(1, labels.asked)
    verdict = Verdict.BLOCKS if lost > LOST else Verdict.WARNS if lost else Verdict.OK
    yield Finding("answers", "all", verdict, lost, lost, lost, LOST, labels.asked)
    if labels.echo[0].enough:
        yield _echo(*labels.echo)
    human = _levels_shares(asked.levels)
    if labels.rows.enough:
        yield _varied(labels.rows)
        yield from _collapses(labels, human.mean(axis=0) if len(human) else np.zeros(len(LEVELS)))
        yield from _kinds(labels)
    if asked.predicted.enough:
        yield _skill(asked, human)
        yield from _orders(asked)
        yield from _judged(asked, human)
    yield from _likes(labels, like)


def _levels_shares(levels: Ints) -> Floats:
    return np.asarray(np.asarray(LEVELS) == levels[:, None], np.float64)


def _echo(stored: Rows, again: Floats) -> Finding:
    apart = np.abs(stored.shares - again).sum(axis=1) / 2
    sums = _by_group(stored.queries, np.column_stack([apart, np.ones(len(apart))]))
    return _surely("echo", "all", sums, _mean, ECHO_APART, len(apart))


def _varied(rows: Rows) -> Finding:
    spread = float(rows.shares.std(axis=0).max())
    verdict = Verdict.OK if spread > CONSTANT else Verdict.BLOCKS
    return Finding("varied", "all", verdict, spread, spread, spread, CONSTANT, len(rows.queries))


def _collapses(labels: Labels, human: Floats) -> Iterator[Finding]:
    """Of each stratum, and of each with its interests pooled, that is large enough."""
    for names in (labels.strata, _pooled(labels.strata)):
        for name, rows in _classes(labels.rows, names):
            if name.endswith(f"/{RANDOM}"):
                continue
            shares = rows.shares.mean(axis=0)
            level = int(shares.argmax())
            share = float(shares[level])
            collapsed = share > COLLAPSED and human[level] < HUMAN
            verdict = Verdict.BLOCKS if collapsed else Verdict.OK
            yield Finding("collapse", name, verdict, share, share, share, COLLAPSED, len(rows.queries))


def _kinds(labels: Labels) -> Iterator[Finding]:
    """Random pins are less relevant than what was shown or nearly found, whatever the query."""
    drawn_blindly = labels.strata.str.ends_with(f"/{RANDOM}")
    if not (labels.rows.of(drawn_blindly).enough and labels.rows.of(~drawn_blindly).enough):
        return
    level = labels.rows.shares @ np.asarray(LEVELS, np.float64)
    blind = drawn_blindly.to_numpy().astype(np.float64)
    sums = _by_group(labels.rows.queries, np.column_stack([level * blind, blind, level * (1 - blind), 1 - blind]))
    yield _surely("kinds", "all", sums, _gap_of_means, REVERSED, int(blind.sum()))


def _gap_of_means(sums: Floats) -> Floats:
    gap: Floats = sums[:, 0] / np.maximum(sums[:, 1], 1) - sums[:, 2] / np.maximum(sums[:, 3], 1)
    return gap


def _skill(asked: Asked, human: Floats) -> Finding:
    """How much worse the teacher explains the levels than people's mean shares do."""
    own = -np.log(np.maximum((asked.predicted.shares * human).sum(axis=1), 1e-9))
    mean = -np.log(np.maximum(human @ human.mean(axis=0), 1e-9))
    sums = _by_group(asked.predicted.queries, np.column_stack([own - mean, np.ones(len(own))]))
    of = "dev" if asked.held_out else "dev and taught"
    return _lenient(_surely("skill", of, sums, _mean, WORSE, len(own)), asked)


def _orders(asked: Asked) -> Iterator[Finding]:
    """Of two neighbouring levels a pair is given more of its own than pairs of the other are: else they changed places.

    Shares and expected levels hardly tell: two neighbours are about as frequent, and confused as often.
    """
    for lower, upper in pairwise(LEVELS):
        chosen = (asked.levels == lower) | (asked.levels == upper)
        rows, is_upper = asked.predicted.of(pl.Series(chosen)), (asked.levels[chosen] == upper).astype(np.float64)
        is_lower = 1 - is_upper
        if not rows.enough or min(is_lower.sum(), is_upper.sum()) < LEAST_OF_A_LEVEL:
            continue
        both = rows.shares[:, [lower - 1, upper - 1]]
        share = both[:, 1] / np.maximum(both.sum(axis=1), 1e-9)
        sums = _by_group(rows.queries, np.column_stack([share * is_lower, is_lower, share * is_upper, is_upper]))
        found = _surely("order", f"levels {lower} and {upper}", sums, _gap_of_means, EXCHANGED, len(is_upper))
        unsure = found.verdict is Verdict.WARNS
        yield _lenient(found._replace(verdict=Verdict.OK) if unsure else found, asked)


def _lenient(found: Finding, asked: Asked) -> Finding:
    """Of pairs that the teacher was taught, a fault warns."""
    blocks = found.verdict is Verdict.BLOCKS and not asked.held_out
    return found._replace(verdict=Verdict.WARNS) if blocks else found


def _mean(sums: Floats) -> Floats:
    mean: Floats = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return mean


def _surely(check: str, of: str, sums: Floats, finish: Callable[[Floats], Floats], limit: float, pairs: int) -> Finding:
    """A figure that blocks where its lower bound is beyond the limit, and warns where it is itself."""
    drawn = finish(_draws(len(sums), 1) @ sums)
    figure = float(finish(sums.sum(axis=0, keepdims=True))[0])
    low, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    verdict = Verdict.BLOCKS if low > limit else Verdict.WARNS if figure > limit else Verdict.OK
    return Finding(check, of, verdict, figure, low, high, limit, pairs)


def _judged(asked: Asked, human: Floats) -> Iterator[Finding]:
    everything = pl.Series(["all"] * len(human), dtype=pl.String)
    for names in (everything, *("language " + asked.classes["language"], "frequency " + asked.classes["frequency"])):
        for name, rows in _classes(asked.predicted, pl.Series(names)):
            people = Rows(rows.queries, human[(pl.Series(names) == name).to_numpy()])
            yield _apart("judged", name, rows, people, JUDGED_APART, same=True)


def _likes(labels: Labels, like: Like) -> Iterator[Finding]:
    """Engaged and shown pairs by frequency and language; pooled languages are no class of people's pairs."""
    people = dict(_classes(like.human, _pooled(like.strata)))
    for name, rows in _classes(labels.rows, _pooled(labels.strata)):
        stratum = Stratum.of(name)
        if stratum and stratum.kind in (ENGAGED, SHOWN) and stratum.language != OTHER and name in people:
            yield _apart("like", name, rows, people[name], LIKE_APART, same=False)


def _apart(check: str, of: str, soft: Rows, human: Rows, limit: float, same: bool) -> Finding:
    """The distance of the two mean shares; `same`: of the same pairs, so drawn together."""
    sums = [_by_group(one.queries, np.column_stack([one.shares, np.ones(len(one.queries))])) for one in (soft, human)]
    seeds = (1, 1) if same else (1, 2)
    drawn = _distance(*(_draws(len(one), seed) @ one for one, seed in zip(sums, seeds, strict=True)))
    figure = float(_distance(*(one.sum(axis=0, keepdims=True) for one in sums))[0])
    low, high = (float(np.clip(2 * figure - bound, 0, 1)) for bound in np.quantile(drawn, [0.975, 0.025]))
    verdict = Verdict.BLOCKS if low > limit else Verdict.WARNS if low > limit / 2 else Verdict.OK
    psi = stability_index(human.shares.sum(axis=0).tolist(), soft.shares.sum(axis=0).tolist())
    return Finding(check, of, verdict, figure, low, high, limit, len(soft.queries), psi)


def _distance(a: Floats, b: Floats) -> Floats:
    """Total variation of the shares; [b, 6] sums, the last of them rows."""
    p, q = (sums[:, :-1] / np.maximum(sums[:, -1:], 1) for sums in (a, b))
    distance: Floats = np.abs(p - q).sum(axis=1) / 2
    return distance


def _classes(rows: Rows, names: pl.Series) -> Iterator[tuple[str, Rows]]:
    """The rows of each name, where they are enough."""
    for name in sorted(names.unique().to_list()):
        if (found := rows.of(names == name)).enough:
            yield name, found


def _pooled(strata: pl.Series) -> pl.Series:
    """The strata without their interests."""
    names = {name: stratum._replace(interest=_POOLED).name for name in strata.unique() if (stratum := Stratum.of(name))}
    return strata.replace(list(names), list(names.values()))


def _by_group(queries: pl.Series, columns: Floats) -> Floats:
    """Sums of the columns [n, k] over each query, or over groups of whole queries; [groups, k]."""
    distinct = queries.unique().to_list()
    codes = {query: zlib.crc32(query.encode()) % _GROUPS for query in distinct}
    if len(distinct) <= _GROUPS:
        codes = {query: place for place, query in enumerate(sorted(distinct))}
    group = np.array([codes[query] for query in queries], np.int64)
    return np.column_stack([np.bincount(group, weights=column) for column in columns.T])


def _draws(groups: int, seed: int) -> Floats:
    return draw_queries(groups, BootstrapSettings(draws=_DRAWS, seed=seed))
