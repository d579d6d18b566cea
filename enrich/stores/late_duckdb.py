"""Feast's DuckDB offline store with values joined late: which row is right is asked first, its values are read after.

Named in feature_store.yaml; `feast materialize` and everything but get_historical_features is Feast's own DuckDB store,
and so is that join. Feast carries every version's values through its window function: here each row goes through it
as one number, its address, and `row_files.py` fetches the values of the rows that won.

Two rows of one key with both clocks equal: the one that stands last counts (by part name, then row). Rows come back in
the order of `entity_df`. Sources that are no local parquet files go Feast's own way.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig, _write_data_source
from feast.infra.offline_stores.ibis import IbisRetrievalJob, get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pydantic import StrictStr

from enrich.stores import row_files

_ADDRESS = "__address"
_PLACE = "__place"  # of a row in entity_df
_LOCK = threading.Lock()
_TABLES: dict[tuple[str, ...], tuple[Any, str]] = {}  # files, keys, clocks -> whose table holds them, and its name
# ibis warns about its own use of DuckDB; Feast, imported above, shows every deprecation once unless told otherwise.
warnings.filterwarnings("ignore", r"fetch_arrow_table\(\) is deprecated", DeprecationWarning)


@atexit.register
def _release() -> None:
    """Let go of Feast's DuckDB before the interpreter ends; else its bindings print all they hold as leaked."""
    backend = ibis.options.default_backend
    ibis.options.default_backend = None
    if backend is not None:
        backend.disconnect()


class LateDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The settings of `offline_store` in feature_store.yaml."""

    type: StrictStr = "enrich.stores.late_duckdb.LateDuckDBOfflineStore"
    memory_limit: StrictStr = "2GB"  # of DuckDB's joins; what does not fit goes to temp_directory
    threads: int | None = None  # None: one a core
    temp_directory: StrictStr | None = None  # None: the system's


class LateDuckDBOfflineStore(DuckDBOfflineStore):
    """Feast's DuckDBOfflineStore, but for the order in which training frames are put together."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """As Feast's, row for row; the rows are chosen here, their values read when the job is."""
        _connect(config.offline_store)
        if isinstance(entity_df, str) or not all(_is_local(view) for view in feature_views):
            return DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
            )
        sources = {_files(view.batch_source).path: _source(view) for view in feature_views}
        narrow = get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=[f"{_asked_as(view)}:{_ADDRESS}" for view in feature_views],
            entity_df=entity_df.assign(**{_PLACE: np.arange(len(entity_df))}),
            registry=registry,
            project=project,
            data_source_reader=lambda source, _: _addressed(sources[_files(source).path]),
            data_source_writer=_write_data_source,
            full_feature_names=True,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        rows = narrow.to_arrow().sort_by(_PLACE)
        wanted = [
            _Wanted.of(view, sources[_files(view.batch_source).path], feature_refs, rows) for view in feature_views
        ]
        return _LateJob(
            entity_df=rows.select(list(entity_df.columns)),
            wanted=wanted,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
            metadata=narrow.metadata,
        )


class _Source(NamedTuple):
    """A view's files as they were when they were listed."""

    path: str
    keys: tuple[str, ...]
    clocks: tuple[str, ...]
    parts: tuple[Path, ...]  # an address counts them in this order
    mark: str  # another one where a part was added, rewritten or removed


class _Wanted(NamedTuple):
    """The features asked of one view, and the rows they are in."""

    prefix: str  # of full feature names
    features: tuple[str, ...]
    parts: tuple[Path, ...]
    addresses: row_files.Addresses

    @classmethod
    def of(cls, view: FeatureView, source: _Source, feature_refs: Sequence[str], rows: pa.Table) -> _Wanted:
        asked = _asked_as(view)
        prefix = view.projection.name_alias or view.name
        features = tuple(ref.split(":")[1] for ref in feature_refs if ref.startswith(f"{asked}:"))
        addresses = rows.column(f"{prefix}__{_ADDRESS}").fill_null(row_files.MISSING).to_numpy()
        return cls(prefix, features, source.parts, addresses)


class _LateJob(IbisRetrievalJob):
    """Rows that were chosen; their values are read when `to_arrow` or `to_df` asks for them."""

    def __init__(
        self,
        entity_df: pa.Table,
        wanted: Sequence[_Wanted],
        on_demand: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata | None,
    ) -> None:
        super().__init__(None, on_demand, full_feature_names, metadata, _write_data_source, None, None, "")
        self._entity_df, self._wanted = entity_df, wanted

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        table = self._entity_df
        for prefix, features, parts, addresses in self._wanted:
            for name, values in row_files.gather(parts, features, addresses).items():
                table = table.append_column(f"{prefix}__{name}" if self._full_feature_names else name, values)
        return table

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        table = ibis.memtable(self._to_arrow_internal(timeout))
        _write_data_source(table, storage.to_data_source(), "", "overwrite", allow_overwrite)


def _connect(settings: LateDuckDBOfflineStoreConfig) -> None:
    """Have ibis, and so Feast, use a DuckDB that keeps within the settings; one that is set already stays."""
    with _LOCK:
        if ibis.options.default_backend is None:
            spill = settings.temp_directory or str(Path(tempfile.gettempdir()) / f"corkboard-duckdb-{os.getpid()}")
            limits: dict[str, Any] = {"memory_limit": settings.memory_limit, "temp_directory": spill}
            if settings.threads is not None:
                limits["threads"] = settings.threads
            ibis.set_backend(ibis.duckdb.connect(**limits))


def _is_local(view: FeatureView) -> bool:
    source = view.batch_source
    return (
        isinstance(source, FileSource)
        and isinstance(source.file_format or ParquetFormat(), ParquetFormat)
        and "://" not in source.path
        and not source.field_mapping
    )


def _files(source: DataSource | None) -> FileSource:
    """What a view that `_is_local` let through reads."""
    if not isinstance(source, FileSource):
        raise TypeError(f"expected a view that reads files, found {type(source).__name__}")
    return source


def _asked_as(view: FeatureView) -> str:
    """The view's name in feature references."""
    return str(view.projection.name_to_use())  # type: ignore[no-untyped-call]  # feast does not annotate it


def _source(view: FeatureView) -> _Source:
    source = _files(view.batch_source)
    keys = tuple((view.projection.join_key_map or {e.name: e.name for e in view.entity_columns}).keys())
    clocks = tuple(c for c in (source.timestamp_field, source.created_timestamp_column) if c)
    root = Path(Path(source.path).absolute().anchor)
    parts = tuple(sorted(root.glob(str(Path(source.path).absolute().relative_to(root)))))
    stats = [(str(part), part.stat().st_size, part.stat().st_mtime_ns) for part in parts]
    return _Source(
        source.path,
        keys,
        clocks,
        parts,
        hashlib.blake2b(repr((source.path, keys, clocks, stats)).encode()).hexdigest()[:24],
    )


def _addressed(source: _Source) -> ibis.Table:
    """Keys, clocks and address of every row, in a table of DuckDB's that is kept until the files change."""
    connection, name = ibis.get_backend(), f"rows_{source.mark}"
    kind = (source.path, *source.keys, *source.clocks)
    with _LOCK:
        owner, known = _TABLES.get(kind, (None, ""))
        if owner is not connection or known != name:
            if owner is connection:
                connection.raw_sql(f"DROP TABLE IF EXISTS {known}")
            columns = ", ".join(f'"{column}"' for column in (*source.keys, *source.clocks))
            files = ", ".join("'" + str(part).replace("'", "''") + "'" for part in source.parts)
            connection.raw_sql(
                f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {columns}, "
                f"max((file_index::BIGINT << {row_files.ROW_BITS}) + file_row_number) AS {_ADDRESS} "
                f"FROM read_parquet([{files}]) GROUP BY ALL"
            )
            _TABLES[kind] = (connection, name)
        return connection.table(name)
