"""Where each view's rows are: the enriched table of its name, in the workspace that CORKBOARD_WORKSPACE names.

Paths are absolute, since Feast resolves relative ones against the working directory. They are parquet files to DuckDB
and, where CORKBOARD_OFFLINE is `spark` (production/spark.yaml), the same files to Spark.
"""

import logging
import os
from pathlib import Path

from feast import FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource

from enrich import parts
from enrich.errors import BadInput
from enrich.tables import Table
from enrich.workspace import ENVIRONMENT_VARIABLE, Workspace

# Feast reads these globs but warns at every `apply` that no file has such a name. `source` makes sure that files match.
_VALIDATION = logging.getLogger("feast.infra.offline_stores.file_source")
_VALIDATION.addFilter(lambda record: "/*.parquet" not in record.getMessage())


def source(table: Table) -> DataSource:
    """The table's parts, with both clocks. A table that nothing was written to yet is made, typed and empty."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named and not Path(named).is_absolute():
        raise BadInput(
            f"expected {ENVIRONMENT_VARIABLE} as an absolute path, found {named!r}; `feast apply` changes the working "
            "directory, so name it from the root (export CORKBOARD_WORKSPACE=$PWD/...)"
        )
    folder = Workspace.at().folder(table)
    parts.create(folder, table)
    described = {
        "name": f"{table.name}_parts",
        "path": parts.glob(folder),
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created_timestamp",
        "description": f"{table.description}; written by `{table.writer}`",
    }
    if os.environ.get("CORKBOARD_OFFLINE") == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource  # an extra

        return SparkSource(file_format="parquet", **described)
    return FileSource(file_format=ParquetFormat(), **described)
