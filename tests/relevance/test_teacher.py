"""The teacher: every family trains, saves, loads and predicts the same; a killed run ends with the same weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from tiny_lessons import THINGS, TINY, Kill, rows, weak_rows
from tiny_models import FAMILIES, tiny_bert
from transformers import TrainerCallback

from enrich.errors import BadInput
from enrich.matrices import fast_dtype
from enrich.text_encoder import default_model_path
from relevance.calibration import Calibration
from relevance.teacher import Teacher
from relevance.teaching.checkpoint import TeacherSettings, _fingerprint, read_record
from relevance.teaching.choices import Targets
from relevance.teaching.network import HeadInput, load_backbone, prepare_to_train
from relevance.teaching.phase import _resume_point
from relevance.teaching.rows import TeacherRows, WeakRows, fingerprint
from relevance.teaching.training import target_probabilities, train_teacher
from relevance.text import PinText, TextSettings, pair_texts
from relevance.text_fields import Field


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("inputs", HeadInput)
def test_every_family_trains_saves_loads_and_predicts_the_same(
    tmp_path: Path, make: Callable[[Path], Path], inputs: HeadInput
) -> None:
    settings = replace(TINY, backbone=str(make(tmp_path / "backbone")), epochs=1, head_inputs=inputs)
    metrics = train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    first, second = (Teacher.load(tmp_path / "teacher", torch.float32) for _ in range(2))
    pairs = (["table", "red lamp", ""], ["oak table", PinText(caption="a blue lamp"), PinText()])
    probabilities = first.predict(*pairs)
    assert probabilities.shape == (3, 5) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(probabilities, second.predict(*pairs))
    assert first.record.settings == settings
    dev = rows(16, 1)
    accuracy = np.mean(first.logits(dev.queries, dev.pin_texts).argmax(1) + 1 == dev.levels)
    assert metrics["dev_accuracy"] == pytest.approx(accuracy, abs=0.07)  # trained in bf16, loaded in float32
    assert not (tmp_path / "teacher" / "checkpoints").exists()
    card = (tmp_path / "teacher" / "README.md").read_text()
    assert "| fingerprint |" in card and "dev pairs of" in card
    measured = first.record.reliability
    assert measured is not None and measured.rows == 16 and measured == second.record.reliability


@pytest.mark.parametrize("make", FAMILIES)
def test_the_backbone_trains_with_the_dropout_asked_for_and_no_other(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    ids = torch.arange(1, 25).reshape(2, 12)

    def differs(dropout: float) -> bool:
        backbone = load_backbone(str(make(tmp_path / str(dropout))))
        prepare_to_train(backbone, dropout)
        network = backbone.network.train()
        first, second = (network(input_ids=ids).last_hidden_state for _ in range(2))
        return not torch.equal(first, second)

    assert differs(0.5) and not differs(0.0)


def test_the_same_seed_gives_the_same_teacher_and_another_seed_another(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_teacher(rows(48), rows(16, 1), replace(settings, seed=seed), tmp_path / name)
    a, b, c = (Teacher.load(tmp_path / name).record.fingerprint for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("steps", "left"),
    [(1, []), (3, ["behaviour/checkpoint-3"]), (9, ["behaviour/checkpoint-3", "judgments/checkpoint-5"])],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path: Path, steps: int, left: list[str]) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=3)

    def train(folder: Path, *callbacks: TrainerCallback) -> str:
        train_teacher(rows(80), rows(16, 1), settings, folder, weak=weak_rows(48), callbacks=callbacks)
        return Teacher.load(folder).record.fingerprint

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", Kill(steps))
    checkpoints = tmp_path / "killed" / "checkpoints"
    assert sorted(str(path.relative_to(checkpoints)) for path in checkpoints.glob("*/checkpoint-*")) == left
    (checkpoints / "behaviour" / "checkpoint-9").mkdir()  # one that the kill cut short
    assert train(tmp_path / "killed") == train(tmp_path / "undisturbed")


class KillAtSave(TrainerCallback):
    """A power cut when so many epochs have been saved."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def on_save(self, args: object, state: object, control: object, **_: object) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def test_a_checkpoint_that_was_being_deleted_is_not_gone_on_from(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(rows(48), rows(16, 1), settings, tmp_path / "killed", callbacks=[KillAtSave(2)])
    left = tmp_path / "killed" / "checkpoints" / "judgments"
    made_from = json.loads((left / "made_from.json").read_text())
    assert _resume_point(left, tmp_path / "runs", made_from) == str(left / "checkpoint-6")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"):
        some = tmp_path / name / "judgments"
        shutil.copytree(left, some)
        (some / "checkpoint-6" / name).unlink()
        assert _resume_point(some, tmp_path / "runs", made_from) in (None, str(some / "checkpoint-3"))
        assert not (some / "checkpoint-6").exists()
    (left / "checkpoint-6" / "model.safetensors").unlink()
    for name in ("killed", "undisturbed"):
        train_teacher(rows(48), rows(16, 1), settings, tmp_path / name)
    killed, undisturbed = (read_record(tmp_path / name).fingerprint for name in ("killed", "undisturbed"))
    assert killed == undisturbed


def test_a_kill_right_after_an_early_stop_costs_no_further_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dev split says the opposite of the training rows, so that the second epoch is worse than the first."""
    monkeypatch.setattr("relevance.teaching.rows.DEV_QUERIES_TO_CHOOSE", len(THINGS))
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=5, patience=1)
    dev = rows(48)
    opposite = replace(dev, levels=6 - dev.levels)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(rows(48), opposite, settings, tmp_path / "killed", callbacks=[KillAtSave(2)])
    for name in ("killed", "undisturbed"):
        assert train_teacher(rows(48), opposite, settings, tmp_path / name)["epochs"] == 2
    killed, undisturbed = (read_record(tmp_path / name).fingerprint for name in ("killed", "undisturbed"))
    assert killed == undisturbed


def test_a_few_dev_queries_choose_no_epoch(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=3, patience=1)
    dev = rows(48)
    opposite = replace(dev, levels=6 - dev.levels)
    for name, judged in (("alike", dev), ("opposite", opposite)):
        assert train_teacher(rows(48), judged, settings, tmp_path / name)["epochs"] == 3
    alike, other = (Teacher.load(tmp_path / name, torch.float32) for name in ("alike", "opposite"))
    np.testing.assert_array_equal(*(one.logits(dev.queries, dev.pin_texts) for one in (alike, other)))


def test_a_teacher_learns_from_behaviour_before_it_sees_a_judgment(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), weak_epochs=8)
    few = rows(8)

    def loss(folder: Path, weak: WeakRows | None) -> float:
        metrics = train_teacher(few, rows(64, 1), settings, folder, weak=weak)
        assert metrics["weak_pairs"] == (len(weak.queries) if weak else 0)
        return metrics["dev_loss"]

    assert loss(tmp_path / "both", weak_rows(160)) < loss(tmp_path / "judged", None) - 0.1


def test_weak_rows_that_are_no_distribution_are_refused(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")))
    wrong = WeakRows(["a"], ["b"], np.full((1, 5), 0.5, np.float32))
    with pytest.raises(BadInput, match="sum to 1"):
        train_teacher(rows(8), rows(8), settings, tmp_path / "out", weak=wrong)


def test_checkpoints_of_other_rows_are_not_resumed(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")))
    left = tmp_path / "teacher" / "checkpoints" / "judgments" / "checkpoint-3"
    left.mkdir(parents=True)
    (left / "trainer_state.json").write_text("{}")
    train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    assert Teacher.load(tmp_path / "teacher").record.metrics["epochs"] > 0


@pytest.mark.parametrize(
    ("train", "dev", "said"),
    [
        (rows(0), rows(8), "training split, found none"),
        (rows(8), rows(0), "dev split, found none"),
        (TeacherRows(["a"] * 4, ["b"] * 4, np.full(4, 3)), rows(8), "found only 3"),
        (TeacherRows(["a"] * 2, ["b"] * 2, np.array([1, 6])), rows(8), "levels 1..5 in the training rows, found 6"),
        (TeacherRows(["a"] * 2, ["b"] * 2, np.array([1, 5]), [[1], [0]]), rows(8), "found 0"),
        (
            TeacherRows(["a"] * 2, ["b"] * 2, np.array([1, 5]), [[1], ["5"]]),
            rows(8),
            r"row 1 as .* numbers, found \['5",
        ),
        (
            TeacherRows(["a"] * 2, ["b"] * 2, np.array([1, 5]), [None, 5]),
            rows(8),
            "row 1 as a list of numbers, found 5",
        ),
        (TeacherRows(None, ["b"] * 2, np.array([1, 5])), rows(8), "as lists in the training rows, found a NoneType"),
        (TeacherRows(["a"], ["b"] * 2, np.array([1, 5])), rows(8), "one length"),
        (TeacherRows(["a"] * 2, ["b"] * 2, [1, 5]), rows(8), "whole numbers, found a list"),
        (TeacherRows(["a"] * 2, ["b"] * 2, np.array([1.0, 5.0])), rows(8), "whole numbers, found one of float64"),
        (TeacherRows(["a", None], ["b"] * 2, np.array([1, 5])), rows(8), "query 1 as a str"),
    ],
)
def test_rows_that_cannot_teach_are_refused_in_one_line(
    tmp_path: Path, train: TeacherRows, dev: TeacherRows, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        train_teacher(train, dev, TINY, tmp_path)


def test_a_pair_may_be_without_votes_among_others() -> None:
    some = TeacherRows(["a"] * 2, ["b"] * 2, np.array([1, 5]), [None, [5.0]])
    some.check_to_teach()
    assert fingerprint(some) != fingerprint(replace(some, votes=[[5.0], None]))


def test_a_teacher_that_fell_apart_is_not_saved(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), learning_rate=1e30)
    with pytest.raises(BadInput, match="finite logits of the dev pairs, found NaN or infinity in 16 of 16") as error:
        train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    assert "--learning-rate" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "teacher" / "teacher.json").exists()


def test_a_folder_that_is_not_whole_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="found none"):
        Teacher.load(tmp_path / "nowhere")
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)
    teacher = tmp_path / "teacher"
    train_teacher(rows(48), rows(16, 1), settings, teacher)
    for name in ("model.safetensors", "head.safetensors", "teacher.json", "config.json", "tokenizer.json"):
        whole = (teacher / name).read_bytes()
        (teacher / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BadInput, match="expected") as error:
            Teacher.load(teacher)
        assert "\n" not in str(error.value)
        (teacher / name).unlink()
        with pytest.raises(BadInput, match="expected"):
            Teacher.load(teacher)
        (teacher / name).write_bytes(whole)
    Teacher.load(teacher)


def test_a_backbone_without_its_words_is_refused_in_one_line(tmp_path: Path) -> None:
    """transformers would give it a tokenizer of five special tokens, and each text would be unknown words."""
    folder = tmp_path / "backbone"
    words = shutil.ignore_patterns("tokenizer.json", "vocab.txt")
    shutil.copytree(default_model_path(), folder, ignore=words, copy_function=os.symlink)
    with pytest.raises(BadInput, match="knows no words") as error:
        load_backbone(str(folder))
    assert "\n" not in str(error.value)


def test_the_tokenizer_has_a_part_in_a_teachers_fingerprint(tmp_path: Path) -> None:
    settings, calibration = TeacherSettings(), Calibration()
    (tmp_path / "tokenizer.json").write_text("one")
    one = _fingerprint(tmp_path, settings, calibration)
    (tmp_path / "tokenizer.json").write_text("other")
    assert _fingerprint(tmp_path, settings, calibration) != one


def test_batches_in_turn_answer_as_batches_on_every_core_do(tmp_path: Path) -> None:
    """The former are a GPU's: larger, and made ahead."""
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)
    train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    teacher, asked = Teacher.load(tmp_path / "teacher", torch.float32), rows(40, 2)
    found = np.zeros((40, 5), np.float32)
    for places, logits in teacher._in_turn(pair_texts(asked.queries, asked.pin_texts)):
        found[places] = logits
    np.testing.assert_allclose(found, teacher.logits(asked.queries, asked.pin_texts), atol=1e-5)


def test_a_batch_that_a_gpu_has_no_room_for_goes_in_halves_and_later_ones_are_smaller(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)
    train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    teacher, asked = Teacher.load(tmp_path / "teacher", torch.float32), rows(40, 2)
    pairs, whole = pair_texts(asked.queries, asked.pin_texts), teacher.logits(asked.queries, asked.pin_texts)
    network, tried, most = teacher.network, list[int](), 150

    class Small(torch.nn.Module):
        """A GPU that has memory for so many tokens."""

        def forward(self, ids: torch.Tensor, *others: torch.Tensor) -> dict[str, torch.Tensor]:
            tried.append(ids.numel())
            if ids.numel() > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")
            return network(ids, *others)

    teacher.network = Small()
    found = np.zeros((40, 5), np.float32)
    for places, logits in teacher._in_turn(pairs):
        found[places] = logits
    np.testing.assert_allclose(found, whole, atol=1e-5)
    assert max(tried) > 2 * most
    tried.clear()
    list(teacher._in_turn(pairs))
    assert max(tried) <= most, "no longer tried"
    most = 0
    with pytest.raises(
        BadInput, match=r"memory on cpu for one pair of \d+ tokens, found too little \(CUDA out"
    ) as error:
        list(teacher._in_turn(pairs))
    assert "\n" not in str(error.value)


def test_a_teacher_of_titles_sees_no_other_field(tmp_path: Path) -> None:
    text = TextSettings().selecting(Field.TITLE)
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), text=text, epochs=1)
    train_teacher(rows(48), rows(16, 1), settings, tmp_path / "teacher")
    teacher = Teacher.load(tmp_path / "teacher")
    full, bare = teacher.predict(["rug"] * 2, [PinText("rug", caption="a blue lamp"), PinText("rug")])
    np.testing.assert_allclose(full, bare, atol=1e-6)


def test_votes_share_the_target_with_the_gold_level() -> None:
    three = TeacherRows(["q"] * 3, ["p"] * 3, np.array([4, 5, 1]), [[3, 4, 5], [5, 5], []])
    third = 0.5 / 3
    expected = [[0, 0, third, 0.5 + third, third], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    np.testing.assert_allclose(target_probabilities(three, Targets.VOTES), expected, atol=1e-6)
    np.testing.assert_array_equal(target_probabilities(three, Targets.LEVEL).argmax(1), [3, 4, 0])


def test_the_installed_backbone_learns_and_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    """The one run of the real MiniLM: short texts, few steps."""
    settings = TeacherSettings(epochs=2, batch_size=8)
    train_teacher(rows(128), rows(24, 1), settings, tmp_path)
    test = rows(32, 2)
    exact, quick = (
        Teacher.load(tmp_path, dtype).logits(test.queries, test.pin_texts) for dtype in (torch.float32, torch.bfloat16)
    )
    assert np.abs(softmax(exact, axis=1) - softmax(quick, axis=1)).max() <= 0.03
    assert np.mean(exact.argmax(1) + 1 == test.levels) > 0.7
    assert fast_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert json.loads((tmp_path / "teacher.json").read_text())["settings"]["seed"] == 0
