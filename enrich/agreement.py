"""Whether the online store says what the tables say, on a sample of each view's keys.

Reads the enriched tables, Feast's registry and the online store through Feast's own get_online_features; writes nothing
(`enrich status` shows it). A key agrees when every feature equals that of its newest row that may be seen now; what was
enriched after the view's last materialization shows as keys that do not.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from enrich import parts
from enrich.tables import ENRICHED, Kind, Table
from enrich.workspace import FEATURE_REPO, Workspace

_SAMPLE = 200  # keys of each view
_APPLIED = "feature_store_state.json"  # there once `relevance` applied definitions


@dataclass(frozen=True, slots=True)
class Agreement:
    """One view. `loaded_until` is the end of its last materialization; None where it was never loaded."""

    view: str
    loaded_until: datetime | None
    sampled: int
    equal: int
    differing: str | None  # one of the features that differ
    fault: str | None = None  # why the store could not be asked


def agreements(workspace: Workspace) -> list[Agreement]:
    """Of every view that is served online; nothing where Feast's definitions were never applied."""
    if not may_be_applied(workspace):
        return []
    from enrich.stores.feast_store import open_store, quiet  # here: it takes seconds to import

    with quiet():
        warnings.simplefilter("ignore")  # Feast's own, of which a user of status can make nothing
        try:
            store = open_store(workspace)
            views = {view.name: view for view in store.list_feature_views()}
        except Exception as error:  # noqa: BLE001  # each kind of registry has errors of its own; as below
            return [Agreement("registry", None, 0, 0, None, f"{type(error).__name__}: {error}")]
        tables = [table for table in ENRICHED if table.kind is not Kind.LABEL and table.name in views]
        return [_agreement(workspace, store, views[table.name], table) for table in tables]


def may_be_applied(workspace: Workspace) -> bool:
    """Whether there is a registry to ask: a file once something was applied, or whatever else is named somewhere."""
    settings = workspace.feature_store_yaml
    if not settings.is_file():
        return False
    registry = _registry_file(settings.read_text())
    return registry is None or registry.is_file() or (workspace.root / _APPLIED).is_file()


def _registry_file(settings: str) -> Path | None:
    """The file that Feast keeps its registry in, by its settings; None where it is none that can be looked for."""
    try:
        registry = yaml.safe_load(settings)["registry"]
        named = {"path": registry} if isinstance(registry, str) else registry
        kind, path = named.get("registry_type", "file"), os.path.expandvars(named["path"])
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return None
    return None if kind != "file" or "://" in path or "$" in path else FEATURE_REPO / path


def _agreement(workspace: Workspace, store: Any, view: Any, table: Table) -> Agreement:
    loaded_until = view.most_recent_end_time
    if loaded_until is None:
        return Agreement(table.name, None, 0, 0, None)
    expected = _sample(workspace, table)
    if expected.is_empty():
        return Agreement(table.name, loaded_until, 0, 0, None)
    names = [column.name for column in table.features]
    try:
        rows = expected.select(table.key).rows(named=True)
        online = store.get_online_features([f"{table.name}:{name}" for name in names], rows).to_dict()
    except Exception as error:  # noqa: BLE001  # each kind of store has errors of its own; status says them and goes on
        return Agreement(table.name, loaded_until, len(expected), 0, None, f"{type(error).__name__}: {error}")
    differing, equal = None, [True] * len(expected)
    for name in names:
        for i, (served, right) in enumerate(zip(online[name], expected[name].to_list(), strict=True)):
            if _plain(served) != _plain(right):
                equal[i], differing = False, differing or name
    return Agreement(table.name, loaded_until, len(expected), sum(equal), differing)


def _sample(workspace: Workspace, table: Table) -> pl.DataFrame:
    """The newest rows whose time has come, of keys spread over the table."""
    now, rows = datetime.now(UTC), parts.scan(workspace.folder(table))
    clocks = ["event_timestamp", "created_timestamp"]
    keys = rows.filter(pl.col("event_timestamp") <= now).select(table.key).unique().sort(table.key).collect()
    some = keys.gather_every(max(1, keys.height // _SAMPLE)).head(_SAMPLE)
    newest = rows.filter(pl.col("event_timestamp") <= now).join(some.lazy(), on=list(table.key), how="semi")
    return newest.sort(clocks, maintain_order=True).unique(table.key, keep="last", maintain_order=True).collect()


def _plain(value: Any) -> Any:
    """Feast's stores keep a null list as an empty one, and bytes as they are."""
    return None if isinstance(value, list) and not value else value
