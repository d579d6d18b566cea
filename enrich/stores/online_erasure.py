"""Rows of keys that were erased, removed from the online store itself: in a query's key its words would stay.

Reads Feast's registry of a workspace and removes the keys' rows from its SQLite or Redis store (`erasure.py` calls it).
Of another store nothing can be removed by key through Feast: there a pin's row of nulls arrives with the next load, and
a query's key stays, which the caller counts. Keys that a store which did not answer still holds, or that a load was
perhaps about to write, are kept in W/owed_online/TABLE.parquet, words and all, until it does.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import polars as pl

from enrich import parts
from enrich.agreement import may_be_applied
from enrich.tables import Table
from enrich.workspace import Workspace

UNREACHED = "online-store-not-reached"
LOADING = "online-store-being-loaded"  # from the same table: the load may have chosen rows that go
UNSUPPORTED = "online-store-without-removal"
_AT_ONCE = 1_000


def forget(workspace: Workspace, table: Table, keys: pl.DataFrame) -> str | None:
    """Remove the rows of `keys` (the table's key columns) from the view of that name; why it could not be done."""
    if not may_be_applied(workspace):
        return None
    from enrich.stores.feast_store import open_store, quiet  # here: it takes seconds to import

    with quiet():
        warnings.simplefilter("ignore")
        try:
            store = open_store(workspace)
            served = {view.name: view for view in store.list_feature_views() if view.online}
            return _remove(store, served[table.name], keys) if table.name in served else None
        except Exception:  # noqa: BLE001  # each store has errors of its own; the erasure goes on and counts this
            return UNREACHED


def owe(workspace: Workspace, table: Table, keys: pl.DataFrame) -> None:
    """Remember that the rows of `keys` are still to be removed."""
    path = _owed(workspace, table)
    path.parent.mkdir(exist_ok=True)
    parts.write_frame(path, pl.concat([keys, owed(workspace, table)]).unique())


def owed(workspace: Workspace, table: Table) -> pl.DataFrame:
    """The keys whose rows are still to be removed."""
    path = _owed(workspace, table)
    return pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema=dict.fromkeys(table.key, pl.String))


def settled(workspace: Workspace, table: Table) -> None:
    """Nothing of the table is owed any more."""
    _owed(workspace, table).unlink(missing_ok=True)


def _owed(workspace: Workspace, table: Table) -> Path:
    return workspace.root / "owed_online" / f"{table.name}.parquet"


def _remove(store: Any, view: Any, keys: pl.DataFrame) -> str | None:
    """Through what the store's class is: Feast's own SQLite and Redis, or ours, which keep their layout."""
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    from enrich.stores.online_rows import key_bytes

    online, config = store._get_provider().online_store, store.config
    batch = keys.select(view.join_keys).to_arrow().combine_chunks()
    batch = batch.cast(_plain(batch.schema))
    found = [
        key
        for piece in batch.to_batches(_AT_ONCE)
        for key in key_bytes(piece, view, config.entity_key_serialization_version)
    ]
    if isinstance(online, SqliteOnlineStore):
        _remove_from_sqlite(online, config, view, found)
        return None
    if type(online).__name__.endswith("RedisOnlineStore"):
        _remove_from_redis(online, config, view, found)
        return None
    return UNSUPPORTED


def _remove_from_sqlite(online: Any, config: Any, view: Any, keys: list[bytes]) -> None:
    from feast.infra.online_stores.sqlite import _table_id

    name = _table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    connection = online._get_conn(config)
    with connection:
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA secure_delete=ON")  # or the words would stay in the file's free pages
        connection.executemany(f'DELETE FROM "{name}" WHERE entity_key = ?', [(key,) for key in keys])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove_from_redis(online: Any, config: Any, view: Any, keys: list[bytes]) -> None:
    """The view's fields of each hash; a hash without fields is no more."""
    from feast.infra.online_stores.helpers import _mmh3
    from feast.infra.online_stores.redis import _versioned_fv_name

    name = _versioned_fv_name(view, config)
    fields = [_mmh3(f"{name}:{feature.name}") for feature in view.features]
    fields += [f"_ts:{name}".encode(), f"_created:{name}".encode()]
    client = online._get_client(config.online_store)
    for start in range(0, len(keys), _AT_ONCE):
        with client.pipeline(transaction=False) as pipe:
            for key in keys[start : start + _AT_ONCE]:
                pipe.hdel(key + config.project.encode(), *fields)
            pipe.execute()


def _plain(schema: Any) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in schema.names])
