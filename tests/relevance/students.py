"""Tiny catalogues for the student's tests: what a pin is decides its level, texts say it, vectors hint at it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from relevance.serving.lookup import Pins, Presence, StoreUnavailable

THINGS = ("chair", "table", "lamp", "cake", "dress", "garden")
COLOURS = ("blue", "red", "green", "white")
DIMENSION = 8
AT = datetime(2025, 6, 1, tzinfo=UTC)


class WordEncoder:
    """Texts to unit vectors: the sum of a fixed random vector a word."""

    dimension = DIMENSION
    producer = "words@test"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [sum((_word(word) for word in text.split()), np.zeros(DIMENSION)) for text in texts]
        vectors = np.array(rows).reshape(len(texts), DIMENSION)
        return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


class MemoryStore:
    """Payloads in dictionaries; `down` makes every read fail as a lost store does."""

    def __init__(self, pins: dict[str, bytes], queries: dict[str, bytes]) -> None:
        self.held_pins, self.held_queries, self.down = pins, queries, False

    def read_pins(self, pin_ids: Sequence[str]) -> Pins:
        self._check()
        payloads = [self.held_pins.get(pin) for pin in pin_ids]
        return Pins(payloads, [Presence.FOUND if payload else Presence.MISSING for payload in payloads])

    def query(self, query: str) -> bytes | None:
        self._check()
        return self.held_queries.get(query)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("down")


def _word(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSION)


def labelled_frame(queries: int, pins: int, seed: int, source: str = "human") -> pl.DataFrame:
    """A student_v1 training frame: `pins` pins for each of `queries` queries "COLOUR THING".

    Level 5 where both words fit, 3 where the thing does, 2 where the colour does, else 1.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(queries):
        want_colour, want_thing = COLOURS[rng.integers(len(COLOURS))], THINGS[rng.integers(len(THINGS))]
        for p in range(pins):
            colour = want_colour if rng.random() < 0.5 else COLOURS[rng.integers(len(COLOURS))]
            thing = want_thing if rng.random() < 0.5 else THINGS[rng.integers(len(THINGS))]
            level = {(1, 1): 5, (0, 1): 3, (1, 0): 2, (0, 0): 1}[(colour == want_colour, thing == want_thing)]
            rows.append(_row(f"{want_colour} {want_thing}", f"{seed}.{q}.{p}", colour, thing, level, source, rng))
    frame = pl.DataFrame(rows)
    vectors = WordEncoder().encode([f"{row['colour']} {row['thing']}" for row in rows])
    return frame.drop("colour", "thing").with_columns(
        pl.Series("pin_text_embedding__text_embedding", vectors.tolist(), pl.List(pl.Float32)),
        pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")),
        pl.col("level").cast(pl.Int64),
        pl.col("votes").cast(pl.List(pl.Int64)),
        pl.col("probabilities").cast(pl.List(pl.Float32)),
    )


def _row(query: str, pin: str, colour: str, thing: str, level: int, source: str, rng: np.random.Generator):
    human = source == "human"
    return {
        "query": query,
        "pin_id": pin,
        "event_timestamp": AT,
        "lang": "en",
        "level": level if human else None,
        "votes": [level, level, min(5, level + 1)] if human else None,
        "probabilities": None if human else [0.9 if k == level else 0.025 for k in range(1, 6)],
        "label_source": source,
        "pin_text__title": f"{colour} {thing}" if rng.random() < 0.7 else None,
        "pin_text__lang": "en",
        "pin_caption__caption": f"a {colour} {thing}",
        "pin_boards__board_titles": [f"{thing} ideas"],
        "pin_engagement__impressions_365d": int(rng.integers(0, 50)),
        "query_features__query_embedding": None,
        "query_features__interests": ["home"] if query.split()[1] in ("chair", "table", "lamp") else None,
        "query_features__shopping_intent": None,
        "query_features__lang": "en",
        "query_features__frequency": 3,
        "colour": colour,
        "thing": thing,
    }
