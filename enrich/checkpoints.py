"""Where a model's files are: a folder, or a hub id (`org/name`, `org/name@revision`) whose files are fetched once.

Only configuration, tokenizer and safetensors weights are ever read; a checkpoint that needs a pickle, or code of its
own, is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from enrich.errors import BadInput

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_CONVERTED = ["onnx/*", "openvino/*", "coreml/*"]


class Checkpoint(NamedTuple):
    folder: Path
    name: str  # the folder's own name, or the hub id without its revision


def locate(model: str, what: str) -> Checkpoint:
    """The checkpoint that `model` names; `what` says in errors what it should be ("a captioner").

    Raises BadInput when there is none, or none that can be fetched.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BadInput(f"expected {what}'s config.json in {folder}, found none; name the folder that holds it")
        return Checkpoint(folder, folder.resolve().name)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise BadInput(f"expected {what} at {model}, found no such folder; name a model folder or a hub id, org/name")
    return Checkpoint(_fetch(model, what), model.partition("@")[0])


def _fetch(model: str, what: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = model.partition("@")
    try:
        fetched = snapshot_download(name, revision=revision or None, allow_patterns=_FILES, ignore_patterns=_CONVERTED)
    except Exception as error:  # the hub's client raises a dozen unrelated types; each means: it could not be had
        raise BadInput(
            f"expected {what} {model!r} as a folder or on the model hub, found none that can be had "
            f"({type(error).__name__}); check the name and the network, or name a model folder"
        ) from error
    return Path(fetched)


def fingerprint(files: Iterable[Path]) -> str:
    """Twelve hex digits over the names and contents of those `files` that are there, in their order."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


@contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """While a checkpoint loads: quiet, and whatever goes wrong is a BadInput of one line.

    `what` says in it what the folder should hold ("a BLIP captioner with safetensors weights").
    """
    try:
        with quiet():
            yield
    except BadInput:
        raise
    except Exception as error:  # broken JSON, tokenizers' and safetensors' own types: all mean a broken folder
        said = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"expected {what} in {folder}, found one that does not load "
            f"({type(error).__name__}: {said}); fetch it again"
        ) from error


def refuse_missing(info: Mapping[str, Any], unused: tuple[str, ...] = ()) -> None:
    """Raise where transformers' loading info names weights that a checkpoint lacks; for use while `loading`.

    `unused`: how the names of weights begin that need not be there.
    """
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(unused))
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, {missing[0]} the first")


def refuse_wordless(tokenizer: Any) -> None:
    """Raise of a tokenizer that was made without its files: it knows its special tokens alone."""
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ValueError("its tokenizer knows no words: tokenizer.json or vocab.txt is missing")


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bar and its remarks about a checkpoint while one loads."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.ERROR)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
