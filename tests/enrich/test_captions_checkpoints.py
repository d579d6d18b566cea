"""Checkpoints that are damaged, hostile or something else: one line each, and nothing of theirs is run."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_captioner import copy, random_images, save_tiny

from enrich.captioner import Captioner
from enrich.errors import BadInput

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("blip") / "tiny")


class _RunsWhenRead:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._folder),)


def configured(folder: Path, **changed: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def without(folder: Path, *parts_of_names: str) -> None:
    for file in folder.iterdir():
        if any(part in file.name for part in parts_of_names):
            file.unlink()


def shortened(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": _RunsWhenRead(folder / "ran")}))


def with_code(folder: Path) -> None:
    configured(folder, model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Model"})
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / 'ran')!r})\n")


FAULTS: dict[str, Callable[[Path], None]] = {
    "weights cut short": shortened,
    "weights that are a pickle": pickled,
    "code of its own": with_code,
    "configuration that is a list": lambda folder: (folder / "config.json").write_text("[1, 2]") and None,
    "configuration of another size": lambda folder: configured(folder, vision_config={"hidden_size": 48}),
    "a model of another kind": lambda folder: configured(folder, model_type="bert"),
    "a model of no kind that is known": lambda folder: configured(folder, model_type="nonsense"),
    "a tokenizer that is missing": lambda folder: without(folder, "token", "vocab"),
    "a tokenizer that is damaged": lambda folder: (folder / "tokenizer.json").write_text('{"a": 1}') and None,
    "preprocessing that is missing": lambda folder: without(folder, "processor"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_cannot_be_used_is_one_line_and_runs_nothing(tmp_path, checkpoint, fault, monkeypatch):
    broken = copy(checkpoint, tmp_path / "broken")
    FAULTS[fault](broken)
    reads, writes = os.pipe()
    os.write(writes, b"y\n" * 9)
    os.close(writes)
    with os.fdopen(reads) as yes:
        monkeypatch.setattr("sys.stdin", yes)  # a person who agrees to whatever is asked
        with pytest.raises(BadInput, match="expected a") as refused:
            Captioner(str(broken), "cpu", "float32")
    assert "\n" not in str(refused.value)
    assert not (broken / "ran").exists()


@pytest.mark.parametrize(("factor", "dtype"), [(float("nan"), "float32"), (1e30, "bfloat16")])
def test_a_checkpoint_that_computes_no_numbers_is_refused_at_its_first_pictures(tmp_path, checkpoint, factor, dtype):
    broken = copy(checkpoint, tmp_path / "broken")
    weights = {name: weight * factor for name, weight in load_file(broken / WEIGHTS).items()}
    save_file(weights, broken / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(BadInput, match="computes numbers"):
        Captioner(str(broken), "cpu", dtype).caption_and_embed(random_images(2))


def test_a_whole_one_is_used(checkpoint):
    captions, vectors = Captioner(str(checkpoint), "cpu", torch.float32).caption_and_embed(random_images(2))
    assert len(captions) == 2
    assert vectors is not None
    assert np.isfinite(vectors).all()
