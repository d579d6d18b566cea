"""What a teacher may be taught with: every loss and adapter in every family, exact resume, refusals, curves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_lessons import TINY, Kill, rows, weak_rows
from tiny_models import FAMILIES, tiny_bert, tiny_llama, tiny_xlmr
from transformers import TrainerCallback

from enrich import console
from enrich.errors import BadInput
from relevance import stages
from relevance.calibration import Calibration
from relevance.cli import relevance
from relevance.commands import flags
from relevance.commands.teaching_flags import TeachingFlags
from relevance.teacher import Teacher
from relevance.teaching.adapters import backbone_to_teach, exportable
from relevance.teaching.checkpoint import TeacherRecord, TeacherSettings, build_network, read_record
from relevance.teaching.choices import Adapter, Loss, Targets
from relevance.teaching.freshness import teacher_made_from
from relevance.teaching.last_named import in_words, last_named
from relevance.teaching.layers import optimizer_of
from relevance.teaching.network import Pooling, files_fingerprint, revision_of
from relevance.teaching.rows import TeacherRows
from relevance.teaching.training import train_teacher
from relevance.text import PinText, TextSettings

ORDINAL = (Loss.CORAL, Loss.CUMULATIVE_LINK)


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize(
    "settings", [*(replace(TINY, loss=loss) for loss in ORDINAL), replace(TINY, adapter=Adapter.LORA)]
)
def test_every_family_learns_saves_loads_and_predicts_the_same(
    tmp_path: Path, make: Callable[[Path], Path], settings: TeacherSettings
) -> None:
    settings = replace(settings, backbone=str(make(tmp_path / "backbone")), epochs=3)
    dev = rows(16, 1)
    metrics = train_teacher(rows(80), dev, settings, tmp_path / "teacher")
    first, second = (Teacher.load(tmp_path / "teacher", torch.float32) for _ in range(2))
    pairs = (["table", "red lamp", ""], ["oak table", PinText(caption="a blue lamp"), PinText()])
    probabilities = first.predict(*pairs)
    assert probabilities.shape == (3, 5) and probabilities.dtype == np.float32 and probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(probabilities, second.predict(*pairs))
    assert first.record.settings == settings
    accuracy = np.mean(first.logits(dev.queries, dev.pin_texts).argmax(1) + 1 == dev.levels)
    assert metrics["dev_accuracy"] == pytest.approx(accuracy, abs=0.07)  # trained in bf16, loaded in float32
    assert not list((tmp_path / "teacher").glob("adapter*"))


@pytest.mark.parametrize("loss", Loss)
def test_votes_teach_with_every_loss(tmp_path: Path, loss: Loss) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1, loss=loss, label_smoothing=0.1)
    judged = rows(32)
    voted = TeacherRows(
        judged.queries, judged.pin_texts, judged.levels, [[level, 3] for level in judged.levels.tolist()]
    )
    metrics = train_teacher(voted, rows(16, 1), settings, tmp_path / "teacher", weak=weak_rows(16))
    assert np.isfinite(metrics["dev_loss"])


def test_an_adapter_is_merged_into_weights_that_predict_as_it_did(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_llama(tmp_path)), adapter=Adapter.LORA)
    network = backbone_to_teach(settings).network
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_B" in name:  # zero at first: nothing learned
                weight.normal_(std=0.1)
    ids = torch.arange(1, 25).reshape(2, 12)
    with torch.inference_mode():
        beside = network.eval()(input_ids=ids).last_hidden_state.float()
        merged = exportable(network)
        after = merged.eval()(input_ids=ids).last_hidden_state.float()
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert (beside - after).abs().max() < 0.05 * beside.abs().max()


def test_an_adapter_teaches_projections_alone_and_its_checkpoints_hold_no_backbone(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_llama(tmp_path / "backbone")), adapter=Adapter.LORA)
    network = backbone_to_teach(settings).network
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name, w in network.named_parameters() if w.requires_grad}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert sum(w.requires_grad for w in network.parameters()) == 2 * 7 * 2  # A and B, of 7 projections, in 2 layers
    with pytest.raises(KeyboardInterrupt):
        train_teacher(rows(80), rows(16, 1), settings, tmp_path / "out", callbacks=[Kill(6)])
    (checkpoint,) = (tmp_path / "out" / "checkpoints" / "judgments").glob("checkpoint-*")
    assert all("lora_" in name or name.startswith("head.") for name in load_file(checkpoint / "model.safetensors"))


OPTIONS = {
    "regularised": replace(
        TINY,
        r_drop=1.0,
        field_dropout=0.3,
        query_slips=0.3,
        loss=Loss.CORAL,
        label_smoothing=0.1,
        layer_decay=0.8,
    ),
    "adapted": replace(TINY, adapter=Adapter.LORA, loss=Loss.CUMULATIVE_LINK, gradient_checkpointing=True),
}


@pytest.mark.parametrize("chosen", OPTIONS)
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path: Path, chosen: str) -> None:
    settings = replace(OPTIONS[chosen], backbone=str(tiny_bert(tmp_path / "backbone")), epochs=3)

    def train(folder: Path, *callbacks: TrainerCallback) -> str:
        train_teacher(rows(80), rows(16, 1), settings, folder, weak=weak_rows(48), callbacks=callbacks)
        return Teacher.load(folder).record.fingerprint

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", Kill(9))
    assert list((tmp_path / "killed" / "checkpoints" / "judgments").glob("checkpoint-5"))
    assert train(tmp_path / "killed") == train(tmp_path / "undisturbed")


def test_every_option_makes_another_teacher_and_gradient_checkpointing_the_same(tmp_path: Path) -> None:
    base = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)

    def weights(name: str, settings: TeacherSettings) -> torch.Tensor:
        train_teacher(rows(48), rows(16, 1), settings, tmp_path / name)
        parts = {**load_file(tmp_path / name / "model.safetensors"), **load_file(tmp_path / name / "head.safetensors")}
        return torch.cat([part.float().flatten() for _, part in sorted(parts.items())])

    plain = weights("plain", base)
    torch.testing.assert_close(weights("cheaper", replace(base, gradient_checkpointing=True)), plain)
    for name, settings in {
        "smoothing": replace(base, label_smoothing=0.2),
        "decay": replace(base, layer_decay=0.5),
        "r_drop": replace(base, r_drop=1.0),
        "field_dropout": replace(base, field_dropout=0.5),
        "query_slips": replace(base, query_slips=0.9),
    }.items():
        assert not torch.equal(weights(name, settings), plain), name


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label_smoothing": 1.0}, "--label-smoothing of 0 or more and below 1, found 1.0"),
        ({"field_dropout": -0.1}, "--field-dropout of 0 or more and below 1, found -0.1"),
        ({"query_slips": 1.5}, "--query-slips of 0 or more and below 1, found 1.5"),
        ({"layer_decay": 0.0}, "--layer-decay above 0 and at most 1, found 0.0"),
        ({"r_drop": float("nan")}, "--r-drop of 0 or more, found nan"),
        ({"r_drop": 1.0, "dropout": 0.0}, "expected dropout with --r-drop"),
        ({"lora_rank": 0}, "lora_rank"),
        ({"seed": -1}, "seed of 0 to .* found -1"),
        ({"dropout": 1.5}, "dropout of 0 or more and below 1, found 1.5"),
        ({"warmup": -1}, "warmup of 0 or more and below 1, found -1"),
        ({"hidden": (0,)}, r"hidden of 1 or more, .* and \(0,\)"),
        ({"hidden": 256}, "hidden as a tuple of whole widths, found 256"),
        ({"epochs": 2.5}, r"epochs as int \| None, found 2.5"),
        ({"epochs": "3"}, r"epochs as int \| None, found '3'"),
        ({"label_smoothing": "0.1"}, "label_smoothing as float, found '0.1'"),
        ({"learning_rate": "fast"}, r"learning_rate as float \| None, found 'fast'"),
        ({"weight_decay": float("nan")}, "weight decay of 0 or more, found nan"),
        ({"adapter_learning_rate": 0.0}, "learning rates above 0"),
        ({"learning_rate": None, "head_learning_rate": 0.0}, "learning rates above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        replace(TINY, **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with CUDA may do this")
def test_four_bits_without_cuda_are_refused() -> None:
    with pytest.raises(BadInput, match="CUDA GPU for --adapter qlora, found none"):
        TeachingFlags(adapter=Adapter.QLORA).applied(TINY)


def test_what_was_taught_with_four_bits_is_not_refused_where_there_is_nothing_to_train() -> None:
    """`relevance run` goes on with it, on a machine that only labels."""
    last = replace(TINY, adapter=Adapter.QLORA)
    assert TeachingFlags().applied(last) == last


def test_a_loss_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--workspace", str(tmp_path / "w")]
    assert console.run(relevance, ["train-teacher", "--loss", "hinge", *at]) == 2
    assert "cross-entropy" in capsys.readouterr().err


def test_the_command_teaches_with_the_flags_that_it_takes() -> None:
    taught = flags.run_settings(
        flags.Flags(flags.PlanFlags(None, "query", "en", 0), teaching=TeachingFlags(loss=Loss.CORAL, field_dropout=0.2))
    ).teacher
    assert (taught.loss, taught.field_dropout) == (Loss.CORAL, 0.2)
    assert (
        replace(taught, loss=Loss.CROSS_ENTROPY, field_dropout=0.0)
        == flags.run_settings(flags.Flags(flags.PlanFlags(None, "query", "en", 0))).teacher
    )
    names = {option.name for option in relevance.commands["train-teacher"].params}
    assert {field.name for field in fields(TeachingFlags)} <= names


def taught(models: Path, settings: TeacherSettings) -> Path:
    """A folder of models whose teacher was taught so; of it there is the record alone."""
    record = TeacherRecord(settings, Pooling.CLS, Calibration(), "f", "d", None, {})
    (models / "teacher").mkdir(parents=True)
    (models / "teacher" / "teacher.json").write_text(json.dumps(asdict(record)))
    return models


def test_run_goes_on_with_the_teacher_that_was_last_named(tmp_path: Path) -> None:
    """Hours of another backbone are not undone by a line in a crontab that names none."""
    plan = flags.PlanFlags(None, "query", "en", 7)
    usual = flags.run_settings(flags.Flags(plan))
    assert last_named(tmp_path / "new") is None
    default = last_named(taught(tmp_path / "default", TeacherSettings()))
    assert flags.run_settings(flags.Flags(plan), default) == usual and in_words(usual.teacher) == ""
    last = last_named(
        taught(tmp_path / "llama", replace(usual.teacher, backbone="llama", adapter=Adapter.LORA, seed=0))
    )
    goes_on = flags.run_settings(flags.Flags(plan), last).teacher
    assert goes_on == replace(usual.teacher, backbone="llama", adapter=Adapter.LORA)
    assert in_words(goes_on) == "backbone llama, adapter lora"
    assert flags.run_settings(flags.Flags(plan, backbone="llama"), last).teacher == goes_on
    assert flags.run_settings(flags.Flags(plan, backbone="bert"), last).teacher == replace(
        usual.teacher, backbone="bert", learning_rate=None
    )


def test_run_goes_on_with_a_teacher_that_a_kill_left_unfinished(tmp_path: Path) -> None:
    models = taught(tmp_path / "models", TeacherSettings())
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), hidden=(8,), loss=Loss.CORAL)
    work = lambda out: train_teacher(rows(40), rows(8, 1), settings, out, callbacks=[Kill(1)])  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        stages.make(models / "folds" / "0" / "teacher", "f", work)
    assert last_named(models) == settings
    stages.make(models / "folds" / "0" / "teacher", "g", lambda out: None)  # of other inputs
    assert last_named(models) == TeacherSettings()


def test_a_backbones_folder_is_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = flags.PlanFlags(None, "query", "en", 0), tmp_path / "bb"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    typed = flags.Flags(plan, backbone="bb")
    assert flags.run_settings(typed).teacher.backbone == str(folder)
    earlier = replace(TINY, backbone="bb")  # as an earlier version kept it
    assert flags.run_settings(typed, earlier).teacher == replace(TINY, backbone=str(folder))
    assert flags.run_settings(flags.Flags(plan), earlier).teacher == earlier
    assert flags.run_settings(flags.Flags(plan, backbone="org/bb@v1")).teacher.backbone == "org/bb@v1"


def test_a_finished_teacher_is_known_by_its_backbones_files_wherever_they_lie(tmp_path: Path) -> None:
    there, moved, teacher = tmp_path / "there", tmp_path / "moved", tmp_path / "teacher"
    chosen, revision = replace(TINY, backbone=str(tiny_bert(there))), files_fingerprint(there)
    record = TeacherRecord(chosen, Pooling.CLS, Calibration(), "f", "d", None, {}, backbone_revision=revision)

    def fresh(settings: TeacherSettings) -> bool:
        return stages.fresh(teacher, made_from(settings))

    def made_from(settings: TeacherSettings) -> str:
        return teacher_made_from(teacher, settings, revision_of(settings.backbone), stages.fingerprint)

    def work(out: Path) -> None:
        (out / "teacher.json").write_text(json.dumps(asdict(record)))

    stages.make(teacher, made_from(chosen), work)
    assert fresh(chosen) and not fresh(replace(chosen, epochs=9))
    there.rename(moved)
    elsewhere = replace(chosen, backbone=str(moved))
    assert fresh(chosen), "gone"
    assert fresh(elsewhere) and not fresh(replace(elsewhere, epochs=9)) and not fresh(replace(chosen, backbone="bert"))
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert not fresh(elsewhere), "other files"
    (teacher / "teacher.json").write_text("{")
    assert not fresh(chosen), "made anew"


def test_flags_that_were_not_given_change_nothing() -> None:
    assert TeachingFlags().applied(TINY) == TINY
    given = TeachingFlags(Loss.CORAL, 0.1, 0.9, 1.0, 0.2, 0.3, Adapter.LORA, True, Targets.LEVEL).applied(TINY)
    assert given == replace(
        TINY,
        loss=Loss.CORAL,
        targets=Targets.LEVEL,
        label_smoothing=0.1,
        layer_decay=0.9,
        r_drop=1.0,
        field_dropout=0.2,
        query_slips=0.3,
        adapter=Adapter.LORA,
        gradient_checkpointing=True,
    )
    sized = TeachingFlags(learning_rate=1e-4, batch_size=8, max_tokens=256, lora_rank=4, patience=1)
    text = replace(TINY.text, max_tokens=256)
    of_all = replace(TINY, learning_rate=1e-4, batch_size=8, text=text, lora_rank=4, patience=1)
    assert sized.applied(TINY) == of_all
    adapted = replace(TINY, adapter=Adapter.LORA)
    of_the_adapter = replace(of_all, learning_rate=TINY.learning_rate, adapter_learning_rate=1e-4)
    assert sized.applied(adapted) == replace(of_the_adapter, adapter=Adapter.LORA)


@pytest.mark.parametrize(("width", "given", "rate"), [(32, None, 5e-5), (1_024, None, 1e-5), (1_024, 3e-5, 3e-5)])
def test_a_backbone_is_taught_at_the_rate_given_or_else_by_its_width(
    tmp_path: Path, width: int, given: float | None, rate: float
) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path, width)), learning_rate=given)
    network = build_network(backbone_to_teach(settings), settings)
    rates = {group["lr"] for group in optimizer_of(network, settings).param_groups}
    assert rates == {rate, settings.head_learning_rate}


@pytest.mark.parametrize(("make", "most"), [(tiny_bert, 256), (tiny_xlmr, 255)])
def test_more_tokens_than_a_backbone_has_places_for_are_refused(tmp_path: Path, make, most: int) -> None:
    settings = replace(TINY, backbone=str(make(tmp_path / "backbone")), text=TextSettings(max_tokens=most + 1))
    with pytest.raises(BadInput, match=f"--max-tokens of at most {most}, .* found {most + 1}"):
        train_teacher(rows(32), rows(8, 1), settings, tmp_path / "teacher")
    fits = replace(settings, text=TextSettings(max_tokens=most), epochs=1)
    long = replace(rows(32), pin_texts=[PinText(title="oak table " * most)] * 32)
    train_teacher(long, rows(8, 1), fits, tmp_path / "teacher")


def test_a_teacher_of_an_earlier_version_is_one_of_plain_cross_entropy(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=1)
    train_teacher(rows(32), rows(8, 1), settings, tmp_path / "teacher")
    path = tmp_path / "teacher" / "teacher.json"
    record = json.loads(path.read_text())
    for name in ("loss", "label_smoothing", "layer_decay", "r_drop", "field_dropout", "adapter", "lora_rank"):
        del record["settings"][name]
    path.write_text(json.dumps(record))
    assert read_record(tmp_path / "teacher").settings == settings


def test_curves_stay_with_the_model_and_a_resumed_run_draws_each_step_once(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path / "backbone")), epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(rows(80), rows(16, 1), settings, tmp_path / "teacher", callbacks=[Kill(13)])
    train_teacher(rows(80), rows(16, 1), settings, tmp_path / "teacher")
    curves = EventAccumulator(str(tmp_path / "teacher" / "runs" / "judgments"))
    curves.Reload()
    assert [event.step for event in curves.Scalars("eval/loss")] == [5, 10, 15]
    assert [event.step for event in curves.Scalars("train/loss")] == [10]
    assert [event.step for event in curves.Scalars("train/learning_rate")] == [10]


def test_an_ordinal_network_has_its_own_last_layer(tmp_path: Path) -> None:
    settings = replace(TINY, backbone=str(tiny_bert(tmp_path)), loss=Loss.CORAL)
    head = build_network(backbone_to_teach(settings), settings).head
    assert {name: tuple(w.shape) for name, w in head.layers[-1].named_parameters()} == {
        "thresholds": (4,),
        "score.weight": (1, 16),
    }


def test_few_pairs_are_taught_in_more_epochs_unless_a_number_is_named() -> None:
    usual = TeacherSettings()
    assert [usual.epochs_for(pairs) for pairs in (0, 20, 490, 1_100, 20_000)] == [8, 8, 5, 3, 3]
    assert TeacherSettings(epochs=2).epochs_for(20) == 2
