"""The student's ONNX graph, run by onnxruntime, says what the student says."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from enrich import console
from enrich.workspace import Workspace
from relevance.cli import relevance
from relevance.exporting.onnx_graph import OUTPUT
from relevance.features import PAIR_FEATURES, Features
from relevance.learning.inputs import student_inputs
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.model_names import STUDENT_MODEL
from relevance.student import Student, StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'corkboard[onnx]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'corkboard[onnx]'")
pytestmark = pytest.mark.filterwarnings("default")


def given(features: Features, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: getattr(features, name) for name in names}


def test_the_graph_equals_the_student(workspace: Workspace, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of pins with text and visual vectors, and no graph vector: that is no input."""
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=3, batch_size=64)
    rows, dev = with_vectors(labelled_frame(8, 10, 1)), labelled_frame(4, 10, 2)
    arguments = ["export-student", "--out", str(tmp_path / "a.onnx"), "--workspace", str(workspace.root), "--json"]
    assert console.run(relevance, arguments) == 2
    assert "run `relevance train-student`" in capsys.readouterr().err
    train_student(rows, dev, settings, workspace.models / STUDENT_MODEL, WordEncoder())
    assert console.run(relevance, arguments) == 0
    exported = json.loads(capsys.readouterr().out.splitlines()[-1])
    student, names = Student.load(workspace.models / STUDENT_MODEL), tuple(exported["inputs"])
    session = onnxruntime.InferenceSession(exported["path"], providers=["CPUExecutionProvider"])
    assert tuple(one.name for one in session.get_inputs()) == names
    assert {"text", "visual"} < set(names) and "graph" not in names
    for queries, pins in ((1, 1), (1, 30), (5, 7)):
        asked = student_inputs(with_vectors(labelled_frame(queries, pins, 3)), WordEncoder())
        features = asked.features(student.statistics)
        said = session.run([OUTPUT], given(features, names))[0]
        assert said == pytest.approx(student.predict(features), abs=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["fingerprint"]) == student.record.fingerprint
    assert json.loads(told["numbers"]) == list(PAIR_FEATURES)


def with_vectors(rows: pl.DataFrame) -> pl.DataFrame:
    """Pins with a visual vector; every third without."""
    random = np.random.default_rng(0)
    vectors = [None if i % 3 == 0 else random.random(4).tolist() for i in range(rows.height)]
    return rows.with_columns(pl.Series("pin_visual_embedding__visual_embedding", vectors, pl.List(pl.Float32)))
