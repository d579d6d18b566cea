"""Train a student on human and teacher labels.

Reads student_v1 training frames with labels (training_frame.py), writes a model folder (`student.py` says what is in
it); run by `relevance train-student`. Deterministic for the same rows, settings and machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from scipy.special import log_softmax

from enrich.errors import BadInput
from enrich.pin_payload import VECTORS
from enrich.progress import progress
from enrich.text_encoder import TextEncoder
from relevance import stages
from relevance.calibration import Calibration
from relevance.calibration import Floats as AnyFloats
from relevance.features import Bools, Floats, Ints, Statistics
from relevance.losses import Targets, soft_cross_entropy, targets_of
from relevance.pin_rows import INPUTS, take
from relevance.reliability import CalibrationReport, cross_fitted
from relevance.student import Student, StudentRecord, StudentSettings
from relevance.student_inputs import QueryEncoder, StudentInputs, student_inputs
from relevance.student_network import Inputs, StudentNetwork
from relevance.training_frame import HUMAN

_LEAST_SCALE = 1e-3  # a number that hardly varies in training is not blown up


class TrainingRows(NamedTuple):
    """Features of every training row, whole and with inputs left out, and its targets."""

    whole: Inputs
    sparse_numbers: torch.Tensor  # [n, numbers], what `whole.numbers` are without the inputs left out
    kept_vectors: torch.Tensor  # [n, 3], 1 where the text, visual, graph vector is not left out
    targets: torch.Tensor
    weights: torch.Tensor


class DevRows(NamedTuple):
    inputs: Inputs
    levels: Ints
    queries: list[str]


class _Best(NamedTuple):
    epoch: int
    loss: float
    weights: dict[str, torch.Tensor]


def train_student(
    rows: pl.DataFrame,
    dev: pl.DataFrame,
    settings: StudentSettings,
    out: Path,
    encoder: QueryEncoder | None = None,
    feature_service: str | None = None,
) -> Student:
    """Train on `rows`, stop by the human rows of `dev`, calibrate on them, and write the model folder `out`.

    Both frames hold student_v1 features, label_source, level, votes and probabilities; `feature_service` is the
    fingerprint of the service that gave them. Without human dev rows all epochs run, uncalibrated.

    Raises BadInput when there are no rows, or a row lacks its label.
    """
    if rows.is_empty():
        raise BadInput("expected labelled rows to train a student on, found none; judge pairs or run `relevance label`")
    encoder = encoder or TextEncoder(settings.text_encoder)
    targets = targets_of(rows, settings.gold_share, settings.human_weight)
    inputs = student_inputs(rows, encoder)
    statistics = _statistics(rows, inputs, encoder)
    training = _training_rows(inputs, statistics, targets, settings)
    held_out = _dev_rows(dev, statistics, encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = StudentNetwork(settings.network, statistics.dimensions, len(statistics.interests))
        _normalise(network, training.whole)
        best = _fit(network, training, held_out, settings)
    network.load_state_dict(best.weights)
    network.eval()
    calibration, loss, reliability = _calibrate(network, held_out)
    human = int((rows["label_source"] == HUMAN).sum())
    record = StudentRecord(
        settings=settings,
        dimensions=statistics.dimensions,
        interests=statistics.interests,
        catalogue_pins=statistics.pins,
        calibration=calibration,
        prior=tuple(float(p) for p in np.average(targets.probabilities, axis=0, weights=targets.weights)),
        encoder=encoder.producer,
        human_rows=human,
        teacher_rows=rows.height - human,
        epochs=best.epoch,
        dev_loss=loss,
        fingerprint=_fingerprint(network, statistics, settings, calibration),
        data_fingerprint=stages.fingerprint(rows, dev),
        feature_service=feature_service,
        reliability=reliability,
    )
    student = Student(record, statistics, network)
    student.save(out)
    return student


def _statistics(rows: pl.DataFrame, inputs: StudentInputs, encoder: QueryEncoder) -> Statistics:
    """Over the pins of the training rows, each once."""
    first = rows.with_row_index("place").unique("pin_id", keep="first", maintain_order=True)["place"].to_numpy()
    interests = {interest for group in inputs.groups for interest in group.query.interests}
    dimensions = {len(group.query.embedding) for group in inputs.groups if group.query.embedding is not None}
    if dimensions != {encoder.dimension}:
        raise BadInput(
            f"expected query vectors of {encoder.dimension} entries, as {encoder.producer} makes, found "
            f"{sorted(dimensions)}; set text_encoder to the encoder of query_features, or run `enrich queries` again"
        )
    return Statistics.of(take(inputs.pins, first.astype(np.int64)), sorted(interests), encoder.dimension)


def _training_rows(
    inputs: StudentInputs, statistics: Statistics, targets: Targets, settings: StudentSettings
) -> TrainingRows:
    whole = inputs.features(statistics)
    dropped = dropped_inputs(len(whole), settings.input_dropout, settings.seed)
    kept = ~dropped[:, [INPUTS.index(vector) for vector in VECTORS]]
    return TrainingRows(
        Inputs.of(whole),
        torch.from_numpy(inputs.features(statistics, dropped).numbers),
        torch.from_numpy(kept.astype(np.float32)),
        torch.from_numpy(targets.probabilities),
        torch.from_numpy(targets.weights),
    )


def dropped_inputs(rows: int, chance: float, seed: int) -> Bools:
    """Which inputs each row is to learn without; [rows, len(INPUTS)]."""
    return np.random.default_rng(seed).random((rows, len(INPUTS))) < chance


def _dev_rows(dev: pl.DataFrame, statistics: Statistics, encoder: QueryEncoder) -> DevRows | None:
    human = dev.filter(pl.col("label_source") == HUMAN) if dev.height else dev
    if human.is_empty():
        return None
    found = student_inputs(human, encoder).features(statistics)
    return DevRows(Inputs.of(found), human["level"].to_numpy().astype(np.int64), human["query"].to_list())


def _normalise(network: StudentNetwork, rows: Inputs) -> None:
    """Set the network's means and scales from the training rows."""
    queries = rows.query_numbers[rows.query_of]
    for mean, scale, values in (
        (network.number_mean, network.number_scale, rows.numbers),
        (network.query_mean, network.query_scale, queries),
    ):
        mean.copy_(values.mean(dim=0))
        scale.copy_(values.std(dim=0, correction=0).clamp(min=_LEAST_SCALE))


def _fit(network: StudentNetwork, rows: TrainingRows, dev: DevRows | None, settings: StudentSettings) -> _Best:
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    best = _Best(0, float("inf"), {})
    with progress(settings.epochs, "student", unit="epoch") as bar:
        for epoch in range(1, settings.epochs + 1):
            trained = _epoch(network, optimizer, rows, settings)
            loss = _gold_loss(_logits(network, dev.inputs), dev.levels) if dev is not None else trained
            if dev is None or loss < best.loss:
                weights = {name: value.clone() for name, value in network.state_dict().items()}
                best = _Best(epoch, loss, weights)
            bar.update(1)
            if epoch - best.epoch >= settings.patience:
                break
    return best


def _epoch(
    network: StudentNetwork, optimizer: torch.optim.Optimizer, rows: TrainingRows, settings: StudentSettings
) -> float:
    """One pass over the rows, each whole or with inputs left out, at even chances; the mean loss."""
    network.train()
    n = len(rows.targets)
    losses = []
    for batch in torch.split(torch.randperm(n), settings.batch_size):
        inputs = _mixed(rows, batch, torch.rand(len(batch)) < 0.5)
        loss = soft_cross_entropy(network(inputs), rows.targets[batch], rows.weights[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
        losses.append(loss.item() * len(batch))
    network.eval()
    return sum(losses) / n


def _mixed(rows: TrainingRows, batch: torch.Tensor, sparse: torch.Tensor) -> Inputs:
    """The batch's rows, those marked `sparse` with inputs left out."""
    whole = rows.whole
    queries, query_of = torch.unique(whole.query_of[batch], return_inverse=True)
    kept = torch.where(sparse[:, None], rows.kept_vectors[batch], 1.0)
    return Inputs(
        query_vector=whole.query_vector[queries],
        query_numbers=whole.query_numbers[queries],
        interests=whole.interests[queries],
        query_of=query_of,
        text=whole.text[batch] * kept[:, 0:1],
        visual=whole.visual[batch] * kept[:, 1:2],
        graph=whole.graph[batch] * kept[:, 2:3],
        numbers=torch.where(sparse[:, None], rows.sparse_numbers[batch], whole.numbers[batch]),
    )


def _calibrate(
    network: StudentNetwork, dev: DevRows | None
) -> tuple[Calibration, float | None, CalibrationReport | None]:
    """The calibration, the dev loss under it, and how reliable it leaves the probabilities."""
    if dev is None:
        return Calibration(), None, None
    logits = _logits(network, dev.inputs)
    calibration = Calibration.fit(logits, dev.levels, dev.queries)
    loss = _gold_loss(calibration.log_probabilities(logits), dev.levels)
    return calibration, loss, cross_fitted(logits, dev.levels, dev.queries)


def _logits(network: StudentNetwork, inputs: Inputs) -> Floats:
    with torch.inference_mode():
        logits: Floats = network(inputs).numpy()
        return logits


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
