"""Teaches the teacher: first, where there is a log, from levels read off behaviour; then from what people judged.

Reads weak, training and dev rows (`WeakRows`, `TeacherRows`), writes a checkpoint folder (teacher_checkpoint.py) that
`Teacher.load` opens. The command is `relevance train-teacher`. The loss is pointwise cross-entropy in both phases.
Killed and run again with the same rows, settings and folder it goes on from the last finished epoch and ends with the
same weights; the same seed gives the same weights on the same machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from transformers import TrainerCallback, set_seed

from enrich.errors import BadInput
from enrich.tables import LEVELS
from enrich.text_encoder import default_model_path
from relevance.calibration import Calibration
from relevance.model_card import write_model_card
from relevance.reliability import cross_fitted
from relevance.rows import TeacherRows, WeakRows, fingerprint
from relevance.teacher_checkpoint import Provenance, Targets, TeacherSettings, build_network, save_teacher
from relevance.teacher_network import load_backbone, prepare_to_train
from relevance.teacher_phase import Examples, Phase, run_phase
from relevance.text import Renderer, pair_texts
from relevance.votes import vote_shares

_CHECKPOINTS = "checkpoints"
_VOTES_SHARE = 0.5  # of the target under Targets.VOTES; the rest is the gold level


def train_teacher(
    rows: TeacherRows,
    dev: TeacherRows,
    settings: TeacherSettings,
    out: Path,
    feature_service: str | None = None,
    weak: WeakRows | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train on `weak`, then on `rows`, keep the epoch that is best on `dev`, calibrate on `dev`, save to `out`.

    Returns the metrics. `feature_service` is the fingerprint of the service that gave the texts; `callbacks` watch
    Trainer's runs. Raises BadInput where a split is empty, a level is outside 1..5, the training levels are all one, or
    the backbone cannot be loaded.
    """
    rows.check("training")
    dev.check("dev")
    if len(set(rows.levels.tolist())) == 1:
        raise BadInput(f"expected training judgments of two levels or more, found only {rows.levels[0]}; judge more")
    set_seed(settings.seed)
    backbone = load_backbone(settings.backbone or str(default_model_path()))
    prepare_to_train(backbone, settings.backbone_dropout)
    network = build_network(backbone, settings)
    renderer = Renderer(backbone.tokenizer, settings.text)
    splits = (rows, dev) if weak is None else (rows, dev, weak)
    data = fingerprint(*splits)
    made_from, checkpoints = f"{data} {asdict(settings)}", out / _CHECKPOINTS
    if weak is not None and len(weak.queries):
        weak.check()
        phase = Phase("behaviour", _weak_examples(weak, renderer), None, settings.weak_epochs)
        run_phase(network, phase, settings, backbone.padding_id, checkpoints, made_from, callbacks)
    train_examples, dev_examples = (_examples(split, renderer, settings.targets) for split in (rows, dev))
    phase = Phase("judgments", train_examples, dev_examples, settings.epochs)
    ran = run_phase(network, phase, settings, backbone.padding_id, checkpoints, made_from, callbacks)
    calibration = Calibration.fit(ran.dev_logits, dev.levels, dev.queries)
    metrics = {
        "weak_pairs": float(len(weak.queries) if weak is not None else 0),
        "train_pairs": float(len(rows.levels)),
        "dev_pairs": float(len(dev.levels)),
        "epochs": ran.epochs,
        "dev_loss": ran.dev_loss,
        "dev_accuracy": float(np.mean(ran.dev_logits.argmax(1) + 1 == dev.levels)),
        "temperature": calibration.temperature,
    }
    provenance = Provenance(data, feature_service)
    reliability = cross_fitted(ran.dev_logits, dev.levels, dev.queries)
    network.float().cpu()
    record = save_teacher(out, network, backbone, settings, provenance, calibration, metrics, reliability)
    write_model_card(out, record)
    shutil.rmtree(checkpoints)
    return metrics


def _weak_examples(weak: WeakRows, renderer: Renderer) -> Examples:
    return Examples(renderer.render(pair_texts(weak.queries, weak.pin_texts)), weak.probabilities.astype(np.float32))


def _examples(rows: TeacherRows, renderer: Renderer, targets: Targets) -> Examples:
    rendered = renderer.render(pair_texts(rows.queries, rows.pin_texts))
    return Examples(rendered, target_probabilities(rows, targets))


def target_probabilities(rows: TeacherRows, targets: Targets) -> npt.NDArray[np.float32]:
    """What the cross-entropy aims at, float32 [n, 5], rows sum to 1. A pair without votes aims at its gold level."""
    gold = np.eye(len(LEVELS), dtype=np.float32)[rows.levels - 1]
    if targets is Targets.LEVEL or rows.votes is None:
        return gold
    shares = vote_shares(rows.votes, gold)
    return np.asarray((1 - _VOTES_SHARE) * gold + _VOTES_SHARE * shares, dtype=np.float32)
