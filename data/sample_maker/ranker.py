"""The sample catalogue's legacy ranker: what a search showed, and what people then did.

The ranker matches words of title, description and board titles, adds popularity and what it half knows of the truth
from clicks long past; it is mediocre on purpose. People look at a result less the lower it stands (examination falls as
1 / rank^0.7), click what they look at by how relevant and how popular it is, and sometimes for no reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from data.sample_maker.chance import Floats, Rng
from data.sample_maker.pins import Pin
from data.sample_maker.relevance import true_level
from enrich.normalise import terms

EXAMINATION_DECAY = 0.7
# by level 1..5: the chance of each event, given that the result was looked at (long click: given the click too)
CLICK = np.array([0.04, 0.08, 0.22, 0.46, 0.64])
LONG_CLICK = np.array([0.08, 0.15, 0.35, 0.58, 0.70])
SAVE = np.array([0.004, 0.01, 0.04, 0.13, 0.22])
HIDE = np.array([0.05, 0.03, 0.012, 0.004, 0.002])

_TEXT_WEIGHT, _POPULARITY_WEIGHT, _MEMORY_WEIGHT, _TONGUE_WEIGHT = 2.2, 2.5, 0.85, 0.5
_MEMORY_NOISE = 1.0  # levels


def text_match(queries: Sequence[str], documents: Sequence[str]) -> Floats:
    """Cosine of tf-idf weighted terms, [queries, documents]."""
    vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True)
    weights = vectorizer.fit_transform(documents)
    matched: Floats = np.asarray((vectorizer.transform(queries) @ weights.T).todense())
    return matched


def legacy_scores(
    rng: Rng, matched: Floats, relevance: Floats, pins: Sequence[Pin], query_langs: Sequence[str]
) -> Floats:
    """The legacy ranker's score of every query (row) and pin (column)."""
    popularity = np.log1p([pin.popularity for pin in pins])
    same_tongue = np.array([[lang == pin.lang for pin in pins] for lang in query_langs])
    memory = relevance + rng.normal(0, _MEMORY_NOISE, relevance.shape)
    return (
        _TEXT_WEIGHT * matched
        + _POPULARITY_WEIGHT * popularity[None, :]
        + _MEMORY_WEIGHT * memory
        + _TONGUE_WEIGHT * same_tongue
    )


def appeal(pins: Sequence[Pin]) -> Floats:
    """How much each pin's looks and fame raise or lower its clicks: 0.6..1.3."""
    ranks = np.argsort(np.argsort([pin.popularity + pin.quality for pin in pins]))
    return 0.6 + 0.7 * ranks / max(1, len(pins) - 1)


def examined(rng: Rng, depth: int) -> NDArray[np.bool_]:
    """Whether each of the first `depth` results is looked at."""
    return rng.random(depth) < np.arange(1, depth + 1.0) ** -EXAMINATION_DECAY


class Reactions(NamedTuple):
    """Which of the results shown, in their order, got each event: bool [results] each."""

    click: NDArray[np.bool_]
    long_click: NDArray[np.bool_]
    save: NDArray[np.bool_]
    hide: NDArray[np.bool_]


def reactions(rng: Rng, relevance: Floats, charm: Floats) -> Reactions:
    """What a user does with results of this relevance (levels) and charm (`appeal`), in the order shown."""
    index = true_level(relevance) - 1
    seen = examined(rng, len(index))
    click = seen & (rng.random(len(index)) < np.minimum(CLICK[index] * charm, 0.95))
    return Reactions(
        click,
        long_click=click & (rng.random(len(index)) < LONG_CLICK[index]),
        save=seen & (rng.random(len(index)) < SAVE[index] * charm),
        hide=seen & ~click & (rng.random(len(index)) < HIDE[index]),
    )
