"""Scoring the straightforward way, and by a cross-encoder: what `benchmarks.scoring` measures the scorer against.

`PlainScorer` is what Feast's documentation leads to: `get_online_features(...).to_dict()` over the typed views, a
pandas frame of features (cosines, words matched a field, counts and rates, missing flags), and a forward pass of the
same network. `CrossEncoder` is MiniLM-L6 as sentence-transformers runs it: pairs sorted by length, batches of 32 padded
to their longest, float32; its weights are random, which costs the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from feast import FeatureStore
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from enrich.pin_payload import ENGAGEMENT_COLUMNS
from enrich.text_encoder import default_model_path
from relevance.features import PAIR_FEATURES, QUERY_FEATURES
from relevance.learning.network import Inputs
from relevance.student import Student

TEXTS = {
    "title": "pin_text:title",
    "description": "pin_text:description",
    "caption": "pin_caption:caption",
    "link_title": "pin_link:link_title",
    "link_description": "pin_link:link_description",
    "board_titles": "pin_boards:board_titles",
    "engaged_queries": "pin_queries:engaged_queries",
}
VECTORS = ("pin_text_embedding:text_embedding", "pin_visual_embedding:visual_embedding", "pin_graph:graph_embedding")
ENGAGEMENT = tuple(f"pin_engagement:{name}" for name in ENGAGEMENT_COLUMNS)
VIEWS = sorted({name.split(":")[0] for name in (*TEXTS.values(), *VECTORS, *ENGAGEMENT)})


class PlainScorer:
    """Levels of pins for a query."""

    def __init__(self, store: FeatureStore, student: Student) -> None:
        self._store, self._student = store, student

    def score(self, query: str, vector: np.ndarray, pin_ids: Sequence[str]) -> np.ndarray:
        """Expected levels [n]; `vector` is the query's."""
        wanted = [*TEXTS.values(), *VECTORS, *ENGAGEMENT]
        found = self._store.get_online_features(wanted, [{"pin_id": pin} for pin in pin_ids]).to_dict()
        frame = pd.DataFrame({name: found[name] for name in found if name != "pin_id"})
        vectors = [_stacked(frame[name.split(":")[1]]) for name in VECTORS]
        numbers = self._numbers(frame, vectors, vector, set(query.split()))
        with torch.inference_mode():
            logits = self._student.network(self._inputs(vector, vectors, numbers))
        levels: np.ndarray = torch.softmax(logits, 1).numpy() @ np.arange(1, 6)
        return levels

    def _numbers(
        self, frame: pd.DataFrame, vectors: list[np.ndarray], query: np.ndarray, words: set[str]
    ) -> np.ndarray:
        columns = {}
        for field in TEXTS:
            texts = frame[field].map(_as_text)
            columns[f"matched {field}"] = texts.map(lambda text: len(words & set(text.split())) / len(words))
            columns[f"length {field}"] = np.log1p(texts.str.split().str.len())
            columns[f"missing {field}"] = texts == ""
        for i, pins in enumerate(vectors):
            columns[f"cosine {i}"] = pins @ query
        for name in ENGAGEMENT_COLUMNS:
            column = frame[name].fillna(0).astype(np.float32)
            columns[name] = column if "_rate_" in name else np.log1p(column)
        made = pd.DataFrame(columns).to_numpy(np.float32)
        numbers = np.zeros((len(frame), len(PAIR_FEATURES)), np.float32)
        numbers[:, : made.shape[1]] = made[:, : numbers.shape[1]]
        return numbers

    def _inputs(self, query: np.ndarray, vectors: list[np.ndarray], numbers: np.ndarray) -> Inputs:
        text, visual, graph = map(torch.from_numpy, vectors)
        return Inputs(
            query_vector=torch.from_numpy(query[None]),
            query_numbers=torch.zeros(1, len(QUERY_FEATURES)),
            interests=torch.zeros(1, 3, dtype=torch.int64),
            query_of=torch.zeros(len(numbers), dtype=torch.int64),
            text=text,
            visual=visual,
            graph=graph,
            numbers=torch.from_numpy(numbers),
        )


class CrossEncoder:
    """MiniLM-L6 over a query and a pin's whole text."""

    def __init__(self) -> None:
        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=1
        )
        self._tokenizer = AutoTokenizer.from_pretrained(default_model_path())
        self._model = BertForSequenceClassification(config).eval()

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """[n]."""
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        scores = np.zeros(len(texts), np.float32)
        for first in range(0, len(order), 32):
            some = order[first : first + 32]
            batch = self._tokenizer(
                [query] * len(some),
                [texts[i] for i in some],
                truncation=True,
                max_length=512,
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                scores[some] = self._model(**batch).logits[:, 0].numpy()
        return scores


def whole_texts(store: FeatureStore, pin_ids: Sequence[str]) -> list[str]:
    """All that each pin says, as the cross-encoder reads it."""
    found = store.get_online_features(list(TEXTS.values()), [{"pin_id": pin} for pin in pin_ids]).to_dict()
    rows = zip(*(found[field] for field in TEXTS), strict=True)
    return [" ".join(filter(None, map(_as_text, row))) for row in rows]


def _as_text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _stacked(column: pd.Series) -> np.ndarray:
    return np.array(column.to_list(), np.float32)
