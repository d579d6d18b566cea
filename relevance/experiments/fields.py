"""A text field taken out of rows, for teacher and student alike, and what each field costs.

Pure functions on student_v1 frames, but for the encoder that embeds what is left of a pin's content anew: a pin without
its title has another text vector too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from transformers import AutoTokenizer

from enrich.embeddings import join_texts
from enrich.pin_packing import pack_pins
from enrich.text_encoder import TextEncoder
from relevance.bi_encoder import TextVectors
from relevance.learning.inputs import pin_columns, rounded
from relevance.teaching.field_dropout import without
from relevance.text import DEFAULT_FIELDS, PairText, Renderer, TextSettings, pin_texts_from_frame
from relevance.text_fields import CONTENT, Field, frame_columns

ALL_FIELDS = tuple(budget.field for budget in DEFAULT_FIELDS)  # in the order in which they are read
VECTOR = "pin_text_embedding__text_embedding"
_CONTENT = [name for field in CONTENT for name in frame_columns(field)]


class FieldCost(NamedTuple):
    """What one field costs, a pin, on average over pairs."""

    tokens: float  # of those that the teacher reads
    payload_bytes: float  # of those that the online store keeps
    coverage: float  # share of the pairs whose pin has it


def present(frame: pl.DataFrame, fields: Sequence[Field]) -> list[Field]:
    """Those of `fields` that any row has."""
    pins = pin_texts_from_frame(frame)
    return [field for field in fields if any(pin.of(field) for pin in pins)]


def without_fields(frame: pl.DataFrame, fields: Collection[Field], vectors: TextVectors | None) -> pl.DataFrame:
    """The rows as if no pin had these fields: texts null and, with `vectors`, the text vector made of what is left."""
    gone = [name for field in fields for name in frame_columns(field) if name in frame.columns]
    left = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name) for name in gone)
    return embedded_anew(left, vectors) if vectors is not None and set(gone) & set(_CONTENT) else left


def embedded_anew(frame: pl.DataFrame, vectors: TextVectors) -> pl.DataFrame:
    """The rows with the text vector of their content as it is now; none where there is no content, or was no vector."""
    if VECTOR not in frame.columns:
        return frame
    columns = [frame[name].to_list() for name in _CONTENT if name in frame.columns]
    texts = [join_texts(row) for row in zip(*columns, strict=True)] if columns else [""] * frame.height
    found = rounded(vectors(texts))
    had = frame[VECTOR].is_not_null().to_list()
    made = [row if text and was else None for row, text, was in zip(found.tolist(), texts, had, strict=True)]
    return frame.with_columns(pl.Series(VECTOR, made, frame.schema[VECTOR]))


def vectors_of(encoder: object) -> TextVectors:
    """Of an encoder, each text embedded once."""
    chosen: TextEncoder = encoder  # type: ignore[assignment]  # whatever has encode and dimension
    return TextVectors(chosen)


def renderer_of(model: Path, text: TextSettings) -> Renderer:
    """What turns pairs into the tokens that the teacher in the folder `model` reads."""
    return Renderer(AutoTokenizer.from_pretrained(model, trust_remote_code=False), text)


def costs(frame: pl.DataFrame, fields: Sequence[Field], renderer: Renderer) -> dict[Field, FieldCost]:
    """Of each field, by what the rows would be without it."""
    pins, queries = pin_texts_from_frame(frame), frame["query"].to_list()
    payload = _payload_bytes(frame)

    def tokens(left_out: Collection[Field]) -> float:
        pairs = [PairText(query, without(pin, left_out)) for query, pin in zip(queries, pins, strict=True)]
        return float(np.mean([len(one.ids) for one in renderer.render(pairs)]))

    whole = tokens(())
    found = {}
    for field in fields:
        names = [name for name in frame_columns(field) if name in frame.columns]
        bare = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name) for name in names)
        share = float(np.mean([bool(pin.of(field)) for pin in pins]))
        found[field] = FieldCost(whole - tokens((field,)), payload - _payload_bytes(bare), share)
    return found


def _payload_bytes(frame: pl.DataFrame) -> float:
    return float(np.mean([len(payload) for payload in pack_pins(pin_columns(frame))]))
