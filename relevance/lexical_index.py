"""BM25 over a catalogue's texts, in which a query of one sign of a script without spaces finds the texts that hold it.

A bm25s index over the texts' `terms`, with a column more for each of their `signs`. bm25s takes the number of tokens
for a text's length, which signs must not raise, so these columns are computed here by the same formula. candidates.py
searches, saves and loads what comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import bm25s
import numpy as np

from enrich.normalise import signs, terms
from relevance.baselines.bm25 import K1, B


def lexical_index(texts: Sequence[str]) -> bm25s.BM25 | None:
    """Over the texts in their order; None where none has a term."""
    found, beside = [terms(text) for text in texts], [signs(text) for text in texts]
    if not any(found):
        return None
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index(found, show_progress=False)
    if any(beside):
        _add_signs(index, found, beside)
    return index


def _add_signs(index: bm25s.BM25, found: list[list[str]], beside: list[list[str]]) -> None:
    """A column for each sign, of where it stands within runs and alone; one of the latter only is not read any more."""
    column_of = {sign: column for column, sign in enumerate(dict.fromkeys(chain.from_iterable(beside)))}
    counted = [
        Counter(term for term in chain(some, more) if term in column_of)
        for some, more in zip(found, beside, strict=True)
    ]
    lengths = np.fromiter(map(len, found), np.float64, len(found))
    texts = np.repeat(np.arange(len(found)), np.fromiter(map(len, counted), np.int64, len(found)))
    columns = np.fromiter(map(column_of.__getitem__, chain.from_iterable(counted)), np.int64, len(texts))
    counts = np.fromiter(chain.from_iterable(one.values() for one in counted), np.float64, len(texts))
    having = np.bincount(columns)
    rarity = np.log1p((len(found) - having + 0.5) / (having + 0.5))
    damping = K1 * (1 - B + B * lengths / lengths.mean())
    values, order = rarity[columns] * counts / (counts + damping[texts]), np.argsort(columns, kind="stable")
    whole = index.scores
    for name, added in (("data", values[order]), ("indices", texts[order])):
        whole[name] = np.concatenate([whole[name], added.astype(whole[name].dtype)])
    starts = whole["indptr"]
    whole["indptr"] = np.concatenate([starts, (starts[-1] + np.cumsum(having)).astype(starts.dtype)])
    index.vocab_dict.pop("", None)  # bm25s' token of empty texts, at the place of the first column added
    index.vocab_dict.update({sign: len(starts) - 1 + column for sign, column in column_of.items()})
