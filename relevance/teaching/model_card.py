"""The README.md of a teacher's checkpoint, written from its record alone."""

from __future__ import annotations

from pathlib import Path

from enrich import parts
from relevance.reliability import card_table
from relevance.teaching.checkpoint import TeacherRecord, TeacherSettings
from relevance.teaching.choices import Adapter
from relevance.teaching.layers import WIDE, usual_rate

_CARD = """\
---
library_name: corkboard
pipeline_tag: text-ranking
tags: [search-relevance, cross-encoder]
base_model: {backbone}
---
# A search relevance teacher

Gives a (query, pin) the probabilities of five levels: 1 highly irrelevant, 2 irrelevant, 3 marginally relevant,
4 relevant, 5 highly relevant. It reads the query, then `{fields}`, its tokenizer's special tokens around both, at most
{max_tokens} tokens.

    from relevance.teacher import Teacher
    Teacher.load("THIS FOLDER").predict(["oak table"], ["A round dining table of solid oak"])

| | |
|---|---|
| fingerprint | {fingerprint} |
| backbone | {backbone}, {backbone_revision} |
| pooling and head | {pooling}, {head_inputs}, hidden layers {hidden} |
| training | up to {epochs} epochs, batches of {batch_size} |
| learning rate | {learning_rate}, head {head_learning_rate}, a layer by the one above it {layer_decay} |
| targets and loss | {targets}, {loss} |
| against overfitting | label smoothing {label_smoothing}, R-drop {r_drop} |
| in training left out, misspelled | a text field at {field_dropout}, a query at {query_slips} |
| adapter | {adapter} |
| seed | {seed} |
| rows | {data_fingerprint} |
| feature service | {feature_service} |
| code | corkboard {code_version} |

## Measured while training

{metrics}

{reliability}

The dev split chose the epoch and the calibration, so its figures flatter; `relevance evaluate` reports queries that
were held out.
"""


def _adapter(settings: TeacherSettings) -> str:
    if settings.adapter is Adapter.NONE:
        return "none: all weights were taught"
    return f"{settings.adapter}, rank {settings.lora_rank}, alpha {settings.lora_alpha}, merged"


def _rate(settings: TeacherSettings) -> str:
    rate = settings.learning_rate if settings.adapter is Adapter.NONE else settings.adapter_learning_rate
    if rate is not None:
        return str(rate)
    return f"{usual_rate(0)}, or {usual_rate(WIDE)} where the backbone is {WIDE:,} wide or more"


def write_model_card(folder: Path, record: TeacherRecord) -> None:
    """Write `folder`/README.md."""
    settings = record.settings
    parts.write_text(
        folder / "README.md",
        _CARD.format(
            backbone=settings.backbone or "sentence-transformers/all-MiniLM-L6-v2",
            backbone_revision=f"files {record.backbone_revision or 'not known'}",
            fields=" ".join(f"{budget.marker} …" for budget in settings.text.fields),
            max_tokens=settings.text.max_tokens,
            fingerprint=record.fingerprint,
            pooling=record.pooling,
            head_inputs=settings.head_inputs,
            hidden=list(settings.hidden),
            epochs=settings.epochs_for(int(record.metrics.get("train_pairs", 0))),
            batch_size=settings.batch_size,
            learning_rate=_rate(settings),
            head_learning_rate=settings.head_learning_rate,
            layer_decay=settings.layer_decay,
            targets=settings.targets,
            loss=settings.loss,
            label_smoothing=settings.label_smoothing,
            r_drop=settings.r_drop,
            field_dropout=settings.field_dropout,
            query_slips=settings.query_slips,
            adapter=_adapter(settings),
            seed=settings.seed,
            data_fingerprint=record.data_fingerprint,
            feature_service=record.feature_service or "none: the texts were given by hand",
            code_version=record.code_version,
            metrics="\n".join(f"- {name}: {value:.4g}" for name, value in record.metrics.items()),
            reliability=card_table(record.reliability),
        ),
    )
