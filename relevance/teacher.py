"""The teacher: a cross-encoder that gives a (query, pin) the probabilities of the five levels.

Reads a checkpoint folder and texts; `teacher_training.py` writes the folder:

    config.json, model.safetensors, tokenizer…   the backbone, as transformers saves it
    head.safetensors                             the fully connected layers
    teacher.json                                 settings, temperature, fingerprints, metrics (`TeacherRecord`)
    README.md                                    the model card, written from teacher.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax

import enrich
from enrich import parts
from enrich.errors import BadInput
from relevance.teacher_network import (
    LEVELS,
    Backbone,
    HeadInput,
    Pooling,
    TeacherNetwork,
    collate,
    default_pooling,
    load_backbone,
)
from relevance.text import Field, FieldBudget, PinText, Rendered, Renderer, TextSettings, pair_texts

_RECORD = "teacher.json"
_HEAD = "head.safetensors"
_PAIRS_AT_ONCE = 16_384  # rendered together and sorted by length
_TOKENS_A_BATCH_CPU, _TOKENS_A_BATCH_GPU = 4_096, 131_072  # padded tokens of one forward pass


class Targets(StrEnum):
    """What the cross-entropy aims at: the gold level, or half that and half the annotators' votes."""

    LEVEL = "level"
    VOTES = "votes"


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """How a teacher is built and trained; recorded in its checkpoint."""

    backbone: str | None = None  # folder or hub id[@revision]; None for the installed all-MiniLM-L6-v2
    text: TextSettings = field(default_factory=TextSettings)
    pooling: Pooling | None = None  # None: CLS where the tokenizer has it, else the last token
    head_inputs: HeadInput = HeadInput.SEGMENTS
    hidden: tuple[int, ...] = (256,)  # widths of the fully connected layers before the logits
    dropout: float = 0.1  # in the head
    backbone_dropout: float = 0.0  # in the backbone while it trains; drawing it costs a CPU a third of each step
    targets: Targets = Targets.VOTES
    epochs: int = 3  # at most
    patience: int = 2  # epochs without a better dev loss before training stops
    batch_size: int = 32  # pairs a step
    learning_rate: float = 5e-5  # of the backbone, at its peak
    head_learning_rate: float = 1e-3  # of the head
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps; linear up, then linear down to 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise BadInput(
                f"expected epochs, batch_size and patience of 1 or more, found {self.epochs}, {self.batch_size}, "
                f"{self.patience}"
            )
        if self.learning_rate <= 0 or self.head_learning_rate <= 0:
            raise BadInput(f"expected learning rates above 0, found {self.learning_rate} and {self.head_learning_rate}")


@dataclass(frozen=True, slots=True)
class TeacherRecord:
    """What is written beside the weights."""

    settings: TeacherSettings
    pooling: Pooling
    temperature: float
    fingerprint: str  # of weights and settings; the producer of this teacher's soft labels
    data_fingerprint: str  # of the training and dev rows
    feature_service: str | None  # fingerprint of the feature service that gave the texts; None where none did
    metrics: dict[str, float]
    code_version: str = enrich.__version__


class Teacher:
    """A trained teacher, ready to predict."""

    def __init__(self, network: TeacherNetwork, backbone: Backbone, record: TeacherRecord) -> None:
        self._network = network.eval()
        self._padding_id = backbone.padding_id
        self._renderer = Renderer(backbone.tokenizer, record.settings.text)
        self._device = next(network.parameters()).device
        self.record = record

    @classmethod
    def load(cls, path: str | Path, dtype: torch.dtype | None = None, device: str | None = None) -> Teacher:
        """The teacher saved at `path`. `dtype` is the backbone's (None: `fast_dtype`), `device` torch's name.

        Raises BadInput where the folder is absent, incomplete or truncated.
        """
        folder = Path(path)
        record = read_record(folder)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        backbone = load_backbone(str(folder), dtype or fast_dtype(where))
        network = build_network(backbone, record.settings)
        _load_head(network, folder / _HEAD)
        return cls(network.to(where), backbone, record)

    @property
    def producer(self) -> str:
        """The name under which its soft labels are stored."""
        return f"teacher@{self.record.fingerprint}"

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Probabilities float32 [n, 5], columns levels 1..5, rows sum to 1; a str is a pin that has only a title."""
        scaled = self.logits(queries, pin_texts).astype(np.float64) / self.record.temperature
        return np.asarray(softmax(scaled, axis=1), dtype=np.float32)

    def logits(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> npt.NDArray[np.float32]:
        """Logits before the temperature, float32 [n, 5], in the order given. Raises BadInput on unequal lengths."""
        pairs = pair_texts(queries, pin_texts)
        found = np.zeros((len(pairs), LEVELS), dtype=np.float32)
        tokens = _TOKENS_A_BATCH_CPU if self._device.type == "cpu" else _TOKENS_A_BATCH_GPU
        with torch.inference_mode():
            for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                rows = self._renderer.render(pairs[start : start + _PAIRS_AT_ONCE])
                for places in length_buckets([len(row.ids) for row in rows], tokens):
                    found[start + places] = self._forward([rows[i] for i in places])
        return found

    def _forward(self, rows: Sequence[Rendered]) -> npt.NDArray[np.float32]:
        batch = collate(rows, self._padding_id).to(self._device)
        logits = self._network(*batch)["logits"]
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)


def length_buckets(lengths: Sequence[int], tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of places, longest first, each of at most `tokens` padded tokens (or of one row)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the chip computes in it (AVX512-BF16, AMX, CUDA ≥ 8.0), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if device.type == "cpu" and native else torch.float32


def build_network(backbone: Backbone, settings: TeacherSettings) -> TeacherNetwork:
    """The backbone with a new head (random weights, float32)."""
    pooling = settings.pooling or default_pooling(backbone.tokenizer)
    return TeacherNetwork(
        backbone.network, backbone.width, pooling, settings.head_inputs, settings.hidden, settings.dropout
    )


def save_teacher(
    folder: Path,
    network: TeacherNetwork,
    backbone: Backbone,
    settings: TeacherSettings,
    provenance: tuple[str, str | None],
    temperature: float,
    metrics: dict[str, float],
) -> TeacherRecord:
    """Write the checkpoint, `teacher.json` last. `provenance`: fingerprints of the rows and of the feature service."""
    folder.mkdir(parents=True, exist_ok=True)
    network.backbone.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    save_file({name: weight.contiguous() for name, weight in network.head.state_dict().items()}, folder / _HEAD)
    record = TeacherRecord(
        settings=settings,
        pooling=settings.pooling or default_pooling(backbone.tokenizer),
        temperature=temperature,
        fingerprint=_fingerprint(folder, settings, temperature),
        data_fingerprint=provenance[0],
        feature_service=provenance[1],
        metrics=metrics,
    )
    parts.write_text(folder / _RECORD, json.dumps(asdict(record), indent=1) + "\n")
    return record


def read_record(folder: Path) -> TeacherRecord:
    """What `teacher.json` says. Raises BadInput where there is none that can be read."""
    path = folder / _RECORD
    remedy = "train one with `relevance train-teacher`, or name another folder"
    if not path.is_file():
        raise BadInput(f"expected a teacher's checkpoint ({_RECORD} and weights) at {folder}, found none; {remedy}")
    try:
        return _record(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"expected a teacher's record in {path}, found one that cannot be read ({type(error).__name__}: {error}); "
            f"{remedy}"
        ) from error


def _record(raw: dict[str, Any]) -> TeacherRecord:
    settings = raw["settings"]
    budgets = tuple(FieldBudget(Field(name), marker, share) for name, marker, share in settings["text"]["fields"])
    text = TextSettings(**{**settings["text"], "fields": budgets})
    return TeacherRecord(
        **{
            **raw,
            "pooling": Pooling(raw["pooling"]),
            "settings": TeacherSettings(
                **{
                    **settings,
                    "text": text,
                    "pooling": Pooling(settings["pooling"]) if settings["pooling"] else None,
                    "head_inputs": HeadInput(settings["head_inputs"]),
                    "hidden": tuple(settings["hidden"]),
                    "targets": Targets(settings["targets"]),
                }
            ),
        }
    )


def _load_head(network: TeacherNetwork, path: Path) -> None:
    try:
        network.head.load_state_dict(load_file(path))
    except Exception as error:  # safetensors has a type of its own for a cut file, torch raises RuntimeError on shapes
        raise BadInput(
            f"expected the teacher's head in {path}, found one that does not load ({type(error).__name__}); copy the "
            "checkpoint again or train it anew with `relevance train-teacher`"
        ) from error


def _fingerprint(folder: Path, settings: TeacherSettings, temperature: float) -> str:
    """Twelve hex digits over the weights and all that decides a probability."""
    digest = hashlib.sha256(json.dumps([asdict(settings), temperature], sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
