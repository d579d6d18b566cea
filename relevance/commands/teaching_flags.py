"""The flags of `relevance train-teacher` that say how it learns: each a field of TeacherSettings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enrich import console
from relevance.teaching.choices import Adapter, Loss, Targets

if TYPE_CHECKING:
    from relevance.teaching.checkpoint import TeacherSettings

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TeachingFlags:
    """What was given; None leaves the setting as it is."""

    loss: Loss | None = None
    label_smoothing: float | None = None
    layer_decay: float | None = None
    r_drop: float | None = None
    field_dropout: float | None = None
    query_slips: float | None = None
    adapter: Adapter | None = None
    gradient_checkpointing: bool | None = None
    targets: Targets | None = None
    learning_rate: float | None = None  # of what is taught: the backbone, or an adapter beside it
    batch_size: int | None = None
    max_tokens: int | None = None
    lora_rank: int | None = None
    patience: int | None = None

    def applied(self, settings: TeacherSettings) -> TeacherSettings:
        """The settings with what was given. Raises BadInput where it clashes, or this machine cannot do it."""
        from relevance.teaching.adapters import require

        if self.adapter is not None:  # one that was taught with before is asked for where there is something to train
            require(self.adapter)
        adapter = _given(self.adapter, settings.adapter)
        rate = "learning_rate" if adapter is Adapter.NONE else "adapter_learning_rate"
        given: dict[str, Any] = {} if self.learning_rate is None else {rate: self.learning_rate}
        return replace(
            settings,
            **given,
            text=replace(settings.text, max_tokens=_given(self.max_tokens, settings.text.max_tokens)),
            loss=_given(self.loss, settings.loss),
            label_smoothing=_given(self.label_smoothing, settings.label_smoothing),
            layer_decay=_given(self.layer_decay, settings.layer_decay),
            r_drop=_given(self.r_drop, settings.r_drop),
            field_dropout=_given(self.field_dropout, settings.field_dropout),
            query_slips=_given(self.query_slips, settings.query_slips),
            adapter=adapter,
            lora_rank=_given(self.lora_rank, settings.lora_rank),
            gradient_checkpointing=_given(self.gradient_checkpointing, settings.gradient_checkpointing),
            targets=_given(self.targets, settings.targets),
            batch_size=_given(self.batch_size, settings.batch_size),
            patience=_given(self.patience, settings.patience),
        )


def _given(flag: Value | None, setting: Value) -> Value:
    return setting if flag is None else flag


def taught(command: console.Command) -> console.Command:
    """Give a command the flags below, as one argument `teaching: TeachingFlags`."""

    @wraps(command)
    def collected(**given: Any) -> object:
        flags = {field.name: given.pop(field.name) for field in fields(TeachingFlags)}
        return command(teaching=TeachingFlags(**flags), **given)

    return _TEACHING(collected)


_TEACHING = console.options(
    click.option(
        "--loss",
        type=click.Choice([loss.value for loss in Loss]),
        callback=lambda _context, _option, value: value and Loss(value),
        help="The last layer and what it learns by.  [default: cross-entropy]",
    ),
    click.option(
        "--targets",
        type=click.Choice([targets.value for targets in Targets]),
        callback=lambda _context, _option, value: value and Targets(value),
        help="What is aimed at: half the level, half the annotators' votes, or the level alone.  [default: votes]",
    ),
    click.option(
        "--label-smoothing", type=float, metavar="SHARE", help="Of each target, spread over all levels.  [default: 0]"
    ),
    click.option(
        "--layer-decay",
        type=float,
        metavar="FACTOR",
        help="A layer's learning rate by the next one's above.  [default: 1]",
    ),
    click.option(
        "--r-drop",
        type=float,
        metavar="WEIGHT",
        help="Of the divergence of two passes with other dropout.  [default: 0]",
    ),
    click.option(
        "--field-dropout",
        type=float,
        metavar="CHANCE",
        help="That a text field is left out, each epoch anew.  [default: 0]",
    ),
    click.option(
        "--query-slips", type=float, metavar="CHANCE", help="That a query is misspelled, each epoch anew.  [default: 0]"
    ),
    click.option(
        "--adapter",
        type=click.Choice([adapter.value for adapter in Adapter]),
        callback=lambda _context, _option, value: value and Adapter(value),
        help="Teach low-rank additions alone; qlora: on 4 bits (CUDA).  [default: none]",
    ),
    click.option("--lora-rank", type=click.IntRange(min=1), help="Of an adapter's additions.  [default: 16]"),
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        metavar="RATE",
        help="Peak, of the backbone or its adapter.  [default: 5e-5; 1,024 wide or more: 1e-5; adapter: 2e-4]",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Pairs a step.  [default: 32]"),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Of a query and a pin.  [default: 128]"),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        metavar="N",
        help="Epochs without a better dev loss before training stops, with 100 dev queries.  [default: 2]",
    ),
    click.option("--gradient-checkpointing", is_flag=True, default=None, help="Less memory for a third more time."),
)
