"""The student: five probabilities of a thousand (query, pin) pairs in a few milliseconds.

Reads a model folder, which `learning/training.py` writes:

    model.safetensors   weights, normalisation, and the frozen statistics' arrays
    student.json        settings, statistics, calibration, prior, fingerprints, metrics (`StudentRecord`)
    README.md           the model card, written from student.json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

import enrich
from enrich import parts
from enrich.errors import BadInput
from enrich.pin_payload import PinBatch
from enrich.query_payload import QueryInputs
from relevance.calibration import Calibration
from relevance.features import (
    PAIR_FEATURES,
    QUERY_FEATURES,
    Bools,
    Dimensions,
    Features,
    Floats,
    Statistics,
    features,
)
from relevance.learning.network import Inputs, NetworkSettings, Size, StudentNetwork
from relevance.reliability import CalibrationReport, card_table

_RECORD, _WEIGHTS, _CARD = "student.json", "model.safetensors", "README.md"
_STATISTICS = "statistics."  # prefix of the statistics' arrays among the weights


@dataclass(frozen=True, slots=True)
class StudentSettings:
    """How a student is built and trained; recorded in its folder."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    text_encoder: str | None = None  # of queries without a stored vector; None: all-MiniLM-L6-v2, or the workspace's
    gold_share: float = 0.5  # of a human row's target that is its gold level; the rest is the annotators' votes
    human_weight: float = 1.0  # of a human row's loss, a teacher row's being 1
    peer_share: float = 0.5  # of a soft label that a student of human labels has a say in; the rest is the teacher's
    target_temperature: float = 1.0  # of soft labels: p ** (1 / temperature), summing to 1; above 1 flatter
    hard_share: float = 0.0  # of a soft label that is its most probable level alone
    ordinal_margin: float = 0.0  # logits by which a level that is one off must lie lower (losses.py); 0: none
    input_dropout: float = 0.15  # chance that a row's input is left out, in the half of training that leaves any out
    query_slips: float = 0.0  # chance that a row is asked by its query misspelled
    epochs: int = 30  # at most
    look_rows: int = 2_000_000  # after so many, or an epoch where that is less, the dev loss is looked at
    patience: int = 5  # looks without a better dev loss before training stops
    batch_size: int = 256  # pairs a step
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.epochs, self.patience, self.batch_size, self.look_rows)
        if min(counts) < 1 or not (0 < self.learning_rate < float("inf") and 0 < self.human_weight < float("inf")):
            raise BadInput(
                "expected epochs, patience, batch_size and look_rows of 1 or more and a learning rate and human weight "
                f"above 0, found {counts}, {self.learning_rate} and {self.human_weight}"
            )
        shares = (self.gold_share, self.peer_share, self.hard_share)
        chances = (self.input_dropout, self.query_slips)
        if not all(0 <= share <= 1 for share in shares) or not all(0 <= chance < 1 for chance in chances):
            raise BadInput(
                "expected gold_share, peer_share and --hard-share of 0 to 1, input_dropout and --query-slips of 0 to "
                f"below 1, found {shares} and {chances}"
            )
        if not (0 < self.target_temperature < float("inf") and 0 <= self.ordinal_margin < float("inf")):
            raise BadInput(
                "expected --target-temperature above 0 and --ordinal-margin of 0 or more, found "
                f"{self.target_temperature} and {self.ordinal_margin}; 1 and 0 leave targets and logits as they are"
            )


@dataclass(frozen=True, slots=True)
class StudentRecord:
    """What is kept beside the weights."""

    settings: StudentSettings
    dimensions: Dimensions
    interests: tuple[str, ...]
    catalogue_pins: int  # of which the term frequencies were counted
    calibration: Calibration
    prior: tuple[float, ...]  # mean target in training: the answer for a pin of which nothing is known
    encoder: str  # producer of the query vectors
    human_rows: int
    teacher_rows: int
    epochs: int  # after which the kept weights were reached
    dev_loss: float | None  # cross-entropy of the dev rows' gold levels, calibrated; None without dev rows
    fingerprint: str  # of weights and settings: another one, another answer
    data_fingerprint: str  # of the training and dev rows
    feature_service: str | None  # fingerprint of the feature service that gave them; None where none did
    reliability: CalibrationReport | None = None  # on dev, before and after calibration; None: too few dev queries
    features: tuple[str, ...] = (*PAIR_FEATURES, *QUERY_FEATURES)
    code_version: str = enrich.__version__


class Student:
    """A trained student; safe to share between threads."""

    def __init__(self, record: StudentRecord, statistics: Statistics, network: StudentNetwork) -> None:
        self.record = record
        self.statistics = statistics
        self.network = network.eval()

    @classmethod
    def load(cls, path: str | Path) -> Student:
        """The student in folder `path`. Raises BadInput when there is none, or it is broken or of other features."""
        folder = Path(path)
        if not (folder / _RECORD).is_file():
            raise BadInput(f"expected a student in {folder}, found no {_RECORD}; run `relevance train-student`")
        try:
            record = _read_record(json.loads((folder / _RECORD).read_text()))
            tensors = load((folder / _WEIGHTS).read_bytes())  # mapped, a file cut off while it serves would end it
            statistics = _statistics(record, tensors)
            network = StudentNetwork(record.settings.network, record.dimensions, len(record.interests))
            network.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(_STATISTICS)})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BadInput(
                f"expected a whole student in {folder}, found one that does not load ({reason}); train it again"
            ) from error
        if record.features != (*PAIR_FEATURES, *QUERY_FEATURES):
            raise BadInput(f"expected a student of this version's features in {folder}, found others; train it again")
        return cls(record, statistics, network)

    def save(self, folder: Path) -> None:
        """Write the model folder; student.json last, so that a folder without it is unfinished."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "terms": torch.from_numpy(self.statistics.terms.astype(np.int64)),
            "frequencies": torch.from_numpy(self.statistics.frequencies),
            "average_lengths": torch.from_numpy(self.statistics.average_lengths),
        }
        tensors = {k: v.contiguous() for k, v in self.network.state_dict().items()}
        save_file(tensors | {_STATISTICS + name: array for name, array in arrays.items()}, folder / _WEIGHTS)
        parts.write_text(folder / _CARD, _card(self.record))
        parts.write_text(folder / _RECORD, json.dumps(asdict(self.record), indent=1, ensure_ascii=False) + "\n")

    def features(self, query: QueryInputs, pins: PinBatch, rates: Floats, has_rates: Bools) -> Features:
        """Inputs of `predict`, by the statistics of this model; arguments as `relevance.features.features`."""
        return features(query, pins, rates, has_rates, self.statistics)

    def predict(self, inputs: Features) -> Floats:
        """Calibrated probabilities of the pairs, float32 [n, 5], columns levels 1..5, rows sum to 1."""
        return self.record.calibration.probabilities(self.logits(inputs))

    def logits(self, inputs: Features) -> Floats:
        """Before calibration; float32 [n, 5]."""
        scores: Floats = self._logits(inputs).numpy()
        return scores

    def _logits(self, inputs: Features) -> torch.Tensor:
        network = self.network.one_query if len(inputs.query_vector) == 1 else self.network
        with torch.inference_mode():
            logits: torch.Tensor = network(Inputs.of(inputs))
            return logits


def settings_of(folder: Path) -> StudentSettings | None:
    """How the student in `folder` was taught; None where there is none. Raises BadInput where it cannot be read."""
    path = folder / _RECORD
    if not path.is_file():
        return None
    try:
        return _read_settings(json.loads(path.read_text())["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"expected a student's record in {path}, found one that cannot be read ({type(error).__name__}: {error}); "
            "train it again with `relevance train-student`"
        ) from error


def _read_settings(raw: dict[str, Any]) -> StudentSettings:
    said = {"low_rank": False} | raw["network"]  # older students have every direction, and do not say so
    return StudentSettings(**raw | {"network": NetworkSettings(**said | {"size": Size(said["size"])})})


def _read_record(raw: dict[str, Any]) -> StudentRecord:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    plain["settings"] = _read_settings(raw["settings"])
    plain["calibration"] = Calibration.read(raw["calibration"])
    plain["reliability"] = CalibrationReport.read(raw.get("reliability"))
    plain["dimensions"] = Dimensions(*raw["dimensions"])
    return StudentRecord(**plain)


def _statistics(record: StudentRecord, tensors: dict[str, torch.Tensor]) -> Statistics:
    return Statistics(
        pins=record.catalogue_pins,
        terms=tensors[_STATISTICS + "terms"].numpy().astype(np.uint32),
        frequencies=tensors[_STATISTICS + "frequencies"].numpy(),
        average_lengths=tensors[_STATISTICS + "average_lengths"].numpy(),
        interests=record.interests,
        dimensions=record.dimensions,
    )


def _card(record: StudentRecord) -> str:
    loss = "not measured (no dev rows)" if record.dev_loss is None else f"{record.dev_loss:.3f}"
    biases = ", ".join(f"{bias:+.2f}" for bias in record.calibration.biases)
    return f"""---
library_name: corkboard
tags: [search-relevance, distillation]
---
# A student of search relevance

A feed-forward network (size {record.settings.network.size}) that gives a (query, pin) the probabilities of five levels
of relevance, 5 highly relevant to 1 highly irrelevant. Load it with `relevance.student.Student.load(folder)`.

- Learned from {record.teacher_rows:,} pairs labelled by a teacher and {record.human_rows:,} judged by people;
  best after {record.epochs} epochs; cross-entropy on held-out judged pairs {loss}.
- Reads {len(PAIR_FEATURES)} numbers of the pair, {len(QUERY_FEATURES)} of the query, {len(record.interests)} interests,
  and vectors of {record.dimensions.query} (query), {record.dimensions.text} (text), {record.dimensions.visual} (visual)
  and {record.dimensions.graph} (graph) entries; query vectors by {record.encoder}.
- Probabilities are calibrated by one temperature ({record.calibration.temperature:.3f}) and a bias a level ({biases}).
- Fingerprint {record.fingerprint}; made from rows {record.data_fingerprint} of feature service
  {record.feature_service or "none (given by hand)"}, by corkboard {record.code_version}. Settings and feature names are
  in `{_RECORD}`.

{card_table(record.reliability)}

What it was not tested on (other catalogues, languages without judgments) it may get wrong; measure it there with
`relevance evaluate` before relying on it.
"""
