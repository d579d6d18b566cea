"""A file of rows of one width, mapped: read where it is touched, and given back, so that no pass over it is held."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enrich.errors import BadInput

_PAGE = mmap.PAGESIZE


class Mapped:
    """`rows` [n, ...] of `dtype`, read-only; each row `width` values where a width is given."""

    rows: NDArray[Any]

    def __init__(self, path: Path, dtype: np.dtype[Any], width: int | None = None) -> None:
        size = path.stat().st_size
        shape = (-1,) if width is None else (-1, width)
        self._file: mmap.mmap | None = None
        self._row_bytes = dtype.itemsize * (1 if width is None else width)
        if size and self._row_bytes:
            with path.open("rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.rows = np.frombuffer(self._file, dtype).reshape(shape)
        else:
            self.rows = np.zeros((0,) if width is None else (0, width), dtype)

    def ahead(self, first: int, last: int) -> None:
        """Begin to read rows `first` to before `last`."""
        if self._file is not None:
            start = first * self._row_bytes // _PAGE * _PAGE
            self._file.madvise(mmap.MADV_WILLNEED, start, min(last * self._row_bytes, len(self._file)) - start)

    def forget(self) -> None:
        """Give back the pages that were touched; the system keeps them as long as it has room."""
        if self._file is not None:
            self._file.madvise(mmap.MADV_DONTNEED)


def refuse_short(path: Path, size: int) -> None:
    """Raises BadInput where the file lacks some of the `size` bytes that were written to it: it was cut, or is gone."""
    found = path.stat().st_size if path.is_file() else 0
    if found < size:
        raise BadInput(
            f"expected {size:,} bytes or more in {path}, found {found:,}; remove {path.parent} and run again"
        )


def write_at(path: Path, first: int, rows: NDArray[Any]) -> None:
    """Write `rows` as the file's rows from `first` on; the file is made, or grown, where need be."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(first * rows[:1].nbytes if len(rows) else 0)
        file.write(np.ascontiguousarray(rows).tobytes())
