"""What a person's verdict on a pair may be worth, by five measures that each say why; and a choice with many queries.

Pure. Every measure is 0 where it has nothing to say of a pair.

- unsure: the entropy of the teacher's probabilities (uncertainty sampling: Lewis & Gale 1994).
- apart: the Jensen-Shannon divergence of teacher and student: one of them is wrong, and either can be mended.
- split: mutual information of pair and model over several students (BALD: Houlsby et al. 2011, arXiv 1112.5745): high
  where each is sure and they contradict, not where all are equally unsure.
- rare: pairs of strata whose share of the log is not met by their share of the judgments.
- doubted: a judged pair that models which never saw it are confident to be of another level (confident learning:
  Northcutt, Jiang & Chuang 2021, arXiv 1911.00068).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.job import input_hash
from relevance.metrics import Floats


class Reason(StrEnum):
    UNSURE = "unsure"
    APART = "apart"
    SPLIT = "split"
    RARE = "rare"
    DOUBTED = "doubted"


SAID = {  # to the person who labels, once a level was given
    Reason.UNSURE: "the teacher is unsure",
    Reason.APART: "teacher and student contradict each other",
    Reason.SPLIT: "students contradict each other",
    Reason.RARE: "few pairs of its kind are judged",
    Reason.DOUBTED: "its level is doubted",
}


@dataclass(frozen=True, slots=True)
class AuditSettings:
    pairs: int = 100  # to be judged
    per_query: int = 2  # of these, at most
    per_pin: int = 2
    pool: int = 5_000  # pairs that nobody judged among which is chosen, drawn by a hash
    reasons: tuple[Reason, ...] = tuple(Reason)  # take turns
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.pairs, self.per_query, self.per_pin, self.pool) < 1 or not self.reasons:
            raise BadInput(
                f"expected pairs, pairs of a query and of a pin, a pool of 1 or more and a reason, found {self.pairs}, "
                f"{self.per_query}, {self.per_pin}, {self.pool} and {list(self.reasons)}"
            )


def entropy(probabilities: Floats) -> Floats:
    """Of each row [n, k], 0 for certain to 1 for all levels alike."""
    logs = np.log(np.clip(probabilities, 1e-12, None))
    return np.asarray(-(probabilities * logs).sum(axis=-1) / np.log(probabilities.shape[-1]))


def divergence(members: Floats) -> Floats:
    """How far models [m, n, k] contradict each other on a row: the entropy of their mean less their mean entropy; [n].

    Of two models it is the Jensen-Shannon divergence, of draws of one model the mutual information of BALD.
    """
    gained = entropy(members.mean(axis=0)) - entropy(members).mean(axis=0)
    return np.asarray(np.clip(gained, 0.0, 1.0))


def rarity(strata: Sequence[str], judged: Sequence[str], seed: int = 0) -> Floats:
    """How much the stratum of each pair of the pool lacks judgments: its share of the pool ÷ (judged pairs of it + 1).

    The second pair of a stratum is worth what the first leaves: it counts as judged then; in an order without meaning.
    """
    share = {one: count / len(strata) for one, count in Counter(strata).items()}
    have = Counter(judged)
    order = sorted(range(len(strata)), key=lambda place: input_hash(str(seed), str(place)))
    worth = np.zeros(len(strata))
    for place in order:
        stratum = strata[place]
        worth[place] = share[stratum] / (have[stratum] + 1)
        have[stratum] += 1
    return worth


def _turns(reasons: Sequence[Reason]) -> list[Reason]:
    """A round of turns: before each of the others one of `split`, where it is among them."""
    others = [one for one in reasons if one is not Reason.SPLIT]
    if Reason.SPLIT not in reasons or not others:
        return list(reasons)
    return [turn for one in others for turn in (Reason.SPLIT, one)]


def choose(pool: pl.DataFrame, settings: AuditSettings) -> pl.DataFrame:
    """The pairs to judge, in order: reasons take turns to name the best pair that is left, within the caps.

    `split` has every second turn: of all reasons it alone taught a student more than chance (docs/decisions.md).
    `pool`: query, pin_id and a column of worth for each reason. Adds `reason` and `worth`. A reason without a pair of
    any worth is passed over, so fewer pairs than asked for come out only where all reasons are done.
    """
    queues = {
        reason: deque(pool[reason.value].arg_sort(descending=True)[: int((pool[reason.value] > 0).sum())].to_list())
        for reason in settings.reasons
    }
    queries, pins = pool["query"].to_list(), pool["pin_id"].to_list()
    used: dict[tuple[str, str], int] = {}
    taken: dict[int, Reason] = {}
    while len(taken) < settings.pairs and any(queues.values()):
        for reason in _turns(settings.reasons):
            queue = queues[reason]
            while queue and len(taken) < settings.pairs:
                place = queue.popleft()
                of_query, of_pin = ("query", queries[place]), ("pin", pins[place])
                full = used.get(of_query, 0) >= settings.per_query or used.get(of_pin, 0) >= settings.per_pin
                if place in taken or full:
                    continue
                taken[place] = reason
                used[of_query], used[of_pin] = used.get(of_query, 0) + 1, used.get(of_pin, 0) + 1
                break
    chosen = pool[list(taken)].with_columns(reason=pl.Series([one.value for one in taken.values()], dtype=pl.String))
    worth = [pool[reason.value][place] for place, reason in taken.items()]
    return chosen.with_columns(worth=pl.Series(worth, dtype=pl.Float64))
