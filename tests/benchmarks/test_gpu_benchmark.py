"""benchmarks/gpu: operations counted by hand, and all its steps with tiny shapes on a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks._blip import BASE, Size
from benchmarks.gpu import captions, teacher
from benchmarks.gpu._shapes import LLAMA_3_8B, TINY, XLM_R_LARGE
from relevance.teaching.choices import Adapter

ENCODER, DECODER = TINY


def test_operations_are_those_of_the_shapes() -> None:
    weights = 2 * (4 * 32 * 32 + 2 * 32 * 64)  # two layers: four projections, two of the MLP
    assert ENCODER.layer_weights == weights
    assert ENCODER.forward_operations([10]) == 2 * weights * 10 + 2 * 4 * 10 * 10 * 32
    weights = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)  # one head of keys and values for two of queries
    assert DECODER.layer_weights == weights
    assert DECODER.forward_operations([10, 10]) == 2 * (2 * weights * 10 + 2 * 4 * 10 * 10 * 32 / 2)
    assert ENCODER.training_operations([10], Adapter.NONE) == 3 * ENCODER.forward_operations([10])
    assert DECODER.training_operations([10], Adapter.QLORA) == 2 * DECODER.forward_operations([10])


def test_the_large_shapes_have_the_published_sizes() -> None:
    assert XLM_R_LARGE.layer_weights == 24 * (4 * 1024**2 + 2 * 1024 * 4096)
    assert 6.9e9 < LLAMA_3_8B.layer_weights < 7.0e9  # of 8.03e9; the others are word embeddings, in and out


def test_the_steps_run_with_tiny_shapes_and_are_kept_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teacher.main(["--tiny", "--json", str(tmp_path / "gpu.json")]) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    found = json.loads(line)
    assert found == json.loads((tmp_path / "gpu.json").read_text())
    assert found["name"] == "gpu_teacher" and found["ours"] > 0 and found["details"]["marks"] == {}
    for shape, how in ((ENCODER, "all weights"), (DECODER, "lora" if not torch.cuda.is_available() else "qlora")):
        for what in (f"training ({how})", "labelling"):
            assert found["details"][f"{shape.name}: {what}, pairs/s"] > 0


def test_a_captioners_operations_are_those_of_its_shape() -> None:
    assert 110e9 < BASE.vision_operations < 112e9  # as the model's size is published
    tiny = Size(layers=1, dimensions=4, heads=1, side=4, patch=2, words=10)  # five tokens of a picture
    assert tiny.vision_operations == 2 * (5 * (12 * 16 + 2 * 5 * 4) + 4 * 12 * 4)
    picture, word, head = 2 * 5 * 16 + 2 * 20 * 5 * 4, 14 * 16, 16 + 40
    assert tiny.text_operations == 2 * (picture + 20 * word + 20 * head)


def test_captions_run_with_a_tiny_model_and_are_kept_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert captions.main(["--tiny", "--json", str(tmp_path / "gpu.json")]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found == json.loads((tmp_path / "gpu.json").read_text())
    assert found["name"] == "gpu_captions" and found["ours"] > 0 and found["rival"] > 0
    assert found["details"]["files"] == 16 and found["details"]["marks"] == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with CUDA does this")
@pytest.mark.parametrize("benchmark", [teacher, captions])
def test_without_a_gpu_it_says_so_in_one_line(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: expected a CUDA GPU, found none") and "\n" not in said
