"""The student as an ONNX graph, for services that run without torch: `relevance export-student`.

Reads a student; writes one file. Needs the extra `onnx` (onnx, onnxscript); onnxruntime runs it. Inputs, as those of
`learning/network.py` have them (q queries, n pairs; a vector that the catalogue lacks has 0 entries and is no input):

    query_vector   float32 [q, dimensions.query]     query_numbers  float32 [q, len(QUERY_FEATURES)]
    interests      int64   [q, INTERESTS_A_QUERY]    query_of       int64   [n]  pair -> query
    text           float32 [n, dimensions.text]      visual, graph  likewise
    numbers        float32 [n, len(PAIR_FEATURES)]

Output: probabilities float32 [n, 5], calibrated, levels 1..5. Normalisation and calibration are in the graph; the term
statistics that the numbers are computed with are not: they are `relevance.features`' affair. The graph's metadata name
the student's fingerprint and its features in column order.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from enrich.errors import BadInput
from relevance.features import INTERESTS_A_QUERY, PAIR_FEATURES, QUERY_FEATURES, Dimensions
from relevance.learning.network import Inputs
from relevance.student import Student

OUTPUT = "probabilities"
_OPSET = 20  # the first with Gelu
_VECTORS = ("text", "visual", "graph")
_NEEDED = ("onnx", "onnxscript")


class Exported(NamedTuple):
    path: Path
    inputs: tuple[str, ...]
    fingerprint: str  # of the student


class _Calibrated(nn.Module):
    """Probabilities of named inputs, in order; what is absent is empty."""

    def __init__(self, student: Student, names: tuple[str, ...]) -> None:
        super().__init__()
        calibration = student.record.calibration
        self._network = student.network
        self._names = names
        self._temperature = calibration.temperature
        self.register_buffer("_biases", torch.tensor(calibration.biases))

    def forward(self, *given: Tensor) -> Tensor:
        named = dict(zip(self._names, given, strict=True))
        empty = named["numbers"][:, :0]
        whole = [named.get(name, empty) for name in Inputs._fields]
        scores = self._network(Inputs(*whole)) / self._temperature + self._biases
        return torch.softmax(scores, dim=1)


def input_names(dimensions: Dimensions) -> tuple[str, ...]:
    """The graph's inputs, in order."""
    absent = {name for name in _VECTORS if not getattr(dimensions, name)}
    return tuple(name for name in Inputs._fields if name not in absent)


def export_onnx(student: Student, path: Path) -> Exported:
    """Write the graph at `path`. Raises BadInput where the extra is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"expected {' and '.join(missing)} to write an ONNX graph, found none; pip install 'corkboard[onnx]'"
        )
    import onnx

    names = input_names(student.record.dimensions)
    example = _example(student.record.dimensions)
    queries, pairs = torch.export.Dim("queries"), torch.export.Dim("pairs")
    rows = {"query_vector": queries, "query_numbers": queries, "interests": queries}
    with _quietly():
        program = torch.onnx.export(
            _Calibrated(student, names).eval(),
            tuple(example[name] for name in names),
            input_names=names,
            output_names=[OUTPUT],
            dynamic_shapes=(tuple({0: rows.get(name, pairs)} for name in names),),
            opset_version=_OPSET,
            dynamo=True,
        )
    assert program is not None  # it is one where a dynamo export did not raise
    graph = program.model_proto
    told = {"fingerprint": student.record.fingerprint, "numbers": PAIR_FEATURES, "query_numbers": QUERY_FEATURES}
    onnx.helper.set_model_props(graph, {name: json.dumps(value) for name, value in told.items()})
    onnx.checker.check_model(graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(graph.SerializeToString())
    aside.replace(path)
    return Exported(path, names, student.record.fingerprint)


def _example(dimensions: Dimensions) -> dict[str, Tensor]:
    """Inputs of two queries and three pairs."""
    q, n = 2, 3
    shapes = {"query_vector": (q, dimensions.query), "query_numbers": (q, len(QUERY_FEATURES))}
    shapes |= {name: (n, getattr(dimensions, name)) for name in _VECTORS} | {"numbers": (n, len(PAIR_FEATURES))}
    whole = {"interests": torch.zeros(q, INTERESTS_A_QUERY, dtype=torch.int64), "query_of": torch.tensor([0, 1, 1])}
    return {name: torch.zeros(*shape) for name, shape in shapes.items()} | whole


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter prints its steps, and warns of what other versions of it did."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
