"""Which language each logged query is in: as the log says most often, else as the query and its neighbours suggest.

A query is too short for an identifier that takes every language for as likely as any other: it hears Estonian in "glass
vase". But the queries of one log share a few languages, so the identifier's probabilities are read with the log's own
shares of the languages as their prior (`shares`), found by expectation and maximisation after Saerens, Latinne and
Decaestecker ("Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14, 2002). The
queries whose language the log gives are counted as known.

What is said follows from the queries of one window alone, so that a snapshot computed again says the same.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from enrich.language import LANGUAGES, MIN_PROBABILITY, probabilities
from enrich.language import PRODUCER as IDENTIFIER

MIN_POSTERIOR = 0.5  # more likely than all other languages together
PRODUCER = f"{IDENTIFIER.removesuffix(f', p >= {MIN_PROBABILITY}')}, shares of the log, p >= {MIN_POSTERIOR}"
_PSEUDO_QUERIES = 5.0  # spread over all languages, so that a few queries rule none out
_MOST_COUNTED = 20_000  # queries, evenly spaced, of which the shares are found
_MOST_ROUNDS = 100
_SETTLED = 1e-5  # change of the largest share at which the rounds end

Probabilities = NDArray[np.float32]


class QueryLanguages:
    """Languages of the queries of one window after another; what was read of a text is kept."""

    def __init__(self) -> None:
        self._read: dict[str, Probabilities] = {}

    def of(self, given: pl.DataFrame, queries: list[str]) -> pl.Series:
        """The language of each query, in order; null where nothing tells. `given`: query, lang and how often, n."""
        counted = given.sort(["query", "n", "lang"], descending=[False, True, False])
        most = dict(counted.unique("query", keep="first").select("query", "lang").iter_rows())
        spoken = Counter(most[query].lower().split("-")[0] for query in queries if query in most)
        known = np.array([spoken[language] for language in LANGUAGES], dtype=np.float64)
        guessed = self._guessed([query for query in queries if query not in most], known)
        return pl.Series([most.get(query) or guessed.get(query) for query in queries], dtype=pl.String)

    def _guessed(self, silent: list[str], known: NDArray[np.float64]) -> dict[str, str]:
        """The language of those of `silent` that one can be told of; `known` [languages] counts the other queries'."""
        new = [query for query in silent if query not in self._read]
        self._read.update(zip(new, probabilities(new), strict=True))
        telling = [query for query in silent if self._read[query].any()]
        if not telling:
            return {}
        read = np.stack([self._read[query] for query in telling])
        every = -(-len(read) // _MOST_COUNTED)
        weighed = read * shares(read[::every], known / every)
        weighed /= weighed.sum(axis=1, keepdims=True)
        best = weighed.argmax(axis=1)
        sure = weighed[np.arange(len(best)), best] >= MIN_POSTERIOR
        return {query: LANGUAGES[place] for query, place, is_sure in zip(telling, best, sure, strict=True) if is_sure}


def shares(read: Probabilities, known: NDArray[np.float64]) -> NDArray[np.float64]:
    """[languages], sum 1: how much of a log is in each, of `read` [queries, languages] and of the counts `known`."""
    base = known + _PSEUDO_QUERIES / len(known)
    found = np.full(len(known), 1 / len(known))
    for _ in range(_MOST_ROUNDS):
        weighed = read * found
        told = base + (weighed / weighed.sum(axis=1, keepdims=True)).sum(axis=0)
        last, found = found, told / told.sum()
        if np.abs(found - last).max() < _SETTLED:
            break
    return found
