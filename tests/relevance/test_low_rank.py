"""Fewer directions: nothing lost where the vectors have no more, the least that can be where they have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import numpy as np
import polars as pl
import pytest
import torch

from enrich.errors import BadInput
from relevance.features import INTERESTS_A_QUERY, PAIR_FEATURES, QUERY_FEATURES, Dimensions, Features
from relevance.learning.inputs import student_inputs
from relevance.learning.low_rank import low_rank
from relevance.learning.network import Inputs, NetworkSettings, Size, StudentNetwork
from relevance.learning.packed import Packed
from relevance.learning.training import train_student
from relevance.student import Student, StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame

SETTINGS = NetworkSettings(Size.S)  # 64 hidden, 16 directions
DIMENSIONS = Dimensions(query=40, text=40, visual=24, graph=0)


class Rows:
    """Stands for `Packed`: training rows in memory."""

    def __init__(self, features: Features) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def forget(self) -> None:
        pass

    def choose(self, rows: np.ndarray) -> Rows:
        columns = {
            name: getattr(self.features, name)[rows] for name in ("query_of", "text", "visual", "graph", "numbers")
        }
        return Rows(replace(self.features, **columns))


def rows(directions: int, n: int = 300) -> Rows:
    """Vectors of unit length in a space of so many dimensions; one query."""
    random = np.random.default_rng(directions)

    def vectors(size: int) -> np.ndarray:
        found = random.standard_normal((n, directions)) @ random.standard_normal((directions, size))
        return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    return Rows(
        Features(
            query_vector=vectors(DIMENSIONS.query)[:1],
            query_numbers=random.random((1, len(QUERY_FEATURES))).astype(np.float32),
            interests=np.zeros((1, INTERESTS_A_QUERY), np.int64),
            query_of=np.zeros(n, np.int64),
            text=vectors(DIMENSIONS.text),
            visual=vectors(DIMENSIONS.visual),
            graph=vectors(DIMENSIONS.graph),
            numbers=random.random((n, len(PAIR_FEATURES))).astype(np.float32),
        )
    )


def whole() -> StudentNetwork:
    torch.manual_seed(1)
    network = StudentNetwork(replace(SETTINGS, low_rank=False), DIMENSIONS, 3)
    with torch.no_grad():
        for weight in network.pin_vectors.parameters():  # as a trained one's, not the small ones of the start
            weight[-network.own :] *= 10
    return network.eval()


def narrowed(network: StudentNetwork, seen: Rows) -> StudentNetwork:
    return low_rank(network, StudentNetwork(SETTINGS, DIMENSIONS, 3), cast(Packed, seen))


@torch.inference_mode()
def logits(network: StudentNetwork, seen: Rows) -> torch.Tensor:
    return network(Inputs.of(seen.features))


def test_vectors_of_no_more_directions_are_answered_as_before():
    seen, network = rows(directions=16), whole()
    assert torch.allclose(logits(narrowed(network, seen), seen), logits(network, seen), atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), [(0, "text"), (1, "visual")])
def test_of_more_directions_the_leading_ones_are_kept(kind, name):
    """What is lost of a vector's part is the sum of the eigenvalues left out (Eckart and Young 1936)."""
    seen, network = rows(directions=24), whole()
    made = narrowed(network, seen)
    vectors = torch.from_numpy(getattr(seen.features, name)).double()
    added = vectors @ network.pin_vectors[kind].weight[-network.own :].detach().double().T
    up = made.pin_hidden.weight.detach().double()[:, kind * made.own : (kind + 1) * made.own]
    down = made.pin_vectors[kind].weight.detach().double()[-made.own :]
    lost = ((added - vectors @ down.T @ up.T) ** 2).sum()
    eigenvalues = torch.linalg.eigvalsh(added.T @ added)  # ascending
    assert lost == pytest.approx(float(eigenvalues[: -made.own].sum()), rel=1e-4) and lost > 0


def test_weights_that_diverged_are_one_line():
    seen, network = rows(directions=24), whole()
    with torch.no_grad():
        network.pin_vectors[0].weight[-1] = float("nan")
    with pytest.raises(BadInput, match="diverged; lower its learning rate"):
        narrowed(network, seen)


def test_one_query_and_many_are_answered_alike():
    seen = rows(directions=24)
    made = narrowed(whole(), seen)
    with torch.inference_mode():
        one = made.one_query(Inputs.of(seen.features))
    assert torch.allclose(one, logits(made, seen), atol=1e-5)


def with_pictures(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Each pin with a vector of more entries than the student has directions, and of an odd number."""
    vectors = np.random.default_rng(seed).standard_normal((frame.height, 33)).tolist()
    return frame.with_columns(pl.Series("pin_visual_embedding__visual_embedding", vectors, pl.List(pl.Float32)))


def test_a_trained_student_answers_nearly_as_one_of_every_direction(tmp_path):
    rows_, dev = with_pictures(labelled_frame(20, 20, 1), 1), with_pictures(labelled_frame(3, 12, 2), 2)
    few, every = (
        train_student(
            rows_,
            dev,
            StudentSettings(network=NetworkSettings(Size.S, low_rank=narrow), epochs=8, batch_size=64),
            tmp_path / str(narrow),
            WordEncoder(),
        )
        for narrow in (True, False)
    )
    assert few.record.dimensions == every.record.dimensions == Dimensions(8, 8, 33, 0)
    assert few.network.pin_vectors[1].weight.shape == (4 * 16 + 16, 33)
    asked = student_inputs(with_pictures(labelled_frame(4, 12, 3), 3), WordEncoder())
    loaded = Student.load(tmp_path / "True")
    apart = loaded.predict(asked.features(loaded.statistics)) - every.predict(asked.features(every.statistics))
    assert 0 < np.abs(apart).max() < 0.05 and loaded.record.dev_loss == pytest.approx(every.record.dev_loss, abs=0.02)


def test_a_student_saved_before_there_was_a_rank_has_every_direction(tmp_path):
    settings = StudentSettings(network=NetworkSettings(Size.S, low_rank=False), epochs=1, batch_size=64)
    made = train_student(labelled_frame(3, 5, 1), labelled_frame(2, 5, 2), settings, tmp_path, WordEncoder())
    record = json.loads((tmp_path / "student.json").read_text())
    del record["settings"]["network"]["low_rank"]
    (tmp_path / "student.json").write_text(json.dumps(record))
    asked = student_inputs(labelled_frame(4, 5, 3), WordEncoder()).features(made.statistics)
    assert np.array_equal(Student.load(tmp_path).predict(asked), made.predict(asked))
