"""Feast's SQLite online store with writes that keep what is newer, and read while they go on.

Named in feature_store.yaml. Tables are Feast's own, so that `type: sqlite` reads and writes them too. Three things
differ: a row whose clocks are older than the stored ones does not replace it (Feast's does, so that loading an old
window again takes values back); a batch is one statement for all its cells; the database is in write-ahead mode, where
a reader sees the last commit and never waits for a writer. Clocks are kept to the second, as Feast writes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureView
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig, _table_id
from feast.repo_config import RepoConfig
from feast.utils import _convert_arrow_to_proto
from pydantic import StrictStr

from enrich.stores.online_rows import Protos, Rows, rows_of_batch, rows_of_protos

_BUSY_MS = 10_000  # how long a writer waits for another one
_Record = tuple[bytes, str, bytes | None, str | None, int | None, int | None]
_CACHE_KB = 65_536  # of pages while writing: both indices of a million keys; with Feast's 2 MB a third slower


class SafeSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The settings of `online_store` in feature_store.yaml."""

    type: StrictStr = "enrich.stores.safe_sqlite.SafeSqliteOnlineStore"  # type: ignore[assignment]


class SafeSqliteOnlineStore(SqliteOnlineStore):
    """Feast's SqliteOnlineStore; what is newer stays."""

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        super().update(config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)
        self._get_conn(config).execute("PRAGMA journal_mode=WAL")

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Protos, progress: Callable[[int], Any] | None
    ) -> None:
        """One transaction: a reader sees all of the batch or none of it."""
        if _has_own_columns(config):
            super().online_write_batch(config, table, data, progress)
        else:
            self._write(config, table, rows_of_protos(data, config.entity_key_serialization_version))
            if progress:
                progress(len(data))

    def write_arrow(self, config: RepoConfig, table: FeatureView, batch: pa.RecordBatch) -> None:
        """`online_write_batch` of an Arrow batch."""
        if _has_own_columns(config):
            keys = {entity.name: entity.dtype.to_value_type() for entity in table.entity_columns}
            super().online_write_batch(config, table, _convert_arrow_to_proto(batch, table, keys), None)
        else:
            self._write(config, table, rows_of_batch(batch, table, config.entity_key_serialization_version))

    def _write(self, config: RepoConfig, table: FeatureView, rows: Rows) -> None:
        name = _table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
        connection: sqlite3.Connection = self._get_conn(config)
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        connection.execute("PRAGMA secure_delete=ON")  # erasure does not reach what rows that grow leave behind
        with connection:
            connection.executemany(
                f'INSERT INTO "{name}" (entity_key, feature_name, value, value_text, event_ts, created_ts) '
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET "
                "value = excluded.value, value_text = excluded.value_text, "
                "event_ts = excluded.event_ts, created_ts = excluded.created_ts "
                "WHERE event_ts IS NULL OR excluded.event_ts > event_ts OR (excluded.event_ts = event_ts "
                "AND coalesce(excluded.created_ts, 0) >= coalesce(created_ts, 0))",
                _records(rows),
            )


def _has_own_columns(config: RepoConfig) -> bool:
    """Whether the settings have Feast keep more columns, which its own class fills."""
    return bool(config.online_store.vector_enabled or config.online_store.enable_openai_compatible_store)


def _records(rows: Rows) -> Iterator[_Record]:
    """Key, feature, value, the value as text, and both clocks, as Feast stores them; a row's features together."""
    seconds: dict[datetime | None, int | None] = {
        t: _seconds(t) for t in {*rows.events, *rows.created} if t is not None
    }
    clocks = [[seconds.get(time) for time in times] for times in (rows.events, rows.created)]
    columns = [zip(rows.keys, repeat(f.name), f.values, f.texts, *clocks) for f in rows.features]
    return (record for row in zip(*columns, strict=True) for record in row if record[2] is not None)


def _seconds(time: datetime) -> int:
    """Since 1970 in UTC, in whatever zone this process runs.

    Feast's adapter takes UTC's digits for local ones: the same in UTC; elsewhere its clock jumps twice a year, and two
    processes in two zones do not agree on what is newer.
    """
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
