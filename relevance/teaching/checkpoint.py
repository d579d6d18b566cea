"""A teacher's checkpoint: how it is built and trained, what is written beside its weights, and reading both back.

config.json, model.safetensors, tokenizer…   the backbone, as transformers saves it
head.safetensors                             the fully connected layers
teacher.json                                 settings, calibration, fingerprints, metrics (`TeacherRecord`)
README.md                                    the model card, written from teacher.json (model_card.py)
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import enrich
from enrich import parts
from enrich.errors import BadInput
from relevance.calibration import Calibration
from relevance.reliability import CalibrationReport
from relevance.teaching.choices import Adapter, Loss, Targets
from relevance.teaching.network import Backbone, HeadInput, HeadShape, Pooling, TeacherNetwork, default_pooling
from relevance.text import FieldBudget, TextSettings
from relevance.text_fields import Field

_RECORD = "teacher.json"
_HEAD = "head.safetensors"
_TOKENIZER = "tokenizer.json"
_EPOCHS, _MOST_EPOCHS = 3, 8
_LEAST_STEPS = 80  # below that a teacher has hardly begun to learn
_NUMBERS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
}
_REMEDY = "copy it again, or remove the folder and run `relevance train-teacher`"


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """How a teacher is built and trained; recorded in its checkpoint."""

    backbone: str | None = None  # folder or hub id[@revision]; None for the installed all-MiniLM-L6-v2
    text: TextSettings = field(default_factory=TextSettings)
    pooling: Pooling | None = None  # None: CLS where the tokenizer has it, else the last token
    head_inputs: HeadInput = HeadInput.INTERACTIONS
    hidden: tuple[int, ...] = (256,)  # widths of the fully connected layers before the logits
    dropout: float = 0.1  # in the head
    backbone_dropout: float = 0.0  # in the backbone while it trains; drawing it costs a CPU a third of each step
    targets: Targets = Targets.VOTES
    loss: Loss = Loss.CROSS_ENTROPY
    label_smoothing: float = 0.0  # share of each training target that is spread evenly over the levels
    r_drop: float = 0.0  # weight of the divergence between two passes with other dropout (losses.py); 0: one pass
    field_dropout: float = 0.0  # chance that a text field of a training pair is left out, drawn anew each epoch
    query_slips: float = 0.0  # chance that a training pair's query is misspelled (query_slips.py), anew each epoch
    adapter: Adapter = Adapter.NONE  # which of the backbone's weights are taught
    lora_rank: int = 16
    lora_alpha: int = 32  # what an adapter adds is scaled by alpha / rank
    gradient_checkpointing: bool = False  # less memory, about a third more time
    weak_epochs: int = 1  # over the pairs whose levels were read off behaviour, before those that people judged
    epochs: int | None = None  # over the judged pairs, at most; None: by their number (`epochs_for`)
    patience: int = 2  # where dev can tell: epochs without a better loss before training stops, so three are always run
    batch_size: int = 32  # pairs a step
    learning_rate: float | None = 5e-5  # of the backbone, at its peak; None: by its width (layers.usual_rate)
    layer_decay: float = 1.0  # a layer's rate by that of the layer above it; 1: one rate for all
    head_learning_rate: float = 1e-3  # of the head
    adapter_learning_rate: float = 2e-4  # of LoRA's weights, in place of the backbone's (QLoRA, arXiv 2305.14314)
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps; linear up, then linear down to 0
    seed: int = 0

    def on(self, backbone: str | None) -> TeacherSettings:
        """These settings for another backbone, taught at the rate of its width."""
        rate = TeacherSettings().learning_rate if backbone is None else None
        return replace(self, backbone=backbone, learning_rate=rate)

    def epochs_for(self, pairs: int) -> int:
        """Epochs over so many judged pairs: those named, or three, or of few pairs as many as make _LEAST_STEPS."""
        if self.epochs is not None:
            return self.epochs
        return max(_EPOCHS, min(_MOST_EPOCHS, math.ceil(_LEAST_STEPS / math.ceil(max(1, pairs) / self.batch_size))))

    def __post_init__(self) -> None:
        self._refuse_other_types()
        epochs = 1 if self.epochs is None else self.epochs
        if min(self.weak_epochs, epochs, self.batch_size, self.patience, *self.hidden) < 1:
            raise BadInput(
                "expected weak_epochs, epochs, batch_size, patience and hidden of 1 or more, found "
                f"{self.weak_epochs}, {self.epochs}, {self.batch_size}, {self.patience} and {self.hidden}"
            )
        if not 0 <= self.seed < 2**32:
            raise BadInput(f"expected a seed of 0 to 2^32 - 1, found {self.seed}")
        if not 0 <= self.weight_decay < float("inf"):
            raise BadInput(f"expected a weight decay of 0 or more, found {self.weight_decay}; 0 leaves it out")
        given = (self.learning_rate, self.head_learning_rate, self.adapter_learning_rate)
        rates = [rate for rate in given if rate is not None]
        if not min(rates) > 0:
            raise BadInput(f"expected learning rates above 0, found {rates}; 5e-5, 1e-3 and 2e-4 are the defaults")
        shares = {
            "--label-smoothing": self.label_smoothing,
            "--field-dropout": self.field_dropout,
            "--query-slips": self.query_slips,
            "dropout": self.dropout,
            "backbone_dropout": self.backbone_dropout,
            "warmup": self.warmup,
        }
        for flag, share in shares.items():
            if not 0 <= share < 1:
                raise BadInput(f"expected {flag} of 0 or more and below 1, found {share}; 0 leaves it out")
        if not 0 < self.layer_decay <= 1:
            raise BadInput(f"expected --layer-decay above 0 and at most 1, found {self.layer_decay}; 1 leaves it out")
        if not 0 <= self.r_drop < float("inf"):
            raise BadInput(f"expected --r-drop of 0 or more, found {self.r_drop}; 0 leaves it out")
        if self.r_drop and not max(self.dropout, self.backbone_dropout):
            raise BadInput(
                "expected dropout with --r-drop, which compares two draws of it, found dropout and backbone_dropout 0; "
                "raise one of them or leave --r-drop at 0"
            )
        if self.lora_rank < 1 or self.lora_alpha < 1:
            raise BadInput(
                f"expected lora_rank and lora_alpha of 1 or more, found {self.lora_rank} and {self.lora_alpha}; "
                "16 and 32 are the defaults"
            )

    def _refuse_other_types(self) -> None:
        """Raises BadInput for what is no number where one belongs."""
        for one in fields(self):
            value = getattr(self, one.name)
            allowed = _NUMBERS.get(str(one.type))
            if allowed and (isinstance(value, bool) or not isinstance(value, allowed)):
                raise BadInput(f"expected {one.name} as {one.type}, found {value!r}; give it a number")
        if not isinstance(self.hidden, tuple) or any(type(width) is not int for width in self.hidden):
            raise BadInput(f"expected hidden as a tuple of whole widths, found {self.hidden!r}; (256,) is the default")


@dataclass(frozen=True, slots=True)
class TeacherRecord:
    """What is written beside the weights."""

    settings: TeacherSettings
    pooling: Pooling
    calibration: Calibration
    fingerprint: str  # of weights, tokenizer and settings; the producer of this teacher's soft labels
    data_fingerprint: str  # of the training and dev rows
    feature_service: str | None  # fingerprint of the feature service that gave the texts; None where none did
    metrics: dict[str, float]
    reliability: CalibrationReport | None = None  # on dev, before and after calibration; None: too few dev queries
    backbone_revision: str | None = None  # of its files, the hub's commit or a fingerprint; None in older teachers
    code_version: str = enrich.__version__


def producer_of(record: TeacherRecord) -> str:
    """The name under which this teacher's soft labels are stored."""
    return f"teacher@{record.fingerprint}"


class Provenance(NamedTuple):
    """What a teacher was made from."""

    data_fingerprint: str  # of the training and dev rows
    feature_service: str | None  # fingerprint of the feature service that gave the texts; None where none did
    backbone_revision: str | None  # of the backbone's files


def build_network(backbone: Backbone, settings: TeacherSettings) -> TeacherNetwork:
    """The backbone with a new head (random weights, float32)."""
    pooling = settings.pooling or default_pooling(backbone.tokenizer)
    return TeacherNetwork(
        backbone.network,
        backbone.width,
        pooling,
        HeadShape(settings.head_inputs, settings.hidden, settings.dropout, len(settings.text.fields), settings.loss),
        settings.r_drop,
    )


def save_teacher(
    folder: Path,
    network: TeacherNetwork,
    backbone: Backbone,
    settings: TeacherSettings,
    provenance: Provenance,
    calibration: Calibration,
    metrics: dict[str, float],
    reliability: CalibrationReport | None = None,
) -> TeacherRecord:
    """Write the checkpoint, `teacher.json` last."""
    folder.mkdir(parents=True, exist_ok=True)
    network.backbone.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    save_file({name: weight.contiguous() for name, weight in network.head.state_dict().items()}, folder / _HEAD)
    record = TeacherRecord(
        settings=settings,
        pooling=settings.pooling or default_pooling(backbone.tokenizer),
        calibration=calibration,
        fingerprint=_fingerprint(folder, settings, calibration),
        data_fingerprint=provenance.data_fingerprint,
        feature_service=provenance.feature_service,
        metrics=metrics,
        reliability=reliability,
        backbone_revision=provenance.backbone_revision,
    )
    parts.write_text(folder / _RECORD, json.dumps(asdict(record), indent=1) + "\n")
    return record


def read_record(folder: Path) -> TeacherRecord:
    """What `teacher.json` says. Raises BadInput where there is none that can be read."""
    path = folder / _RECORD
    if not path.is_file():
        raise BadInput(
            f"expected a teacher's checkpoint ({_RECORD} and weights) at {folder}, found none; "
            "train one with `relevance train-teacher`, or name another folder"
        )
    try:
        return _record(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"expected a teacher's record in {path}, found one that cannot be read ({type(error).__name__}: {error}); "
            f"{_REMEDY}"
        ) from error


def _record(raw: dict[str, Any]) -> TeacherRecord:
    return TeacherRecord(
        **{
            **raw,
            "pooling": Pooling(raw["pooling"]),
            "calibration": Calibration.read(raw["calibration"]),
            "reliability": CalibrationReport.read(raw.get("reliability")),
            "settings": settings_of(raw["settings"]),
        }
    )


def settings_of(raw: dict[str, Any]) -> TeacherSettings:
    """As they were written. Raises KeyError, TypeError or ValueError where they are not whole."""
    budgets = tuple(FieldBudget(Field(name), marker, share) for name, marker, share in raw["text"]["fields"])
    return TeacherSettings(
        **{
            **raw,
            "text": TextSettings(**{**raw["text"], "fields": budgets}),
            "pooling": Pooling(raw["pooling"]) if raw["pooling"] else None,
            "head_inputs": HeadInput(raw["head_inputs"]),
            "hidden": tuple(raw["hidden"]),
            "targets": Targets(raw["targets"]),
            "loss": Loss(raw.get("loss", Loss.CROSS_ENTROPY)),  # absent in a teacher of an earlier version
            "adapter": Adapter(raw.get("adapter", Adapter.NONE)),
        }
    )


def check_weights(folder: Path) -> None:
    """Raises BadInput where a file of weights is cut or damaged; reads the files' headers alone."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"expected whole weights in {path}, found a file cut or damaged ({error}); {_REMEDY}"
            ) from error


def load_head(network: TeacherNetwork, folder: Path) -> None:
    """Give the network its head's weights. Raises BadInput where they do not load."""
    path = folder / _HEAD
    try:
        network.head.load_state_dict(load_file(path))
    except Exception as error:  # safetensors has a type of its own for a cut file, torch raises RuntimeError on shapes
        raise BadInput(
            f"expected the teacher's head in {path}, found one that does not load ({type(error).__name__}); {_REMEDY}"
        ) from error


def _fingerprint(folder: Path, settings: TeacherSettings, calibration: Calibration) -> str:
    """Twelve hex digits over the weights, the tokenizer and the settings: all that decides a probability."""
    digest = hashlib.sha256(json.dumps([asdict(settings), asdict(calibration)], sort_keys=True).encode())
    for file in [*sorted(folder.glob("*.safetensors")), folder / _TOKENIZER]:
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
