"""Two processes teach what one teaches, and go on where a kill left them. gloo on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_lessons import TINY, rows, weak_rows
from tiny_models import tiny_bert
from two_processes import settings

from enrich.errors import BadInput
from relevance.teacher import Teacher
from relevance.teaching import processes
from relevance.teaching.checkpoint import read_record
from relevance.teaching.examples import Examples, LengthGrouped
from relevance.teaching.network import load_backbone
from relevance.teaching.training import train_teacher
from relevance.text import PinText, Renderer, TextSettings, pair_texts

_LONGEST = 900  # seconds; a deadlock must not hold the tests up, a busy machine may


def torchrun(folder: Path, steps: int) -> int:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = str(Path(__file__).with_name("two_processes.py"))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [*launcher, script, str(folder), str(steps)]
    return subprocess.run(command, timeout=_LONGEST, capture_output=True, env=environment).returncode


@pytest.mark.timeout(3 * _LONGEST)
def test_two_processes_teach_what_one_does_and_survive_a_kill(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "backbone")
    assert torchrun(tmp_path, steps=9) != 0
    checkpoints = tmp_path / "killed" / "checkpoints"
    assert sorted(str(path.relative_to(checkpoints)) for path in checkpoints.glob("*/checkpoint-*")) == [
        "behaviour/checkpoint-3",
        "judgments/checkpoint-6",
    ]
    assert torchrun(tmp_path, steps=0) == 0
    two = read_record(tmp_path / "undisturbed")
    assert read_record(tmp_path / "killed").fingerprint == two.fingerprint
    assert not checkpoints.exists()

    metrics = train_teacher(
        rows(96), rows(19, 1), settings(tmp_path / "backbone"), tmp_path / "one", weak=weak_rows(48)
    )
    assert two.metrics["epochs"] == metrics["epochs"]
    assert two.metrics["dev_loss"] == pytest.approx(metrics["dev_loss"], abs=0.02)  # gradients are added in bf16
    asked = rows(16, 2)
    one, both = (
        Teacher.load(tmp_path / name).logits(asked.queries, asked.pin_texts) for name in ("one", "undisturbed")
    )
    assert np.mean(one.argmax(1) == both.argmax(1)) > 0.9


def test_a_step_s_batch_is_of_like_length_whoever_shares_it(tmp_path: Path) -> None:
    renderer = Renderer(load_backbone(str(tiny_bert(tmp_path))).tokenizer, TextSettings())
    pins = [PinText(description="oak " * (1 + place)) for place in range(100)]
    examples = Examples(pair_texts(["table"] * 100, pins), np.full((100, 5), 0.2, np.float32), renderer)
    sampler = LengthGrouped(examples, batch_size=16, seed=0)
    order = list(sampler)
    assert sorted(order) == list(range(100))
    assert all(max(order[i : i + 16]) - min(order[i : i + 16]) < 16 for i in range(0, 96, 16))
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_pairs_that_cannot_be_shared_evenly_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOCAL_RANK", "0"), ("RANK", "0"), ("WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    assert processes.count() == 3 and not processes.follows()
    with pytest.raises(BadInput, match="batches of 16 pairs to be shared evenly by the processes, found 3"):
        train_teacher(rows(8), rows(8), TINY, tmp_path)


def test_a_process_alone_leads_and_has_nobody_to_tell() -> None:
    assert processes.count() == 1 and not processes.follows()
    processes.tell("nobody")
    assert processes.agreed("so be it") == "so be it"
