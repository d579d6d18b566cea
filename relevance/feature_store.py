"""Feast, kept up to date: definitions applied when they changed, rows materialized when new ones were written.

Reads feature_repo/ and W/feature_store.yaml; writes the registry, the online store and W/feature_store_state.json. The
plain `feast apply` and `feast materialize` do the same work and can be mixed with it at will; `relevance run` calls
`apply` and `materialize` before what needs them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from feast import FeatureService, FeatureStore, FeatureView, OnDemandFeatureView
from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig, _table_id

from enrich import parts
from enrich.errors import CorkboardError
from enrich.stores.feast_store import open_store as open_store
from enrich.stores.feast_store import quiet as quiet
from enrich.tables import ENRICHED, Table
from enrich.workspace import FEATURE_REPO, Workspace, Writing
from relevance.feature_definitions import definitions, digest, digest_of
from relevance.serving.redis_marker import has_lost_its_rows, mark_loaded

SCORING_SERVICE = "scoring_v1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WAIT = 600.0  # seconds, for another command that writes the store; a large first load takes longer

_TABLES = {table.name: table for table in ENRICHED}


class Materialized(NamedTuple):
    """What one view's materialization loaded."""

    view: str
    start: datetime  # event time of the oldest row that was not loaded before
    rows: int  # new rows, of which the latest of each key reached the online store


@dataclass(slots=True)
class _State:
    """W/feature_store_state.json: what was applied, and which parts of each view's table were materialized."""

    applied: str = ""
    loaded: dict[str, list[str]] = field(default_factory=dict)


def apply(workspace: Workspace) -> list[str]:
    """Register the definitions where they changed since the last time; the names of what is registered, else nothing.

    As `feast apply`: views and services that the definitions no longer name are removed.
    """
    if _is_applied(workspace):
        return []
    with workspace.alone(Writing.STORE, _WAIT):
        return [] if _is_applied(workspace) else _apply(workspace)


def _is_applied(workspace: Workspace) -> bool:
    store = open_store(workspace)
    return _read_state(workspace).applied == digest_of(workspace) and _reads(store, workspace) and _stands(store)


def _apply(workspace: Workspace) -> list[str]:
    wanted, store = digest_of(workspace), open_store(workspace)
    objects = definitions(workspace)
    named = [o.name for o in objects if isinstance(o, (FeatureView, FeatureService, OnDemandFeatureView))]
    with quiet():
        registered: list[Any] = [*store.list_feature_services(), *store.list_feature_views()]
        registered += store.list_on_demand_feature_views()
        store.apply(objects, objects_to_delete=[o for o in registered if o.name not in named], partial=False)
        _let_read_while_writing(store)
    _write_state(workspace, _State(applied=wanted))  # nothing loaded: the online store may be another one
    return named


def materialize(
    workspace: Workspace, services: Sequence[str] = (SCORING_SERVICE,), full: bool = False
) -> list[Materialized]:
    """Bring the online store up to date with the tables of `services`; what was loaded, nothing where all was there.

    Of each view the window from its oldest new row to now is loaded, so a late row arrives and never replaces a newer
    one. `full` loads everything again, as is done for a store that lost what it held. Raises CorkboardError when Feast
    fails: the store then serves what it had, and the next call loads the same window; or where another command has been
    writing the store for ten minutes.
    """
    apply(workspace)
    with workspace.alone(Writing.STORE, _WAIT):
        store, state = open_store(workspace), _read_state(workspace)
        if full or has_lost_its_rows(store.config):
            state.loaded = {}
        names = {p.name for service in services for p in store.get_feature_service(service).feature_view_projections}
        state.loaded = {name: marks for name, marks in state.loaded.items() if name not in names or _holds(store, name)}
        done = [_materialize_view(workspace, store, _TABLES[name], state) for name in sorted(names)]
        if any(done):
            mark_loaded(store.config)
    return [loaded for loaded in done if loaded is not None]


def _materialize_view(workspace: Workspace, store: FeatureStore, table: Table, state: _State) -> Materialized | None:
    known, now = set(state.loaded.get(table.name, ())), datetime.now(UTC)
    marked = {_mark(part): part for part in sorted(workspace.folder(table).glob("*.parquet"))}
    new = [mark for mark in marked if mark not in known]
    if not new:
        return None
    time = pl.col("event_timestamp")
    spans = [pl.scan_parquet(marked[mark]).select(time.min(), due=(time <= now).sum(), rows=pl.len()) for mark in new]
    frame = pl.concat(spans).collect()
    start, due = frame.select(time.min().fill_null(EPOCH), pl.col("due").sum()).row(0)
    if due:
        _write_state(workspace, state)  # the same again: a service that runs looks whose vectors are coming
        _load(workspace, store, table, start, now)
    partly = {mark for mark, row in zip(new, frame.iter_rows(named=True), strict=True) if row["due"] < row["rows"]}
    state.loaded[table.name] = [mark for mark in marked if mark not in partly]  # rows of the future are looked at again
    _write_state(workspace, state)
    return Materialized(table.name, start, due) if due else None


def _mark(part: Path) -> str:
    """What tells a part from another and from its own rewriting."""
    found = part.stat()
    return f"{part.name} {found.st_size} {found.st_mtime_ns}"


def _load(workspace: Workspace, store: FeatureStore, table: Table, start: datetime, end: datetime) -> None:
    try:
        with quiet():
            store.materialize(start, end, feature_views=[table.name])
    except Exception as error:  # an online store of any kind may fail in a way of its own
        raise CorkboardError(
            f"feast could not materialize {table.name} from {start:%Y-%m-%dT%H:%M:%S} ({type(error).__name__}: "
            f"{error}); the online store still serves what it had; check online_store in "
            f"{workspace.feature_store_yaml} and run it again"
        ) from error


def fingerprint(workspace: Workspace, service: str) -> str:
    """A hash of what a model trained from `service` depends on: its features, their types, and who produced them.

    Kept with every model; another value later means that the service, a schema or a producer changed since.
    """
    apply(workspace)
    return applied_fingerprint(workspace, service)


def applied_fingerprint(workspace: Workspace, service: str) -> str:
    """As `fingerprint`, of what is in the registry now, by whatever version of this code it was put there."""
    store = open_store(workspace)
    facts: list[str] = [service]
    for projection in store.get_feature_service(service).feature_view_projections:
        facts += [f"{projection.name}:{feature.name}:{feature.dtype}" for feature in projection.features]
        rows = parts.scan(workspace.folder(_TABLES[projection.name]))
        producers = rows.filter(pl.col("reason").is_null()).select(pl.col("producer").unique().sort()).collect()
        facts += [f"{projection.name}<{producer}" for producer in producers["producer"]]
    return digest(*facts)


def _reads(store: FeatureStore, workspace: Workspace) -> bool:
    """Whether the views read this workspace: `feast apply` takes the one that CORKBOARD_WORKSPACE names."""
    named = Workspace.at(workspace.root)  # as the definitions name it
    with quiet():
        views = [view for view in store.list_feature_views() if view.name in _TABLES]
    return all(getattr(v.batch_source, "path", "") == parts.glob(named.folder(_TABLES[v.name])) for v in views)


def _stands(store: FeatureStore) -> bool:
    """Whether what was applied is still there: the services in the registry and the tables of an embedded store.

    Raises CorkboardError where that store's file is no database.
    """
    with quiet():
        registered = any(service.name == SCORING_SERVICE for service in store.list_feature_services())
    path = _sqlite_path(store)
    if not registered or path is None:
        return registered
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(path)) as online:
            return bool(online.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' LIMIT 1").fetchone())
    except sqlite3.DatabaseError as error:
        raise CorkboardError(
            f"expected a SQLite database at {path}, found a file that is none ({error}); remove it and run again"
        ) from error


def _holds(store: FeatureStore, name: str) -> bool:
    """Whether a view was loaded since its store was made; the plain `feast teardown` and `apply` leave it empty."""
    view, path = store.get_feature_view(name), _sqlite_path(store)
    if not view.materialization_intervals or path is None:
        return bool(view.materialization_intervals)
    table = _table_id(store.project, view, store.config.registry.enable_online_feature_view_versioning)
    with closing(sqlite3.connect(path)) as online:
        try:
            return online.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is not None
        except sqlite3.OperationalError:  # there is no such table
            return False


def _sqlite_path(store: FeatureStore) -> Path | None:
    online = store.config.online_store
    return FEATURE_REPO / online.path if isinstance(online, SqliteOnlineStoreConfig) else None


def _let_read_while_writing(store: FeatureStore) -> None:
    """Put SQLite in write-ahead mode, where a reader sees the last commit instead of waiting for a writer."""
    path = _sqlite_path(store)
    if path is not None:
        with closing(sqlite3.connect(path)) as online:
            online.execute("PRAGMA journal_mode=WAL")


def load_state_path(workspace: Workspace) -> Path:
    """Written as a load of the online store begins, and as it ends."""
    return workspace.root / "feature_store_state.json"


def _read_state(workspace: Workspace) -> _State:
    try:
        return _State(**json.loads(load_state_path(workspace).read_text()))
    except (OSError, ValueError, TypeError):  # not there, or cut: then all is applied and loaded again
        return _State()


def _write_state(workspace: Workspace, state: _State) -> None:
    content = {"applied": state.applied, "loaded": state.loaded}
    parts.write_text(load_state_path(workspace), json.dumps(content, indent=1) + "\n")
