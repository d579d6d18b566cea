"""What Feast calls a file source, where it is parquet files on this machine: its parts, and an address for every row.

Feast's own joins, in DuckDB, decide which rows count. They are given keys, clocks and addresses alone; the values are
read afterwards, at the addresses that won (`row_files.py` where they are scattered, `late_latest.py` where they are
most). Of rows alike in keys and clocks the one that stands last has the address: by part name, then row.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource

from enrich.backends import spill_of_user, spill_under
from enrich.errors import CorkboardError
from enrich.stores import row_files

ADDRESS = "__address"
_LOCK = threading.Lock()
_TABLES: dict[tuple[str, ...], tuple[Any, str]] = {}  # files, keys, clocks -> whose table holds them, and its name


class Limits(Protocol):
    """The offline store's settings that DuckDB keeps."""

    memory_limit: str
    threads: int | None
    temp_directory: str | None


class Part(NamedTuple):
    """A file, and what is another number once it was rewritten."""

    path: Path
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Part:
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)

    def refuse_rewritten(self) -> None:
        """Raises CorkboardError where other rows are in the file now, FileNotFoundError where it is gone."""
        if Part.of(self.path) != self:
            raise CorkboardError(
                f"expected {self.path} as it was when rows of it were chosen, found it rewritten since; run this again"
            )


class Source(NamedTuple):
    """The files of a source as they were when they were listed."""

    path: str
    keys: tuple[str, ...]
    clocks: tuple[str, ...]  # of events and, where there is one, of knowing
    parts: tuple[Part, ...]  # an address counts them in this order

    @classmethod
    def of(cls, source: FileSource, keys: Sequence[str], clocks: Sequence[str]) -> Source:
        absolute = Path(source.path).absolute()
        root = Path(absolute.anchor)
        found = sorted(root.glob(str(absolute.relative_to(root))))
        return cls(source.path, tuple(keys), tuple(clocks), tuple(map(Part.of, found)))

    @property
    def mark(self) -> str:
        """Another one where a part was added, rewritten or removed."""
        stats = [(str(part.path), part.size, part.modified_ns) for part in self.parts]
        return hashlib.blake2b(repr((self.path, self.keys, self.clocks, stats)).encode()).hexdigest()[:24]

    def holds(self, columns: Sequence[str]) -> bool:
        """Whether the files (their first part speaks for all) have these columns themselves, none made of a path."""
        return bool(self.parts) and set(columns) <= set(pq.read_schema(self.parts[0].path).names)

    def addresses(self) -> str:
        """The query for keys, clocks and address of every row."""
        columns = ", ".join(f'"{column}"' for column in (*self.keys, *self.clocks))
        files = ", ".join("'" + str(part.path).replace("'", "''") + "'" for part in self.parts)
        return (
            f"SELECT {columns}, max((file_index::BIGINT << {row_files.ROW_BITS}) + file_row_number) AS {ADDRESS} "
            f"FROM read_parquet([{files}], hive_partitioning = false) GROUP BY ALL"
        )


def is_local(source: DataSource | None) -> TypeGuard[FileSource]:
    """Whether the source is parquet files of this machine, their columns named as the features are."""
    return (
        isinstance(source, FileSource)
        and isinstance(source.file_format or ParquetFormat(), ParquetFormat)
        and "://" not in source.path
        and not source.field_mapping
    )


def connect(limits: Limits) -> None:
    """Have ibis, and so Feast, use a DuckDB that keeps within the settings; one that is set already stays."""
    with _LOCK:
        if ibis.options.default_backend is None:
            spill = limits.temp_directory or str(spill_under(spill_of_user()))
            settings: dict[str, Any] = {"memory_limit": limits.memory_limit, "temp_directory": spill}
            if limits.threads is not None:
                settings["threads"] = limits.threads
            ibis.set_backend(ibis.duckdb.connect(**settings))


def kept_addresses(source: Source) -> ibis.Table:
    """Keys, clocks and address of every row, in a table of DuckDB's that is kept until the files change."""
    connection, name = ibis.get_backend(), f"rows_{source.mark}"
    kind = (source.path, *source.keys, *source.clocks)
    with _LOCK:
        owner, known = _TABLES.get(kind, (None, ""))
        if owner is not connection or known != name:
            if owner is connection:
                connection.raw_sql(f"DROP TABLE IF EXISTS {known}")
            connection.raw_sql(f"CREATE OR REPLACE TEMP TABLE {name} AS {source.addresses()}")
            _TABLES[kind] = (connection, name)
        return connection.table(name)


def addresses_of(source: Source) -> ibis.Table:
    """The same, computed where it is used: for a question that is asked once."""
    found = pq.read_schema(source.parts[0].path)
    fields = [*(found.field(name) for name in (*source.keys, *source.clocks)), pa.field(ADDRESS, pa.int64())]
    return ibis.get_backend().sql(source.addresses(), schema=ibis.Schema.from_pyarrow(pa.schema(fields)))
