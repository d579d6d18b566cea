"""Rows of a PinBatch: taking some, and leaving inputs out as if their enrichment had not been made.

Pure functions on the records of `enrich/pin_payload.py`, used where pins are grouped by query and where a model must
learn, or a report must show, what a missing input costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enrich.pin_payload import TEXT_FIELDS, VECTORS, PinBatch
from enrich.term_ids import Terms, without_rows

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

INPUTS = (*TEXT_FIELDS, *VECTORS, "engagement", "pair")  # what may be absent; "pair" is the query's own rates of a pin
PIN_INPUTS = INPUTS[:-1]
_IN_TRIGRAMS = [TEXT_FIELDS.index(field) for field in ("title", "description", "caption")]


def take(pins: PinBatch, rows: Ints) -> PinBatch:
    """The pins at `rows`, in that order."""
    return PinBatch(
        present=pins.present[rows],
        corrupt=pins.corrupt[rows],
        text_embedding=pins.text_embedding[rows],
        visual_embedding=pins.visual_embedding[rows],
        graph_embedding=pins.graph_embedding[rows],
        has_text_embedding=pins.has_text_embedding[rows],
        has_visual_embedding=pins.has_visual_embedding[rows],
        has_graph_embedding=pins.has_graph_embedding[rows],
        engagement=pins.engagement[rows],
        has_engagement=pins.has_engagement[rows],
        terms=tuple(_take_terms(terms, rows) for terms in pins.terms),
        lengths=pins.lengths[rows],
        trigrams=_take_terms(pins.trigrams, rows),
        langs=pins.langs[rows],
        created_us=pins.created_us[rows],
    )


def concatenate(batches: Sequence[PinBatch]) -> PinBatch:
    """The pins of all batches (one or more, whose vectors agree in length), in order."""
    if len(batches) == 1:
        return batches[0]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    return PinBatch(
        present=joined("present"),
        corrupt=joined("corrupt"),
        text_embedding=joined("text_embedding"),
        visual_embedding=joined("visual_embedding"),
        graph_embedding=joined("graph_embedding"),
        has_text_embedding=joined("has_text_embedding"),
        has_visual_embedding=joined("has_visual_embedding"),
        has_graph_embedding=joined("has_graph_embedding"),
        engagement=joined("engagement"),
        has_engagement=joined("has_engagement"),
        terms=tuple(map(_joined_terms, zip(*(batch.terms for batch in batches), strict=True))),
        lengths=joined("lengths"),
        trigrams=_joined_terms([batch.trigrams for batch in batches]),
        langs=joined("langs"),
        created_us=joined("created_us"),
    )


def absent_inputs(pins: PinBatch) -> Bools:
    """Which of PIN_INPUTS each pin lacks; [n, len(PIN_INPUTS)]."""
    vectors = [pins.has_text_embedding, pins.has_visual_embedding, pins.has_graph_embedding, pins.has_engagement]
    return np.column_stack([pins.lengths == 0, ~np.column_stack(vectors)])


def without(pins: PinBatch, dropped: Bools) -> PinBatch:
    """The pins without the inputs that `dropped` [n, len(PIN_INPUTS)] marks.

    Trigrams, which title, description and caption share, go when none of the three is left.
    """
    fields, has = dropped[:, : len(TEXT_FIELDS)], ~dropped[:, len(TEXT_FIELDS) :]
    lengths = np.where(fields, 0, pins.lengths).astype(np.float32)
    bare = (lengths[:, _IN_TRIGRAMS] == 0).all(axis=1)
    return replace(
        pins,
        text_embedding=pins.text_embedding * has[:, 0:1],
        visual_embedding=pins.visual_embedding * has[:, 1:2],
        graph_embedding=pins.graph_embedding * has[:, 2:3],
        has_text_embedding=pins.has_text_embedding & has[:, 0],
        has_visual_embedding=pins.has_visual_embedding & has[:, 1],
        has_graph_embedding=pins.has_graph_embedding & has[:, 2],
        engagement=pins.engagement * has[:, 3:4],
        has_engagement=pins.has_engagement & has[:, 3],
        terms=tuple(without_rows(terms, fields[:, i]) for i, terms in enumerate(pins.terms)),
        lengths=lengths,
        trigrams=without_rows(pins.trigrams, bare),
    )


def _joined_terms(parts: Sequence[Terms]) -> Terms:
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    ids, counts = np.concatenate([part.ids for part in parts]), np.concatenate([part.counts for part in parts])
    return Terms(np.concatenate([*offsets, starts[-1:]]), ids, counts)


def _take_terms(terms: Terms, rows: Ints) -> Terms:
    sizes = np.diff(terms.offsets)[rows]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at = np.repeat(terms.offsets[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])
    return Terms(offsets, terms.ids[at], terms.counts[at])
