"""The teacher's network: a pretrained backbone, what it says of the pair, fully connected layers, five numbers.

Any encoder that AutoModel loads (BERT, MiniLM, mDeBERTa, XLM-R), a T5 encoder, or a decoder (Llama class), with weights
in safetensors, a fast tokenizer and positions for `TextSettings.max_tokens`, 128 unless set otherwise. The pair is
summed up by one token – CLS where the tokenizer has one, else the last that is not padding – and, by default, by how
the query's part of the sequence stands to the pin's part (see `HeadInput.INTERACTIONS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer
from transformers.utils import logging as _transformers_logging

from enrich.checkpoints import fingerprint, refuse_wordless
from enrich.errors import BadInput
from enrich.text_encoder import default_model_path
from relevance.teaching.choices import Loss
from relevance.teaching.interactions import TokenInteractions
from relevance.teaching.losses import divergence_of_halves, last_layer, loss_of
from relevance.text import Rendered, Segment

_logging: Any = _transformers_logging  # it has no annotations


class Pooling(StrEnum):
    """Which token stands for the whole sequence."""

    CLS = "cls"
    LAST = "last"


class HeadInput(StrEnum):
    """What the fully connected layers read.

    TOKEN: the pooled token's state alone, as in arXiv 2410.17152.
    SEGMENTS: that, and the mean states u of the query's and v of the pin's tokens, both at length √d, as u, v, |u - v|,
    u·v element-wise and their cosine (the matching features of Conneau et al. 2017). A backbone that was trained to
    embed sentences has query and pin near each other from the start, so few pairs teach it more.
    INTERACTIONS: all that, and how each token of the query fares among the pin's (`TokenInteractions`).
    """

    TOKEN = "token"
    SEGMENTS = "segments"
    INTERACTIONS = "interactions"


class Batch(NamedTuple):
    """Padded sequences, each int64 [pairs, tokens]: ids, 1 where a token is, and what it belongs to (`Segment`)."""

    input_ids: Tensor
    attention_mask: Tensor
    segments: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part.to(device) for part in self))


def collate(rows: Sequence[Rendered], padding_id: int) -> Batch:
    """Sequences padded on the right to the longest of them."""
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids = torch.full(shape, padding_id, dtype=torch.int64)
    mask = torch.zeros(shape, dtype=torch.int64)
    segments = torch.full(shape, Segment.SPECIAL, dtype=torch.int64)
    for i, row in enumerate(rows):
        length = len(row.ids)
        ids[i, :length] = torch.from_numpy(row.ids)
        mask[i, :length] = 1
        segments[i, :length] = torch.from_numpy(row.segments)
    return Batch(ids, mask, segments)


class HeadShape(NamedTuple):
    """How the head is built."""

    inputs: HeadInput
    hidden: Sequence[int]  # widths of the fully connected layers
    dropout: float  # before each of them
    fields: int  # text fields that the settings read
    loss: Loss


class TeacherNetwork(nn.Module):
    """Backbone and head; `forward` gives what transformers' Trainer asks for.

    Its state holds what is taught: beside an adapter, not the frozen backbone.
    """

    def __init__(self, backbone: Any, width: int, pooling: Pooling, shape: HeadShape, r_drop: float = 0.0) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.head = _Head(width, shape)
        self._pooling = pooling
        self._loss = shape.loss
        self._r_drop = r_drop
        self.register_state_dict_post_hook(_untie)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits float32 [pairs, 5]; with `labels`, target probabilities [pairs, 5], also a loss.

        The loss is the settings' own in training; else the mean cross-entropy, so that dev losses can be compared.
        """
        if labels is None:
            return {"logits": self._logits(input_ids, attention_mask, segments)}
        if not self.training:
            logits = self._logits(input_ids, attention_mask, segments)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}
        if not self._r_drop:
            logits = self._logits(input_ids, attention_mask, segments)
            return {"loss": loss_of(self._loss, logits, labels), "logits": logits}
        logits = self._logits(*(part.repeat(2, 1) for part in (input_ids, attention_mask, segments)))
        loss = loss_of(self._loss, logits, labels.repeat(2, 1)) + self._r_drop * divergence_of_halves(logits)
        return {"loss": loss, "logits": logits[: len(labels)]}

    def _logits(self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor) -> Tensor:
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        with torch.autocast(states.device.type, enabled=False):  # the head is small: exact costs nothing
            token = _pooled(states.float(), attention_mask, self._pooling)
            words = self.backbone.get_input_embeddings()(input_ids).detach()
            logits: Tensor = self.head(token, words.float(), states.float(), segments)
        return logits


class _Head(nn.Module):
    """What `shape.inputs` names, then fully connected layers of the hidden widths, then five numbers a pair."""

    def __init__(self, width: int, shape: HeadShape) -> None:
        super().__init__()
        self._inputs = shape.inputs
        size = width if shape.inputs is HeadInput.TOKEN else 5 * width + 1
        self.interactions = TokenInteractions(width, shape.fields) if shape.inputs is HeadInput.INTERACTIONS else None
        self.layers = _layers(size + (self.interactions.size if self.interactions else 0), shape)

    def forward(self, token: Tensor, words: Tensor, states: Tensor, segments: Tensor) -> Tensor:
        found = [token]
        if self._inputs is not HeadInput.TOKEN:
            found += _comparison(states, segments)
        if self.interactions is not None:
            found.append(self.interactions(words, states, segments))
        logits: Tensor = self.layers(torch.cat(found, dim=-1))
        return logits


def _comparison(states: Tensor, segments: Tensor) -> list[Tensor]:
    """u, v, |u - v|, u·v and the cosine, as `HeadInput.SEGMENTS` says."""
    query = _mean_direction(states, segments == Segment.QUERY)
    pin = _mean_direction(states, segments >= Segment.MARKER)
    cosine = (query * pin).sum(-1, keepdim=True)
    scale = states.shape[-1] ** 0.5
    u, v = query * scale, pin * scale
    return [u, v, (u - v).abs(), u * v, 4 * cosine]


def _layers(width: int, shape: HeadShape) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in shape.hidden:
        layers += [nn.Dropout(shape.dropout), nn.Linear(width, size), nn.GELU()]
        width = size
    return nn.Sequential(*layers, nn.Dropout(shape.dropout), last_layer(shape.loss, width))


def _pooled(states: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    if pooling is Pooling.CLS:
        return states[:, 0]
    last = mask.sum(1) - 1
    return states[torch.arange(len(states), device=states.device), last]


def _mean_direction(states: Tensor, members: Tensor) -> Tensor:
    """The unit vector of the members' mean state; zeros where there are no members."""
    return nn.functional.normalize((states * members.unsqueeze(-1)).sum(1), dim=-1)


def _untie(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Copy a tensor that two modules share (T5's embeddings) for its second name: safetensors refuses shared memory."""
    seen: set[int] = set()
    for name, tensor in state.items():
        if tensor.data_ptr() in seen:
            state[name] = tensor.clone()
        seen.add(tensor.data_ptr())


def _without_frozen(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Leave out what is not taught: beside an adapter the backbone stays as it was loaded, perhaps in 4 bits."""
    if prefix or all(weight.requires_grad for weight in module.parameters()):
        return
    taught = {name for name, weight in module.named_parameters() if weight.requires_grad}
    for name in [name for name in state if name not in taught]:
        del state[name]


class Backbone(NamedTuple):
    """A loaded pretrained model with what the network and the renderer ask of it."""

    network: Any
    tokenizer: Any
    width: int
    padding_id: int


def load_backbone(model: str, dtype: torch.dtype = torch.float32, quantization: Any = None) -> Backbone:
    """The model and its tokenizer from a folder or a hub id, `name` or `name@revision`; safetensors weights only.

    `quantization` is a configuration of transformers under which the weights are packed as they are read.
    Raises BadInput where it is absent, truncated, or not a text model.
    """
    name, _, revision = model.partition("@") if not Path(model).exists() else (model, "", "")
    verbosity = _logging.get_verbosity()
    _logging.set_verbosity(_logging.ERROR)  # or every encoder that lost its pooler is reported as broken
    _logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(name, revision=revision or None, trust_remote_code=False)
        auto = AutoModelForTextEncoding if hasattr(config, "num_decoder_layers") else AutoModel
        network, loading = auto.from_pretrained(
            name,
            revision=revision or None,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            quantization_config=quantization,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or None, trust_remote_code=False)
        refuse_wordless(tokenizer)
    except Exception as error:  # the loaders raise OSError, ValueError, SafetensorError, KeyError … for a bad folder
        raise BadInput(
            f"expected a pretrained text model (config.json, tokenizer, safetensors) at {model}, found "
            f"{type(error).__name__}: {_first_line(error)}; name a complete folder or a hub id"
        ) from error
    finally:
        _logging.set_verbosity(verbosity)
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # a layer on CLS that some encoders carry and the head takes the place of
    missing = [key for key in loading["missing_keys"] if "pooler" not in key]
    if missing:
        raise BadInput(
            f"expected {model} to hold every weight of its model, found {len(missing)} missing ({missing[0]} …); "
            "copy it again or train it anew"
        )
    network.config.use_cache = False  # a decoder would keep keys and values to write on: nothing is written
    padding = next((x for x in (tokenizer.pad_token_id, tokenizer.eos_token_id) if x is not None), 0)
    return Backbone(network, tokenizer, width_of(config), int(padding))


def files_fingerprint(folder: Path) -> str:
    """Twelve hex digits over a backbone's configuration, tokenizer and weights."""
    return fingerprint([folder / "config.json", folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))])


def revision_of(model: str | None) -> str | None:
    """What tells the files of a folder, of the installed backbone where `model` is None; None of a hub id."""
    folder = default_model_path() if model is None else Path(model)
    return files_fingerprint(folder) if folder.is_dir() else None


def prepare_to_train(backbone: Backbone, dropout: float, gradient_checkpointing: bool = False) -> None:
    """Set the backbone's dropout and, on a CPU, plain attention: torch's fused one has the slower backward pass there.

    Dropout is set wherever the network has it, to one rate, whatever its config.json says. With gradient checkpointing
    a layer's inner states are computed again in the backward pass and not kept; raises BadInput where it cannot.
    """
    for module in backbone.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        for name in ("dropout", "attention_dropout"):  # T5's and Llama's attention keep a plain number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, dropout)
    if not torch.cuda.is_available():
        backbone.network.set_attn_implementation("eager")
    if gradient_checkpointing:
        if not backbone.network.supports_gradient_checkpointing:
            raise BadInput(
                f"expected a backbone that can compute its states again for --gradient-checkpointing, found "
                f"{type(backbone.network).__name__}, which cannot; leave the flag out"
            )
        backbone.network.activation_checkpointing_enable()


def default_pooling(tokenizer: Any) -> Pooling:
    """CLS where the tokenizer has such a token, as encoders do; else the last token."""
    return Pooling.LAST if tokenizer.cls_token_id is None else Pooling.CLS


def width_of(config: Any) -> int:
    """Of a backbone's states."""
    return int(getattr(config, "hidden_size", None) or config.d_model)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
