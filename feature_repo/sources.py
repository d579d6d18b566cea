"""Where each view's rows are: the enriched table of its name, in the workspace that CORKBOARD_WORKSPACE names.

Paths are absolute, since Feast resolves relative ones against the working directory.
"""

import logging

from feast import FileSource
from feast.data_format import ParquetFormat

from enrich import parts
from enrich.tables import Table
from enrich.workspace import Workspace

# Feast reads these globs but warns at every `apply` that no file has such a name. `source` makes sure that files match.
_VALIDATION = logging.getLogger("feast.infra.offline_stores.file_source")
_VALIDATION.addFilter(lambda record: "/*.parquet" not in record.getMessage())


def source(table: Table) -> FileSource:
    """The table's parts, with both clocks. A table that nothing was written to yet is made, typed and empty."""
    folder = Workspace.at().folder(table)
    parts.create(folder, table)
    return FileSource(
        name=f"{table.name}_parts",
        path=parts.glob(folder),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=f"{table.description}; written by `{table.writer}`",
    )
