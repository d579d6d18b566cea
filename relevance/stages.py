"""A stage makes one artefact (a model folder, a table of predictions) and remembers what it was made from.

The artefact is written aside and renamed; `made_from.json` inside it holds the fingerprint of its inputs and, of a
model, the queries it learned from. A stage whose artefact carries the same fingerprint is fresh and costs nothing; one
killed half-way finds its unfinished folder again (named for the fingerprint), so that a trainer can resume from its own
checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import polars as pl

from enrich import parts

_MANIFEST = "made_from.json"
_GONE = ".~gone"  # ends the name of a folder that is being removed


def fingerprint(*inputs: object) -> str:
    """A short stable hash of settings (dataclasses), frames and plain values: the same inputs give the same hash."""
    digest = hashlib.blake2b(digest_size=12)
    for item in inputs:
        raw = _raw(item)
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def fresh(artefact: Path, made_from: str) -> bool:
    """Whether `artefact` is finished and was made from inputs of this fingerprint."""
    return made_from_of(artefact) == made_from


def made_from_of(artefact: Path) -> str | None:
    """The fingerprint of what `artefact` was made from; None where it was never finished."""
    manifest = _manifest(artefact)
    return str(manifest["inputs"]) if manifest else None


def taught_of(artefact: Path) -> frozenset[str] | None:
    """The queries that a model learned from; None where it does not say."""
    taught = _manifest(artefact).get("taught")
    return None if taught is None else frozenset(taught)


def unfinished(artefact: Path) -> list[Path]:
    """The folders of what killed work on `artefact` left, for the next to go on from."""
    found = artefact.parent.glob(f".{artefact.name}.*")
    return [folder for folder in found if "~" not in folder.name]  # not what was replaced, or is being removed


def make(artefact: Path, made_from: str, work: Callable[[Path], None], taught: frozenset[str] | None = None) -> bool:
    """Make `artefact` with `work(folder)` unless it is fresh; returns whether anything was made.

    `taught`: of a model, every query that it learns from, directly or through its teacher.
    """
    aside = artefact.with_name(f".{artefact.name}.{made_from}")
    _forget_others(artefact, aside)
    if fresh(artefact, made_from):
        return False
    if not fresh(aside, made_from):  # one killed just before its end is whole
        _finish(aside, made_from, work, taught)
    _put(aside, artefact)
    return True


def _finish(aside: Path, made_from: str, work: Callable[[Path], None], taught: frozenset[str] | None) -> None:
    aside.mkdir(parents=True, exist_ok=True)
    work(aside)
    manifest = {"inputs": made_from} | ({} if taught is None else {"taught": sorted(taught)})
    parts.write_text(aside / _MANIFEST, json.dumps(manifest, ensure_ascii=False) + "\n")


def _put(aside: Path, artefact: Path) -> None:
    """In two renames, so that what is there is whole, the old or the new, at all but an instant."""
    old = artefact.with_name(f".{artefact.name}.~replaced")
    shutil.rmtree(old, ignore_errors=True)
    if artefact.exists():
        artefact.rename(old)
    aside.rename(artefact)
    shutil.rmtree(old, ignore_errors=True)


def _manifest(artefact: Path) -> dict[str, Any]:
    path = artefact / _MANIFEST
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _forget_others(artefact: Path, aside: Path) -> None:
    """Unfinished work on other inputs is of no use any more."""
    for other in artefact.parent.glob(f".{artefact.name}.*"):
        if other != aside:
            remove(other)


def remove(folder: Path) -> None:
    """Remove unfinished work; killed half-way, nothing is left under its name that would pass for whole."""
    if not folder.name.endswith(_GONE):
        sweep(folder)
        folder = folder.rename(_gone(folder))
    shutil.rmtree(folder)


def sweep(folder: Path) -> None:
    """Remove what a killed `remove` of `folder` left."""
    if _gone(folder).is_dir():
        shutil.rmtree(_gone(folder))


def _gone(folder: Path) -> Path:
    return folder.with_name(folder.name + _GONE)


def _raw(item: object) -> bytes:
    if isinstance(item, pl.DataFrame):
        plain = item.with_columns(pl.col(pl.Binary).bin.encode("hex")) if pl.Binary in item.dtypes else item
        rows = plain.hash_rows(seed=7).to_numpy() if plain.width else b""
        return hashlib.blake2b(bytes(rows) + repr(plain.schema).encode(), digest_size=16).digest()
    if is_dataclass(item) and not isinstance(item, type):
        return json.dumps(asdict(item), sort_keys=True, default=str).encode()
    if isinstance(item, frozenset | set):
        return json.dumps(sorted(item), default=str).encode()
    return json.dumps(item, sort_keys=True, default=str).encode()
