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

from enrich.pin_payload import TEXT_FIELDS, TEXTS_A_PIN, VECTORS, PinBatch
from enrich.term_ids import joined as joined_texts
from enrich.term_ids import taken, without_rows

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
        texts=taken(pins.texts, (rows[:, None] * TEXTS_A_PIN + np.arange(TEXTS_A_PIN)).reshape(-1)),
        lengths=pins.lengths[rows],
        langs=pins.langs[rows],
        keys=pins.keys[rows],
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
        texts=joined_texts([batch.texts for batch in batches]),
        lengths=joined("lengths"),
        langs=joined("langs"),
        keys=joined("keys"),
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
        texts=without_rows(pins.texts, np.column_stack([fields, bare]).reshape(-1)),
        lengths=lengths,
    )
