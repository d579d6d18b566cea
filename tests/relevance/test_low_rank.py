"""Fewer directions: nothing lost where the vectors have no more, the least that can be where they have."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

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
    network = StudentNetwork(SETTINGS, DIMENSIONS, 3, in_training=True)
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


def test_of_more_directions_the_leading_ones_are_kept():
    """What is lost of a vector's part is the sum of the eigenvalues left out (Eckart and Young 1936)."""
    seen, network = rows(directions=24), whole()
    made = narrowed(network, seen)
    text = torch.from_numpy(seen.features.text).double()
    added = text @ network.pin_vectors[0].weight[-network.own :].detach().double().T
    up, down = made.pin_hidden.weight[:, : made.own].detach().double(), made.pin_vectors[0].weight[-made.own :]
    lost = ((added - text @ down.detach().double().T @ up.T) ** 2).sum()
    eigenvalues = torch.linalg.eigvalsh(added.T @ added)  # ascending
    assert lost == pytest.approx(float(eigenvalues[: -made.own].sum()), rel=1e-4) and lost > 0


def test_one_query_and_many_are_answered_alike():
    seen = rows(directions=24)
    made = narrowed(whole(), seen)
    with torch.inference_mode():
        one = made.one_query(Inputs.of(seen.features))
    assert torch.allclose(one, logits(made, seen), atol=1e-5)


@pytest.mark.parametrize("size", list(Size))
def test_a_trained_student_is_left_with_a_quarter_of_them(size, tmp_path):
    rows_, dev = labelled_frame(8, 12, 1), labelled_frame(3, 12, 2)
    settings = StudentSettings(network=NetworkSettings(size), epochs=3, batch_size=64)
    every = replace(settings, network=NetworkSettings(size, low_rank=False))
    few, all_of_them = (
        train_student(rows_, dev, chosen, tmp_path / name, WordEncoder())
        for name, chosen in (("few", settings), ("all", every))
    )
    assert few.network.own * 4 == all_of_them.network.own
    asked = student_inputs(labelled_frame(4, 12, 3), WordEncoder())
    loaded = Student.load(tmp_path / "few")
    wanted = all_of_them.predict(asked.features(all_of_them.statistics))
    assert np.abs(loaded.predict(asked.features(loaded.statistics)) - wanted).max() < 1e-3
    assert few.record.fingerprint != all_of_them.record.fingerprint
