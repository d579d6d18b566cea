"""Values by row: any rows of a table's parquet parts, a column at a time, without decoding the rows in between.

Parquet can only be decoded a page at a time, so a hundred scattered vectors cost as much as all of them. Beside a large
part stands, made when it is first wanted, an uncompressed Arrow copy of each wanted column:

    TABLE/.rows/PART SIZE MTIME/COLUMN.arrow

It is mapped into memory and only the pages of the wanted rows are touched. Small parts are read as they are. A copy is
written aside and renamed; copies of parts that were rewritten or removed since go at the next use of the folder.
"""

from __future__ import annotations

import mmap
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = ".rows"
ROW_BITS = 40  # of an address; the part's place is above them
MISSING = -1  # the address of no row
_MAPPED_FROM = 4 << 20  # bytes of a part; a smaller one is decoded faster than it is mapped
_BATCH_ROWS = 32_768  # of a copy; what is mapped at any time is one batch, 50 MB of vectors of 384 entries
_ROWS_AT_ONCE = 1_000_000  # in one array of values, whose offsets are 32-bit

Addresses = npt.NDArray[np.int64]  # part's place << ROW_BITS | row in the part, or MISSING


def gather(parts: Sequence[Path], columns: Sequence[str], addresses: Addresses) -> dict[str, pa.ChunkedArray]:
    """The values of `columns` at `addresses` (places in `parts`, rows in them), in that order; null where MISSING.

    Raises FileNotFoundError for a part that is gone, KeyError for a column that a part lacks.
    """
    slices = [addresses[i : i + _ROWS_AT_ONCE] for i in range(0, max(1, len(addresses)), _ROWS_AT_ONCE)]
    found = [_gather(parts, columns, some) for some in slices]
    return {name: pa.chunked_array([chunks[i] for chunks in found]) for i, name in enumerate(columns)}


def forget(folder: Path) -> None:
    """Remove the copies of a table's parts; they are made again when wanted."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


_Batch = tuple[pa.Array, Callable[[], None]]  # values, and what lets go of the memory they are mapped to


class _Piece(NamedTuple):
    """Some rows of one column, and where they belong."""

    places: Addresses
    values: pa.Array


def _gather(parts: Sequence[Path], columns: Sequence[str], addresses: Addresses) -> list[pa.Array]:
    order = np.argsort(addresses, kind="stable")
    ordered = addresses[order]
    first = int(np.searchsorted(ordered, 0))  # MISSING ones stand before
    pieces: list[list[_Piece]] = [[] for _ in columns]
    wanted, starts = np.unique(ordered[first:] >> ROW_BITS, return_index=True)
    bounds = (first + np.append(starts, len(ordered) - first)).tolist()
    for part, start, end in zip(wanted.tolist(), bounds[:-1], bounds[1:], strict=False):
        rows = ordered[start:end] & ((1 << ROW_BITS) - 1)
        for kept, batches in zip(pieces, _columns(parts[part], columns), strict=True):
            kept += _pieces(batches, rows, order[start:end])
    types = _types(parts, columns)
    return [_assembled(kept, len(addresses), kind) for kept, kind in zip(pieces, types, strict=True)]


def _types(parts: Sequence[Path], columns: Sequence[str]) -> list[pa.DataType]:
    schema = pq.read_schema(parts[0])
    return [schema.field(name).type for name in columns]


def _pieces(batches: Iterator[_Batch], rows: Addresses, places: Addresses) -> Iterator[_Piece]:
    """One part's column at `rows` (ascending), a batch at a time; nulls are left out."""
    start = 0
    for batch, release in batches:
        low, high = np.searchsorted(rows, (start, start + len(batch)))
        if high > low:
            yield _piece(batch, rows[low:high] - start, places[low:high])
            release()
        start += len(batch)


def _columns(part: Path, columns: Sequence[str]) -> Iterator[Iterator[_Batch]]:
    """Each column's batches: of a small part read together, of a large one mapped."""
    if part.stat().st_size >= _MAPPED_FROM:
        return (_mapped(part, column) for column in columns)
    table = pq.ParquetFile(part).read(columns=list(columns))
    return (((chunk, _nothing) for chunk in table.column(column).chunks) for column in columns)


def _mapped(part: Path, column: str) -> Iterator[_Batch]:
    with _copy(part, column).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    reader = pa.ipc.open_file(pa.py_buffer(mapped))
    for i in range(reader.num_record_batches):
        # The pages stay in the system's cache; they only stop counting as this process's memory.
        yield reader.get_batch(i).column(0), lambda: mapped.madvise(mmap.MADV_DONTNEED)


def _nothing() -> None:
    """Read values have no memory of a file's to let go of."""


def _copy(part: Path, column: str) -> Path:
    """The uncompressed copy of one column, made where it is missing."""
    found = part.stat()
    folder = part.parent / FOLDER / f"{part.stem} {found.st_size} {found.st_mtime_ns}"
    copy = folder / f"{column}.arrow"
    if not copy.is_file():
        _remove_outdated(part.parent)
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{column}.{os.getpid()}.{uuid.uuid4().hex}"
        parquet = pq.ParquetFile(part)
        schema = pa.schema([parquet.schema_arrow.field(column)])
        try:
            with pa.ipc.new_file(aside, schema) as writer:
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=[column]):
                    writer.write_batch(batch)
            aside.replace(copy)
        finally:
            aside.unlink(missing_ok=True)  # of a disk that is full
    return copy


def _remove_outdated(folder: Path) -> None:
    """Copies of parts that are gone or were rewritten."""
    current = {f"{part.stem} {(s := part.stat()).st_size} {s.st_mtime_ns}" for part in folder.glob("*.parquet")}
    for copies in (folder / FOLDER).glob("*"):
        if copies.name not in current:
            shutil.rmtree(copies, ignore_errors=True)


def _piece(batch: pa.Array, rows: Addresses, places: Addresses) -> _Piece:
    """Copies of the values at `rows`; lists of numbers that are of one length, as vectors are, by the matrix row."""
    if batch.null_count:
        kept = np.asarray(batch.is_valid())[rows]
        rows, places = rows[kept], places[kept]
    if _is_vectors(batch.type) and len(rows):
        offsets = np.asarray(batch.offsets).astype(np.int64)
        sizes = offsets[rows + 1] - offsets[rows]
        starts = offsets[rows] - offsets[0]
        size = int(sizes[0])
        if size and (sizes == size).all() and (starts % size == 0).all():
            values = np.asarray(batch.values)[offsets[0] : offsets[-1]]
            matrix = values[: len(values) // size * size].reshape(-1, size)
            return _Piece(places, _vectors(matrix[starts // size], batch.type))
    return _Piece(places, batch.take(pa.array(rows)))


def _assembled(pieces: list[_Piece], n: int, kind: pa.DataType) -> pa.Array:
    """The pieces' values at their places among n, nulls elsewhere."""
    pieces = [piece for piece in pieces if len(piece.places)]
    if not pieces:
        return pa.nulls(n, kind)
    at = np.full(n, MISSING, np.int64)
    places = np.concatenate([piece.places for piece in pieces])
    size = _common_size(pieces, kind)
    if size is None:
        at[places] = np.arange(len(places))
        return pa.concat_arrays([piece.values for piece in pieces]).take(pa.array(at, mask=at < 0))
    at[places] = 0
    matrix = np.empty((len(places), size), kind.value_type.to_pandas_dtype())
    row_of = np.cumsum(at == 0) - 1
    while pieces:  # let go of each as it is copied: there is never more than one and a half times the result
        piece = pieces.pop()
        matrix[row_of[piece.places]] = np.asarray(piece.values.values).reshape(-1, size)
    return _vectors(matrix, kind, at == 0)


def _common_size(pieces: list[_Piece], kind: pa.DataType) -> int | None:
    """The length of all the pieces' vectors; None where they differ or are none."""
    if not _is_vectors(kind):
        return None
    sizes = {size for piece in pieces for size in np.unique(np.diff(np.asarray(piece.values.offsets))).tolist()}
    return sizes.pop() if len(sizes) == 1 and 0 not in sizes else None


def _is_vectors(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_floating(kind.value_type))


def _vectors(matrix: npt.NDArray[Any], kind: pa.DataType, there: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Rows of a matrix as lists; those where `there` is False are null and have no row."""
    rows, size = matrix.shape
    ends = np.arange(rows + 1) if there is None else np.concatenate([np.zeros(1, np.int64), np.cumsum(there)])
    valid = None if there is None or there.all() else pa.array(there).buffers()[1]
    return pa.Array.from_buffers(
        kind,
        len(ends) - 1,
        [valid, pa.py_buffer((ends * size).astype(np.int32))],
        children=[pa.array(matrix.reshape(-1), kind.value_type)],
    )
