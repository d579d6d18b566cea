"""Train a student on human and teacher labels.

Reads student_v1 training frames with labels (training_frame.py), whole or in pieces; writes a model folder
(`student.py` says what is in it); run by `relevance train-student`. Pieces are gathered (learning/gathered.py), packed
(learning/packed.py) and learned from (learning/fit.py) by way of the disk, in OUT/lessons, which is removed at the end;
killed anywhere, the next run goes on there. Deterministic for the same rows, settings and machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from scipy.special import log_softmax

from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from relevance import stages
from relevance.calibration import Calibration
from relevance.calibration import Floats as AnyFloats
from relevance.features import PAIR_FEATURES, QUERY_FEATURES, Floats, Ints, Statistics
from relevance.learning.batches import Batches
from relevance.learning.fit import fit
from relevance.learning.gathered import gather
from relevance.learning.inputs import QueryEncoder
from relevance.learning.low_rank import low_rank
from relevance.learning.network import Inputs, NetworkSettings, StudentNetwork
from relevance.learning.packed import Packed, pack
from relevance.learning.pieces import Pieces
from relevance.learning.query_slips import with_slips
from relevance.learning.resuming import Checkpoint
from relevance.reliability import CalibrationReport, cross_fitted
from relevance.student import Student, StudentRecord, StudentSettings
from relevance.training_frame import HUMAN

LESSONS = "lessons"  # folder in the model's, while it is made
_LEAST_SCALE = 1e-3  # a number that hardly varies in training is not blown up


class _Dev(NamedTuple):
    """Held-out judged rows."""

    packed: Packed
    levels: Ints
    queries: list[str]
    fingerprint: str

    def loss(self, network: StudentNetwork) -> float:
        return _gold_loss(_logits(network, self.packed), self.levels)


class _Ended(NamedTuple):
    calibration: Calibration
    loss: float | None
    reliability: CalibrationReport | None


def train_student(
    rows: pl.DataFrame | Pieces,
    dev: pl.DataFrame,
    settings: StudentSettings,
    out: Path,
    encoder: QueryEncoder | None = None,
    feature_service: str | None = None,
    peer: Student | None = None,
) -> Student:
    """Train on `rows`, stop by the human rows of `dev`, calibrate on them, and write the model folder `out`.

    Both hold student_v1 features, label_source, level, votes and probabilities; `feature_service` is the fingerprint of
    the service that gave them; `peer` has a say in the soft labels (peer_labels.py). Without human dev rows all epochs
    run, uncalibrated. `out` may hold what a killed run of the same arguments left.

    Raises BadInput when there are no rows, or a row lacks its label.
    """
    pieces = Pieces.of(rows) if isinstance(rows, pl.DataFrame) else rows
    pieces = with_slips(pieces, settings.query_slips, settings.seed)
    if not pieces.count:
        raise BadInput("expected labelled rows to train a student on, found none; judge pairs or run `relevance label`")
    encoder, lessons = encoder or TextEncoder(settings.text_encoder), out / LESSONS
    stages.sweep(lessons)
    gathered = gather(pieces, encoder, settings, lessons / "gathered", "student: rows")
    statistics = gathered.statistics
    packed = pack(gathered, statistics, settings, lessons / "packed", "student: features", peer=peer)
    held_out = _dev(dev, statistics, settings, encoder, lessons)
    data = stages.fingerprint(gathered.fingerprint, held_out.fingerprint if held_out else None)
    made_from = stages.fingerprint(data, settings, peer.record.fingerprint if peer else None)
    checkpoint = Checkpoint(lessons / "training.safetensors", made_from)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = _network(replace(settings.network, low_rank=False), statistics)
        _normalise(network, packed)
        best = fit(network, Batches(packed, settings), held_out.loss if held_out else None, settings, checkpoint)
        if not best.weights:
            raise BadInput("expected a finite loss in training, found a run that diverged; lower its learning rate")
        network.load_state_dict(best.weights)
        network.eval()
        _silence_constants(network, packed)
        if settings.network.low_rank:
            network = low_rank(network, _network(settings.network, statistics), packed)
    ended = _ended(network, held_out)
    record = StudentRecord(
        settings=settings,
        dimensions=statistics.dimensions,
        interests=statistics.interests,
        catalogue_pins=statistics.pins,
        calibration=ended.calibration,
        prior=tuple(float(p) for p in packed.prior()),
        encoder=encoder.producer,
        human_rows=gathered.human,
        teacher_rows=gathered.rows - gathered.human,
        epochs=best.epoch,
        dev_loss=ended.loss,
        fingerprint=_fingerprint(network, statistics, settings, ended.calibration),
        data_fingerprint=data,
        feature_service=feature_service,
        reliability=ended.reliability,
    )
    student = Student(record, statistics, network)
    student.save(out)
    stages.remove(lessons)
    return student


def _dev(
    dev: pl.DataFrame, statistics: Statistics, settings: StudentSettings, encoder: QueryEncoder, lessons: Path
) -> _Dev | None:
    """None without human rows."""
    human = dev.filter(pl.col("label_source") == HUMAN) if dev.height else dev
    if human.is_empty():
        return None
    gathered = gather(Pieces.of(human), encoder, settings, lessons / "gathered_dev", "student: dev rows")
    packed = pack(gathered, statistics, settings, lessons / "packed_dev", "student: dev features", training=False)
    return _Dev(packed, human["level"].to_numpy().astype(np.int64), human["query"].to_list(), gathered.fingerprint)


def _network(settings: NetworkSettings, statistics: Statistics) -> StudentNetwork:
    return StudentNetwork(settings, statistics.dimensions, len(statistics.interests))


def _normalise(network: StudentNetwork, packed: Packed) -> None:
    """Set the network's means and scales from the training rows."""
    for mean, scale, moments in (
        (network.number_mean, network.number_scale, packed.number_moments()),
        (network.query_mean, network.query_scale, packed.query_moments()),
    ):
        mean.copy_(torch.from_numpy(moments.mean))
        scale.copy_(torch.from_numpy(moments.deviation).clamp(min=_LEAST_SCALE))


@torch.no_grad()
def _silence_constants(network: StudentNetwork, packed: Packed) -> None:
    """Take their weights from numbers that no training row varied: these were never learned, and would speak as loud as
    a number may where one that differs is served.
    """
    network.pair_hidden.weight[:, -len(PAIR_FEATURES) :][:, torch.from_numpy(packed.constant_numbers())] = 0
    network.query_known.weight[:, : len(QUERY_FEATURES)][:, torch.from_numpy(packed.constant_query_numbers())] = 0


def _ended(network: StudentNetwork, dev: _Dev | None) -> _Ended:
    """The calibration, the dev loss under it, and how reliable it leaves the probabilities."""
    if dev is None:
        return _Ended(Calibration(), None, None)
    logits = _logits(network, dev.packed)
    calibration = Calibration.fit(logits, dev.levels, dev.queries)
    loss = _gold_loss(calibration.log_probabilities(logits), dev.levels)
    return _Ended(calibration, loss, cross_fitted(logits, dev.levels, dev.queries))


def _logits(network: StudentNetwork, packed: Packed) -> Floats:
    with torch.inference_mode():
        return np.concatenate([network(Inputs.of(some.features)).numpy() for some in packed.in_order()])


def _gold_loss(logits: AnyFloats, levels: Ints) -> float:
    """Cross-entropy of the gold levels."""
    scores = log_softmax(logits.astype(np.float64), axis=1)
    return float(-scores[np.arange(len(levels)), levels - 1].mean())


def _fingerprint(
    network: StudentNetwork, statistics: Statistics, settings: StudentSettings, calibration: Calibration
) -> str:
    """Of all that decides a probability."""
    learned = [*network.state_dict().values()]
    counted = [statistics.terms, statistics.frequencies, statistics.average_lengths]
    arrays = [array.tobytes().hex() for array in (*(tensor.numpy() for tensor in learned), *counted)]
    return stages.fingerprint(arrays, settings, calibration)
