"""A file's rows as they lie there, and the parts of one table as one frame.

Parts are written by many hands: one calls a column `query` and another `Query`, one has ids as integers and another as
floats, one has dates and another epochs. A column that parts type in several ways becomes times, or else the text that
a reader of that part alone would take its values for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.importers import columns
from enrich.mapped_columns import spelling

_TIMES = (pl.Datetime, pl.Date)
_TEXT_OF_A_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


class Scanned(NamedTuple):
    """A file's rows, how many of its lines could not be read, and the names of all its columns."""

    frame: pl.LazyFrame
    unreadable: int
    columns: tuple[str, ...]


def together(scans: Sequence[Scanned], path: Path, wanted: Sequence[str] = ()) -> Scanned:
    """The parts of the table at `path` as one; what is nested in some of them and not in others is left out.

    Raises BadInput where that is one of the columns `wanted`.
    """
    if len(scans) == 1:
        return scans[0]
    scans = _alike(scans)
    schemas = [scanned.frame.collect_schema() for scanned in scans]
    kinds: dict[str, set[pl.DataType]] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            kinds.setdefault(name, set()).update({dtype} - {pl.Null()})
    mixed = [name for name, found in kinds.items() if len(set(map(_nesting, found))) > 1]
    _refuse_mixed(path, {name: kinds[name] for name in mixed if spelling(name) in map(spelling, wanted)})
    plain = {name: found for name, found in kinds.items() if len(found) > 1 and all(map(columns.convertible, found))}
    frames = [
        _of_one_type(scanned.frame, schema, plain).drop(mixed, strict=False)
        for scanned, schema in zip(scans, schemas, strict=True)
    ]
    names = dict.fromkeys(name for scanned in scans for name in scanned.columns)
    frame = pl.concat(frames, how="diagonal_relaxed")
    return Scanned(frame, sum(scanned.unreadable for scanned in scans), tuple(names))


def _nesting(dtype: pl.DataType) -> type | None:
    """A list, an object, or None for a single value."""
    return None if columns.convertible(dtype) else type(dtype)


def _refuse_mixed(path: Path, mixed: dict[str, set[pl.DataType]]) -> None:
    for name, found in mixed.items():
        raise BadInput(
            f"expected column {name!r} to hold single values in all parts of {path}, found "
            f"{' and '.join(sorted(map(str, found)))}; flatten it"
        )


def _of_one_type(frame: pl.LazyFrame, schema: pl.Schema, several: dict[str, set[pl.DataType]]) -> pl.LazyFrame:
    """With each column of `several` types a time, or where others are among them a text."""
    made = {}
    for name, dtype in schema.items():
        if name not in several or dtype == pl.Null():
            continue
        written = pl.col(name)
        if isinstance(dtype, _TIMES):
            time = columns.time(written, dtype)
            every = all(isinstance(kind, _TIMES) for kind in several[name])
            made[name] = time if every else time.dt.strftime(_TEXT_OF_A_TIME)
        else:
            made[name] = columns.text(written, dtype)
    return frame.with_columns(**made)


def _alike(scans: Sequence[Scanned]) -> list[Scanned]:
    """With a column that parts write in several ways (query, Query) called as in the first of them."""
    first: dict[str, str] = {}  # by its spelling
    seen: set[str] = set()
    alike = []
    for scanned in scans:
        own = set(scanned.columns)
        called: dict[str, str] = {}
        for name in scanned.columns:
            before = first.setdefault(spelling(name), name)
            if name not in seen and before not in own:
                called[name] = before
                own.add(before)
        seen |= own
        names = tuple(called.get(name, name) for name in scanned.columns)
        alike.append(Scanned(scanned.frame.rename(called, strict=False), scanned.unreadable, names))
    return alike
