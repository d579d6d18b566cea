"""Which text encoder a workspace's pins and queries are embedded by: the last one named to it, until another is named.

Reads and writes W/text_encoder.json: the encoder's folder or hub id. `enrich embeddings`, `queries` and `run` go on
with it where they name no other, and so does `relevance`, whose queries must stand in the space of the pins. Removing
the file brings the default back. Reads in pin_text_embedding and query_features which encoder made their vectors.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.tables import PIN_TEXT_EMBEDDING, QUERY_FEATURES
from enrich.text_encoder import TextEncoder, default_model_path
from enrich.workspace import Workspace

FILE = "text_encoder.json"
# A TextEncoder's producer, alone or within that of query_features.
_ENCODER = re.compile(r"(?:query-features/\S+(?: \w+=\S+)* )?(.+?@[0-9a-f]{12})(?: .*)?", re.DOTALL)


def chosen(workspace: Workspace, model: str | None) -> TextEncoder:
    """The encoder `model`, which is remembered; where none is named, the last one that was.

    Raises BadInput where it cannot be found, or the file is none of ours.
    """
    if model is None:
        return TextEncoder(last_named(workspace))
    folder = Path(model).expanduser()
    default = folder.is_dir() and folder.resolve() == default_model_path().resolve()
    encoder = TextEncoder(None if default else model)
    _keep(workspace, encoder.model)
    return encoder


def last_named(workspace: Workspace) -> str | None:
    """A folder by its full path, or a hub id; None for the default. Raises BadInput where the file is none of ours."""
    path = workspace.root / FILE
    if not path.is_file():
        return None
    try:
        model = json.loads(path.read_text("utf-8"))["model"]
    except (ValueError, LookupError, TypeError) as error:
        raise _foreign(path) from error
    if not isinstance(model, str):
        raise _foreign(path)
    return model


def encoder_in(producer: str) -> str | None:
    """The encoder, as it names itself, that a row's producer names; None where that names none."""
    found = _ENCODER.fullmatch(producer)
    return found[1] if found else None


def same(one: str, other: str) -> bool:
    """Whether two producers of vectors are of one encoder; one that names none is taken to be."""
    named = encoder_in(one), encoder_in(other)
    return None in named or named[0] == named[1]


def others(workspace: Workspace, producer: str) -> list[str]:
    """The encoders but `producer` whose vectors of pins or queries count now, as "TABLE by ENCODER"."""
    made = {PIN_TEXT_EMBEDDING.name: of_pins(workspace), QUERY_FEATURES.name: _of_queries(workspace)}
    return [f"{table} by {by}" for table, encoders in made.items() for by in encoders if not same(by, producer)]


def of_pins(workspace: Workspace) -> list[str]:
    """The encoders of the pins' newest vectors."""
    rows = _vectors_of(workspace.folder(PIN_TEXT_EMBEDDING), *PIN_TEXT_EMBEDDING.key, *PIN_TEXT_EMBEDDING.recency)
    return [] if rows is None else _encoders(parts.newest(rows, PIN_TEXT_EMBEDDING))


def _of_queries(workspace: Workspace) -> list[str]:
    """Of every snapshot: a training frame reads them all."""
    rows = _vectors_of(workspace.folder(QUERY_FEATURES))
    return [] if rows is None else _encoders(rows)


def _vectors_of(folder: Path, *columns: str) -> pl.LazyFrame | None:
    """The rows but for the vectors themselves; None where the table is not there."""
    if not any(folder.glob("*.parquet")):
        return None
    return parts.scan(folder).select(*columns, "producer", "reason")


def _encoders(rows: pl.LazyFrame) -> list[str]:
    producers = rows.filter(pl.col("reason").is_null()).select(pl.col("producer").unique()).collect()["producer"]
    return sorted({named for producer in producers if (named := encoder_in(producer))})


def _keep(workspace: Workspace, model: str | None) -> None:
    path = workspace.root / FILE
    if model is None:
        path.unlink(missing_ok=True)
        return
    said = json.dumps({"model": model}, indent=1) + "\n"
    if not path.is_file() or path.read_text("utf-8", errors="replace") != said:
        parts.write_text(path, said)


def _foreign(path: Path) -> BadInput:
    return BadInput(
        f"expected the text encoder last named in {path}, found another file; remove it, and name --encoder"
    )
