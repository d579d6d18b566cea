"""The student's ONNX graph, run by onnxruntime, says what the student says."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from relevance.features import PAIR_FEATURES, Features
from relevance.onnx_export import OUTPUT, export_onnx
from relevance.student import Student, StudentSettings
from relevance.student_inputs import student_inputs
from relevance.student_network import NetworkSettings, Size
from relevance.student_training import train_student
from tests.relevance.students import WordEncoder, labelled_frame

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'corkboard[onnx]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'corkboard[onnx]'")
pytestmark = pytest.mark.filterwarnings("default")


def given(features: Features, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: getattr(features, name) for name in names}


def test_the_graph_equals_the_student(tmp_path) -> None:
    """Of pins with text and visual vectors, and no graph vector: that is no input."""
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=3, batch_size=64)
    rows, dev = with_vectors(labelled_frame(8, 10, 1)), labelled_frame(4, 10, 2)
    train_student(rows, dev, settings, tmp_path / "student", WordEncoder())
    student = Student.load(tmp_path / "student")
    exported = export_onnx(student, tmp_path / "student.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    assert tuple(one.name for one in session.get_inputs()) == exported.inputs
    assert {"text", "visual"} < set(exported.inputs) and "graph" not in exported.inputs
    for queries, pins in ((1, 1), (1, 30), (5, 7)):
        asked = student_inputs(with_vectors(labelled_frame(queries, pins, 3)), WordEncoder())
        features = asked.features(student.statistics)
        said = session.run([OUTPUT], given(features, exported.inputs))[0]
        assert said == pytest.approx(student.predict(features), abs=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["fingerprint"]) == student.record.fingerprint
    assert json.loads(told["numbers"]) == list(PAIR_FEATURES)


def with_vectors(rows: pl.DataFrame) -> pl.DataFrame:
    """Pins with a visual vector; every third without."""
    random = np.random.default_rng(0)
    vectors = [None if i % 3 == 0 else random.random(4).tolist() for i in range(rows.height)]
    return rows.with_columns(pl.Series("pin_visual_embedding__visual_embedding", vectors, pl.List(pl.Float32)))
