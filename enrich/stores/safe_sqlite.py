"""Feast's SQLite online store with writes that keep what is newer, and read while they go on.

Named in feature_store.yaml. Tables are Feast's own, so that `type: sqlite` reads and writes them too. Three things
differ: a row whose clocks are older than the stored ones does not replace it (Feast's does, so that loading an old
window again takes values back); a batch is one statement for all its cells; the database is in write-ahead mode, where
a reader sees the last commit and never waits for a writer. Clocks are kept to the second, as Feast writes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from feast import Entity, FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.utils import to_naive_utc
from pydantic import StrictStr

_BUSY_MS = 10_000  # how long a writer waits for another one

Rows = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]


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
        self, config: RepoConfig, table: FeatureView, data: Rows, progress: Callable[[int], Any] | None
    ) -> None:
        """One transaction: a reader sees all of the batch or none of it."""
        if config.online_store.vector_enabled or config.online_store.enable_openai_compatible_store:
            super().online_write_batch(config, table, data, progress)  # columns of Feast's own
            return
        name = _table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
        connection: sqlite3.Connection = self._get_conn(config)
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        with connection:
            connection.executemany(
                f'INSERT INTO "{name}" (entity_key, feature_name, value, value_text, event_ts, created_ts) '
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET "
                "value = excluded.value, value_text = excluded.value_text, "
                "event_ts = excluded.event_ts, created_ts = excluded.created_ts "
                "WHERE event_ts IS NULL OR excluded.event_ts > event_ts OR (excluded.event_ts = event_ts "
                "AND coalesce(excluded.created_ts, 0) >= coalesce(created_ts, 0))",
                _cells(data, config.entity_key_serialization_version),
            )
        if progress:
            progress(len(data))


def _cells(data: Rows, version: int) -> Iterator[tuple[bytes, str, bytes, str | None, int, int | None]]:
    """Key, feature, value, the value as text, and both clocks, as Feast stores them."""
    for key, values, event, created in data:
        key_bytes = serialize_entity_key(key, entity_key_serialization_version=version)
        event_s, created_s = _seconds(event), None if created is None else _seconds(created)
        for feature, value in values.items():
            text, _ = extract_text_and_num(value, False)
            yield key_bytes, feature, value.SerializeToString(), text, event_s, created_s


def _seconds(time: datetime) -> int:
    """As Feast's adapter writes a time, which its converter reads back as the same digits."""
    return int(to_naive_utc(time).timestamp())
