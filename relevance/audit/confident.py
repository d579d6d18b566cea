"""Which labels are suspect: confident learning (Northcutt, Jiang & Chuang 2021, arXiv 1911.00068).

Pure; `relevance audit` asks how sure a doubt is, `relevance experiment noise` prunes by noise rate. A row is counted as
truly of level j where its out-of-sample probability of j is at least the mean of those labelled j (and j is the
likeliest such level). Given × true counts, scaled to the labels' own counts, estimate how many rows of level i are
truly j; so many of them, those whose probability of j exceeds that of i most, are suspects.
"""

from __future__ import annotations

import numpy as np

from enrich.tables import LEVELS
from relevance.metrics import Floats, Ints


def confident_joint(levels: Ints, probabilities: Floats) -> Floats:
    """Rows of given level i + 1 that are truly of j + 1, estimated; float64 [5, 5], rows sum to the labels' counts."""
    given, k = levels - 1, len(LEVELS)
    counts = np.bincount(given, minlength=k).astype(np.float64)
    passing = _passing(levels, probabilities)
    sure = passing.max(axis=1) >= 0
    joint = np.zeros((k, k))
    np.add.at(joint, (given[sure], passing[sure].argmax(axis=1)), 1)
    totals = joint.sum(axis=1, keepdims=True)
    return np.where(totals > 0, joint / np.maximum(totals, 1), np.eye(k)) * counts[:, None]


def suspects(levels: Ints, probabilities: Floats) -> tuple[np.ndarray, Ints]:
    """Which rows' labels are suspect, bool [n], and of each the level that it more likely has, int [n]."""
    joint = np.floor(confident_joint(levels, probabilities) + 0.5).astype(np.int64)
    suspect = np.zeros(len(levels), np.bool_)
    better = levels.astype(np.int64).copy()
    gain = np.zeros(len(levels))
    for given in LEVELS:
        rows = np.flatnonzero(levels == given)
        for true in LEVELS:
            count = min(int(joint[given - 1, true - 1]), len(rows))
            if true == given or count < 1:
                continue
            margin = probabilities[rows, true - 1] - probabilities[rows, given - 1]
            for row, by in zip(rows[np.argsort(-margin, kind="stable")][:count], np.sort(-margin)[:count], strict=True):
                if -by > gain[row]:
                    suspect[row], better[row], gain[row] = True, true, -by
    return suspect, better


def doubts(levels: Ints, probabilities: Floats) -> Floats:
    """How sure held-out probabilities [n, 5] are that a level [n] is wrong; 0: not sure.

    The doubt is the lead of the likeliest level that passes its threshold.
    """
    if not len(levels):
        return np.zeros(0)
    passing, rows = _passing(levels, probabilities), np.arange(len(levels))
    claimed = passing.argmax(axis=1)
    lead = probabilities[rows, claimed] - probabilities[rows, levels - 1]
    return np.where((passing[rows, claimed] > 0) & (lead > 0), lead, 0.0)


def _passing(levels: Ints, probabilities: Floats) -> Floats:
    """Probabilities [n, 5] that reach the mean of those labelled so, -1 in place of others.

    The mean makes up for a model that is too sure of some levels; a level that nobody gave is nobody's.
    """
    given, k = levels - 1, len(LEVELS)
    counts = np.bincount(given, minlength=k)
    sums = np.bincount(given, weights=probabilities[np.arange(len(given)), given], minlength=k)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    return np.where(probabilities >= thresholds, probabilities, -1.0)
