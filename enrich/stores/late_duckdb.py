"""Feast's DuckDB offline store with values joined late: which row is right is asked first, its values are read after.

Named in feature_store.yaml. Feast carries every version's values through its window functions: here each row goes
through them as one number, its address. For a training frame (`get_historical_features`) `row_files.py` fetches the
values of the rows that won, for `feast materialize` `late_latest.py` streams them.

Two rows of one key with both clocks equal: the one that stands last counts (by part name, then row). Rows of a frame
come back in the order of `entity_df`. Sources that are no local parquet files, or of which a path makes a column, go
Feast's own way.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig, _write_data_source
from feast.infra.offline_stores.ibis import (
    IbisRetrievalJob,
    get_historical_features_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pydantic import StrictStr

from enrich.stores import row_files
from enrich.stores.late_latest import LatestJob
from enrich.stores.parquet_source import ADDRESS, Part, Source, addresses_of, connect, is_local, kept_addresses

_PLACE = "__place"  # of a row in entity_df
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
    """Feast's DuckDBOfflineStore, but for when values are read."""

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """As Feast's: of each key the newest row of the window, both ends included; of local files a LatestJob."""
        connect(config.offline_store)
        clocks = [c for c in (timestamp_field, created_timestamp_column) if c]
        columns = [*join_key_columns, *feature_name_columns, *clocks]
        source = Source.of(data_source, join_key_columns, clocks) if is_local(data_source) else None
        if source is None or not join_key_columns or not source.holds(columns):
            return DuckDBOfflineStore.pull_latest_from_table_or_query(
                config,
                data_source,
                join_key_columns,
                feature_name_columns,
                timestamp_field,
                created_timestamp_column,
                start_date,
                end_date,
            )
        asked_once = addresses_of(source)
        narrow = pull_latest_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=[ADDRESS],
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
            data_source_reader=lambda *_: asked_once,
            data_source_writer=_write_data_source,
        )
        chosen = narrow.table  # type: ignore[attr-defined]  # an IbisRetrievalJob, which Feast's annotation hides
        return LatestJob(source, columns, chosen)

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
        connect(config.offline_store)
        sources = {} if isinstance(entity_df, str) else _sources(feature_views, feature_refs)
        if isinstance(entity_df, str) or not sources:
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
        narrow = get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=[f"{_asked_as(view)}:{ADDRESS}" for view in feature_views],
            entity_df=entity_df.assign(**{_PLACE: np.arange(len(entity_df))}),
            registry=registry,
            project=project,
            data_source_reader=lambda source, _: kept_addresses(sources[id(source)]),
            data_source_writer=_write_data_source,
            full_feature_names=True,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        rows = narrow.to_arrow().sort_by(_PLACE)
        wanted = [_Wanted.of(view, sources[id(view.batch_source)], feature_refs, rows) for view in feature_views]
        return _LateJob(
            entity_df=rows.select(list(entity_df.columns)),
            wanted=wanted,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
            metadata=_metadata(narrow.metadata, feature_refs),
        )


class _Wanted(NamedTuple):
    """The features asked of one view, and the rows they are in."""

    prefix: str  # of full feature names
    features: tuple[str, ...]
    parts: tuple[Part, ...]
    addresses: row_files.Addresses

    @classmethod
    def of(cls, view: FeatureView, source: Source, feature_refs: Sequence[str], rows: pa.Table) -> _Wanted:
        prefix = view.projection.name_alias or view.name
        features = _features(view, feature_refs)
        addresses = rows.column(f"{prefix}__{ADDRESS}").fill_null(row_files.MISSING).to_numpy()
        return cls(prefix, features, source.parts, addresses)

    def values(self) -> dict[str, pa.ChunkedArray]:
        """Of each feature. Raises CorkboardError where a part was rewritten since the rows were chosen: an address is
        another row's then.
        """
        found = row_files.gather([part.path for part in self.parts], self.features, self.addresses)
        for number in np.unique(self.addresses[self.addresses != row_files.MISSING] >> row_files.ROW_BITS):
            self.parts[number].refuse_rewritten()
        return found


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
        for wanted in self._wanted:
            for name, values in wanted.values().items():
                table = table.append_column(f"{wanted.prefix}__{name}" if self._full_feature_names else name, values)
        return table

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        table = ibis.memtable(self._to_arrow_internal(timeout))
        _write_data_source(table, storage.to_data_source(), "", "overwrite", allow_overwrite)


def _metadata(narrow: RetrievalMetadata | None, feature_refs: list[str]) -> RetrievalMetadata | None:
    """What Feast says of the join, of the features that were asked for: a saved dataset is read back by it."""
    if narrow is None:
        return None
    keys = [key for key in narrow.keys if key != _PLACE]
    return RetrievalMetadata(feature_refs, keys, narrow.min_event_timestamp, narrow.max_event_timestamp)


def _asked_as(view: FeatureView) -> str:
    """The view's name in feature references."""
    return str(view.projection.name_to_use())  # type: ignore[no-untyped-call]  # feast does not annotate it


def _features(view: FeatureView, feature_refs: Sequence[str]) -> tuple[str, ...]:
    """Those that are asked of the view."""
    asked = f"{_asked_as(view)}:"
    return tuple(ref.removeprefix(asked) for ref in feature_refs if ref.startswith(asked))


def _sources(feature_views: Sequence[FeatureView], feature_refs: Sequence[str]) -> dict[int, Source]:
    """What each view reads, by the identity of its data source, which is all that Feast's join says of it.

    None where one is no local parquet files, wants columns that they do not have themselves, or shares it with a view
    of other keys: these are for Feast's own way.
    """
    found: dict[int, Source] = {}
    for view in feature_views:
        if not is_local(view.batch_source):
            return {}
        source = _source(view, view.batch_source)
        columns = (*source.keys, *source.clocks, *_features(view, feature_refs))
        if not source.holds(columns) or found.setdefault(id(view.batch_source), source) != source:
            return {}
    return found


def _source(view: FeatureView, source: FileSource) -> Source:
    keys = (view.projection.join_key_map or {e.name: e.name for e in view.entity_columns}).keys()
    clocks = [c for c in (source.timestamp_field, source.created_timestamp_column) if c]
    return Source.of(source, tuple(keys), clocks)
