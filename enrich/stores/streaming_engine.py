"""Feast's compute engine for one machine, with a plain view loaded batch by batch: what `feast materialize` runs.

Named in feature_store.yaml as `batch_engine`. Feast's `local` engine holds a view's newest rows whole, carries them
through pandas, and makes a protobuf of every cell. A view that is columns of local parquet files and no more goes from
the files to the online store in batches of `materialization.online_write_batch_size` rows instead; what is held is a
batch, whatever the table's size. Transformations, aggregations, validation, other offline stores: Feast's own way.

Rows of a packed view are dated when they are packed, a moment before their part can be seen: a load that ended in
between would leave them to no later one. So loads of these views begin `overlap_minutes` before their window; what was
loaded before is written again, and changes nothing.

A batch is one transaction where the store has them. Killed, or failed, a load is not recorded as done; the same window
loaded again writes the same rows again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.backends.pandas_backend import PandasBackend
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.utils import create_offline_store_retrieval_job
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import _convert_arrow_to_proto
from pydantic import StrictStr

from enrich.progress import progress
from enrich.stores.late_duckdb import LateDuckDBOfflineStore
from enrich.stores.late_latest import LatestJob
from enrich.stores.online_rows import ArrowWriter
from enrich.stores.view_loads import loading
from enrich.tables import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS = 2_000  # in a batch where feature_store.yaml does not say
_MORE_THAN_COLUMNS = (  # what a view may ask for beside columns of its source; and Feast's offline write of the result
    "source_views",
    "stream_source",
    "feature_transformation",
    "aggregations",
    "filter",
    "enable_validation",
    "offline",
)


class StreamingComputeEngineConfig(LocalComputeEngineConfig):
    """The settings of `batch_engine` in feature_store.yaml; `backend` is of what goes Feast's way."""

    type: StrictStr = "enrich.stores.streaming_engine.StreamingComputeEngine"  # type: ignore[assignment]
    overlap_minutes: int = 60


class StreamingComputeEngine(LocalComputeEngine):
    """Feast's LocalComputeEngine; plain views are streamed."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        try:
            with loading(str(getattr(task.feature_view.batch_source, "path", ""))):
                latest = self._latest(registry, task)
                if latest is None:
                    return super()._materialize_one(registry, task, **kwargs)
                self._load(task, latest)
        except Exception as error:  # noqa: BLE001  the job carries whatever it was, and Feast raises it
            return _job(task, MaterializationJobStatus.ERROR, error)
        return _job(task, MaterializationJobStatus.SUCCEEDED)

    def _latest(self, registry: BaseRegistry, task: MaterializationTask) -> LatestJob | None:
        """The rows to load; None where they cannot be streamed."""
        view = task.feature_view
        source = view.batch_source
        if not isinstance(self.offline_store, LateDuckDBOfflineStore) or source is None or not _is_plain(view):
            return None
        columns = LocalFeatureBuilder(registry, task, PandasBackend()).get_column_info(view)
        job = create_offline_store_retrieval_job(
            data_source=source,
            column_info=columns,
            context=self.get_execution_context(registry, task),
            start_time=self._start(task),
            end_time=task.end_time,
        )
        return job if isinstance(job, LatestJob) else None

    def _start(self, task: MaterializationTask) -> datetime:
        if task.feature_view.tags.get("kind") != Kind.SERVING or task.start_time <= _EPOCH:
            return task.start_time
        return task.start_time - timedelta(minutes=self.repo_config.batch_engine.overlap_minutes)

    def _load(self, task: MaterializationTask, latest: LatestJob) -> None:
        write = self._writer(task.feature_view)
        size = self.repo_config.materialization_config.online_write_batch_size or _ROWS
        total = len(latest.addresses()) if task.tqdm_builder else 0  # Feast asks for a bar, or for none
        with progress(total, task.feature_view.name) as bar:
            for batch in latest.batches(size):
                write(batch)
                bar.update(len(batch))

    def _writer(self, view: FeatureView) -> Callable[[pa.RecordBatch], None]:
        """Writes a batch by the store's own way for Arrow, else by the one that every store has."""
        store, config = self.online_store, self.repo_config
        if isinstance(store, ArrowWriter):
            return lambda batch: store.write_arrow(config, view, batch)
        keys = {entity.name: entity.dtype.to_value_type() for entity in view.entity_columns}
        return lambda batch: store.online_write_batch(
            config, view, _convert_arrow_to_proto(batch, view, keys), lambda rows: None
        )


def _is_plain(view: FeatureView) -> bool:
    return type(view) is FeatureView and view.online and not any(getattr(view, n, None) for n in _MORE_THAN_COLUMNS)


def _job(
    task: MaterializationTask, status: MaterializationJobStatus, error: Exception | None = None
) -> LocalMaterializationJob:
    name = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"  # as Feast names its own
    return LocalMaterializationJob(job_id=name, status=status, error=error)
