"""An answer by a moment: candidates scored some at a time, those whose turn does not come given the prior, flagged.

Pure around a `Scorer`; `relevance serve` answers through it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise

import numpy as np

from relevance import pin_rows
from relevance.online import Answer, Part, Scorer, Work
from relevance.serving.asked import places_of

AT_ONCE = 1_000  # candidates between two looks at the clock, some 20 ms


def answer_by(
    scorer: Scorer,
    query: str,
    pin_ids: Sequence[str],
    until: float | None = None,
    request_id: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """As `Scorer.answer`; `until` is a moment of `clock`, None for however long it takes.

    A part is begun only where the part before it, taken again, would end in time; the first wherever time is left.
    """
    if until is None:
        return scorer.answer(query, pin_ids, request_id)
    ids = tuple(dict.fromkeys(pin_ids))  # a pin that is asked twice is scored with the same neighbours, and once
    found: list[Answer] = []
    done, looked, took = 0, clock(), 0.0
    while (done < len(ids) or not found) and looked + took < until:
        some = ids[done : done + AT_ONCE]
        found.append(scorer.answer(query, some, request_id))
        done += len(some)
        took, looked = clock() - looked, clock()
    if done < len(ids) or not found:
        found.append(scorer.unanswered(query, ids[done:]))
    answer = joined(found)
    return answer if len(ids) == len(pin_ids) else answer.at(places_of(pin_ids, ids))


def joined(answers: Sequence[Answer]) -> Answer:
    """Answers (one or more) to parts of one request as one: what one of them had to do without, each of its pins says.

    A loss that all share stays the request's; the deadline, or a store that went in between, is some pins' alone.
    """
    if len(answers) == 1:
        return answers[0]
    first = answers[0]
    sizes = [len(answer.pin_ids) for answer in answers]
    ends = list(pairwise(np.cumsum([0, *sizes]).tolist()))
    stale = [np.zeros(n, np.bool_) if a.stale is None else a.stale for a, n in zip(answers, sizes, strict=True)]
    return Answer(
        first.query,
        tuple(pin for answer in answers for pin in answer.pin_ids),
        pin_rows.concatenate([answer.pins for answer in answers]),
        np.concatenate([answer.rates for answer in answers]),
        np.concatenate([answer.has_rates for answer in answers]),
        np.concatenate([answer.probabilities for answer in answers]),
        tuple(dict.fromkeys(name for answer in answers for name in answer.lost)),
        np.concatenate(stale),
        reduce(Work.then, (answer.work for answer in answers)),
        tuple(Part(begin, end, a.lost) for (begin, end), a in zip(ends, answers, strict=True)),
    )
