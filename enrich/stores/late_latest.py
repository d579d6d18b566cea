"""The newest row of every key, as `feast materialize` asks for it: chosen by clocks, values streamed from parquet.

Feast carries all values through DuckDB's window function and holds the result. Here the window sees addresses, eight
bytes a row; `batches` then reads each part once, in order, and holds a batch. No copies are made of anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast.infra.offline_stores.duckdb import _write_data_source
from feast.infra.offline_stores.ibis import IbisRetrievalJob

from enrich.stores.parquet_source import ADDRESS, Part, Source
from enrich.stores.row_files import ROW_BITS, Addresses

_ROWS = 10_000  # in a batch of a table that is wanted whole
_BATCH_BYTES = 64 << 20  # of values; longer values make a batch of fewer rows
_READ_BYTES = 1 << 20  # of a column's pages at once; else its whole row group is held compressed


class LatestJob(IbisRetrievalJob):
    """Rows that were asked for; which they are is found out once, values are read each time."""

    def __init__(self, source: Source, columns: Sequence[str], chosen: ibis.Table) -> None:
        """`chosen` holds the addresses of the rows; `columns` are theirs, in the order wanted."""
        super().__init__(chosen, [], False, None, _write_data_source, None, None, "")
        self._parts, self._columns = source.parts, list(columns)
        self._addresses: Addresses | None = None

    def addresses(self) -> Addresses:
        """Of the rows, ascending."""
        if self._addresses is None:
            self._addresses = np.sort(self.table.select(ADDRESS).to_pyarrow().column(0).to_numpy())
        return self._addresses

    def batches(self, rows: int = _ROWS) -> Iterator[pa.RecordBatch]:
        """Keys, values and clocks in order of address; at most `rows` rows and about 64 MiB each, none empty.

        Raises FileNotFoundError for a part that is gone, CorkboardError for one that was rewritten since the job was
        made, KeyError for a column that a part lacks.
        """
        held: list[pa.RecordBatch] = []
        for piece in self._pieces(rows):
            full = sum(p.num_rows for p in held) + piece.num_rows > rows
            if held and (full or sum(p.nbytes for p in held) + piece.nbytes > _BATCH_BYTES):
                yield _joined(held)
                held = []
            held.append(piece)
        if held:
            yield _joined(held)

    def _schema(self) -> pa.Schema:
        """The first part's, which the others are cast to."""
        found = pq.read_schema(self._parts[0].path)
        return pa.schema([found.field(name) for name in self._columns])

    def _pieces(self, rows: int) -> Iterator[pa.RecordBatch]:
        addresses, schema = self.addresses(), self._schema()
        for number, part in enumerate(self._parts):
            low, high = np.searchsorted(addresses, (number << ROW_BITS, (number + 1) << ROW_BITS))
            if high > low:
                yield from _rows_of(part, addresses[low:high] - (number << ROW_BITS), schema, rows)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return pa.Table.from_batches(self.batches(), self._schema())

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        table = ibis.memtable(self._to_arrow_internal(timeout))
        _write_data_source(table, storage.to_data_source(), "", "overwrite", allow_overwrite)


def _rows_of(part: Part, wanted: Addresses, schema: pa.Schema, most: int) -> Iterator[pa.RecordBatch]:
    """The `wanted` rows (ascending) of one part; row groups with none of them are not read."""
    part.refuse_rewritten()
    with pq.ParquetFile(part.path, buffer_size=_READ_BYTES, pre_buffer=False) as file:
        for name in schema.names:
            if name not in file.schema_arrow.names:
                raise KeyError(f"expected a column {name} in {part.path}, found {file.schema_arrow.names}")
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(wanted, (first, first + size))
            if high > low:
                yield from _rows_of_group(file, group, wanted[low:high] - first, schema, most)
            first += size


def _rows_of_group(
    file: pq.ParquetFile, group: int, wanted: Addresses, schema: pa.Schema, most: int
) -> Iterator[pa.RecordBatch]:
    meta = file.metadata.row_group(group)
    a_row = sum(meta.column(i).total_uncompressed_size for i in range(meta.num_columns)) / meta.num_rows
    size = max(1, min(most, int(_BATCH_BYTES / max(1.0, a_row))))
    first = 0
    for batch in file.iter_batches(size, row_groups=[group], columns=schema.names):
        low, high = np.searchsorted(wanted, (first, first + len(batch)))
        if high > low:
            some = batch if high - low == len(batch) else batch.take(pa.array(wanted[low:high] - first))
            yield some.select(schema.names).cast(schema)
        first += len(batch)


def _joined(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)
