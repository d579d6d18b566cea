"""A second opinion on soft labels: the mean of the two, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relevance.learning.inputs import student_inputs
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.peer_labels import with_second_opinion
from relevance.learning.training import train_student
from relevance.student import StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame


def test_a_label_is_the_mean_of_the_two_by_the_share(tmp_path) -> None:
    torch.set_num_threads(1)
    chosen = StudentSettings(network=NetworkSettings(Size.S), epochs=2, batch_size=64)
    peer = train_student(labelled_frame(5, 8, 1), labelled_frame(3, 8, 2), chosen, tmp_path / "peer", WordEncoder())
    frame = labelled_frame(4, 6, 3, source="teacher")
    said = peer.predict(student_inputs(frame, WordEncoder()).features(peer.statistics))
    own, pairs = np.array(frame["probabilities"].to_list(), np.float32), student_inputs(frame, WordEncoder())
    assert with_second_opinion(own, pairs, peer, 0.25) == pytest.approx(0.75 * own + 0.25 * said, abs=1e-6)
    assert np.array_equal(with_second_opinion(own, pairs, peer, 0.0), own)
