"""Teaches the teacher: first, where there is a log, from levels read off behaviour; then from what people judged.

Reads weak, training and dev rows (`WeakRows`, `TeacherRows`), writes a checkpoint folder (checkpoint.py) that
`Teacher.load` opens. The command is `relevance train-teacher`. The loss is pointwise, the same in both phases; under
torchrun the processes share each step's pairs (processes.py).
Killed and run again with the same rows, settings and folder it goes on from the last finished epoch and ends with the
same weights; the same seed gives the same weights on the same machine. Both are tested on a CPU; a GPU's
kernels may add up in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn
from transformers import TrainerCallback, set_seed

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance.calibration import Calibration
from relevance.reliability import cross_fitted
from relevance.teaching import last_named, processes
from relevance.teaching.adapters import backbone_to_teach, exportable
from relevance.teaching.checkpoint import Provenance, TeacherSettings, build_network, save_teacher
from relevance.teaching.choices import Targets
from relevance.teaching.examples import Examples, Varied
from relevance.teaching.model_card import write_model_card
from relevance.teaching.network import Backbone, TeacherNetwork, revision_of
from relevance.teaching.phase import Dev, Logits, Phase, Ran, forget_checkpoints, run_phase
from relevance.teaching.rows import TeacherRows, WeakRows, fingerprint
from relevance.teaching.votes import vote_shares
from relevance.text import Renderer, pair_texts

TEACHING_VERSION = 2  # another one makes other weights of the same rows and settings: such teachers are taught again
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
    """Train on `weak`, then on `rows`, calibrate on `dev`, save to `out`.

    The last epoch is kept, or, where `dev` can tell epochs apart, the one whose calibrated cross-entropy is least
    there. Returns the metrics, of which dev_loss is the kept one's. `feature_service` is the fingerprint of
    the service that gave the texts; `callbacks` watch Trainer's runs. Raises BadInput where a split is empty, a level
    is outside 1..5, the training levels are all one, the backbone cannot be loaded, or what was taught answers with
    what is no number.
    """
    rows.check_to_teach()
    dev.check("dev")
    if weak is not None:
        weak.check()
    if settings.batch_size % processes.count():
        raise BadInput(
            f"expected batches of {settings.batch_size} pairs to be shared evenly by the processes, found "
            f"{processes.count()}; start as many as divide it"
        )
    files = revision_of(settings.backbone)
    lesson = Lesson(rows, dev, weak, settings, out.absolute())
    processes.tell(lesson)
    taught = _teach(lesson, callbacks)
    logits = taught.ran.dev_logits
    _refuse_not_finite(logits)
    calibration = Calibration.fit(logits, dev.levels, dev.queries)
    metrics = {
        "weak_pairs": float(len(weak.queries) if weak is not None else 0),
        "train_pairs": float(len(rows.levels)),
        "dev_pairs": float(len(dev.levels)),
        "epochs": taught.ran.epochs,
        "dev_loss": taught.ran.dev_loss,
        "dev_accuracy": float(np.mean(logits.argmax(1) + 1 == dev.levels)),
        "temperature": calibration.temperature,
    }
    network = taught.network
    network.backbone = exportable(network.backbone)
    revision = files or getattr(taught.backbone.network.config, "_commit_hash", None)
    provenance = Provenance(lesson.data, feature_service, revision)
    reliability = cross_fitted(logits, dev.levels, dev.queries)
    record = save_teacher(out, network.cpu(), taught.backbone, settings, provenance, calibration, metrics, reliability)
    write_model_card(out, record)
    forget_checkpoints(out)
    last_named.end(out)
    return metrics


def _refuse_not_finite(logits: Logits) -> None:
    """Raises BadInput for the dev logits [n, 5] of a teacher that fell apart: its calibration would say it is fine."""
    lost = int((~np.isfinite(logits)).any(axis=1).sum())
    if lost:
        raise BadInput(
            f"expected finite logits of the dev pairs, found NaN or infinity in {lost:,} of {len(logits):,}: training "
            "diverged, or the backbone's weights are damaged; train with a lower --learning-rate, or another --backbone"
        )


def follow() -> None:
    """What a process that torchrun started beside the first one does: train along until there is nothing more."""
    while (lesson := processes.hear()) is not None:
        _teach(lesson, ())
    processes.close()


class Lesson(NamedTuple):
    """What all processes that teach one teacher must know."""

    rows: TeacherRows
    dev: TeacherRows
    weak: WeakRows | None
    settings: TeacherSettings
    out: Path

    @property
    def data(self) -> str:
        """The fingerprint of all rows."""
        splits = (self.rows, self.dev) if self.weak is None else (self.rows, self.dev, self.weak)
        return fingerprint(*splits)


def _refuse_too_long(backbone: Backbone, tokens: int) -> None:
    """Raises BadInput where so many tokens are more than the backbone has places for; relative ones have no end."""
    for name, places in backbone.network.named_modules():
        if name.endswith("position_embeddings") and isinstance(places, nn.Embedding):
            most = places.num_embeddings - (0 if places.padding_idx is None else places.padding_idx + 1)
            if tokens > most:
                raise BadInput(
                    f"expected --max-tokens of at most {most}, for which the backbone has places, found {tokens}; "
                    "lower it, or name another --backbone"
                )


class _Taught(NamedTuple):
    network: TeacherNetwork
    backbone: Backbone
    ran: Ran


def _teach(lesson: Lesson, callbacks: Sequence[TrainerCallback]) -> _Taught:
    """A new network, taught in all phases; the same in each process."""
    rows, dev, weak, settings, out = lesson
    set_seed(settings.seed)
    backbone = backbone_to_teach(settings)
    _refuse_too_long(backbone, settings.text.max_tokens)
    if not processes.follows():
        last_named.begin(out, settings)
    network = build_network(backbone, settings)
    renderer = Renderer(backbone.tokenizer, settings.text)
    made_from = f"{lesson.data} {asdict(settings)} of {processes.count()} processes"
    if weak is not None and len(weak.queries):
        phase = Phase("behaviour", _weak_examples(weak, renderer, settings), settings.weak_epochs)
        run_phase(network, phase, settings, backbone.padding_id, out, made_from, callbacks)
    targets = smoothed(target_probabilities(rows, settings.targets), settings.label_smoothing)
    examples = Examples(pair_texts(rows.queries, rows.pin_texts), targets, renderer, _varied(settings))
    phase = Phase("judgments", examples, settings.epochs_for(len(rows.levels)), _dev(dev, renderer, settings.targets))
    ran = run_phase(network, phase, settings, backbone.padding_id, out, made_from, callbacks)
    return _Taught(network, backbone, ran)


def _weak_examples(weak: WeakRows, renderer: Renderer, settings: TeacherSettings) -> Examples:
    targets = smoothed(weak.probabilities.astype(np.float32), settings.label_smoothing)
    return Examples(pair_texts(weak.queries, weak.pin_texts), targets, renderer, _varied(settings))


def _varied(settings: TeacherSettings) -> Varied | None:
    varied = Varied(settings.field_dropout, settings.query_slips, settings.seed)
    return varied if varied.field_dropout or varied.query_slips else None


def _dev(dev: TeacherRows, renderer: Renderer, targets: Targets) -> Dev:
    examples = Examples(pair_texts(dev.queries, dev.pin_texts), target_probabilities(dev, targets), renderer)
    return Dev(examples, partial(_calibrated_loss, dev), dev.tell_epochs_apart)


def _calibrated_loss(dev: TeacherRows, logits: Logits) -> float:
    """Mean cross-entropy of the gold levels as they would be served; infinite where a logit is no number."""
    if not np.isfinite(logits).all():
        return math.inf
    said = Calibration.fit(logits, dev.levels, dev.queries).log_probabilities(logits)
    return float(-said[np.arange(len(dev.levels)), dev.levels - 1].mean())


def smoothed(targets: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    """Targets [n, 5] with `share` of each spread evenly over the levels (Szegedy et al. 2016, arXiv 1512.00567)."""
    if not share:
        return targets
    return np.asarray((1 - share) * targets + share / targets.shape[1], dtype=np.float32)


def target_probabilities(rows: TeacherRows, targets: Targets) -> npt.NDArray[np.float32]:
    """What the loss aims at, float32 [n, 5], rows sum to 1. A pair without votes aims at its gold level."""
    gold = np.eye(len(LEVELS), dtype=np.float32)[rows.levels - 1]
    if targets is Targets.LEVEL or rows.votes is None:
        return gold
    shares = vote_shares(rows.votes, gold)
    return np.asarray((1 - _VOTES_SHARE) * gold + _VOTES_SHARE * shares, dtype=np.float32)
