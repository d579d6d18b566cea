"""Tables that an older version of corkboard wrote: known by the columns they lack, and given them."""

from __future__ import annotations

import pyarrow.parquet as pq

from enrich import parts
from enrich.errors import BadInput
from enrich.tables import TABLES, Table
from enrich.workspace import Workspace


def older_tables(workspace: Workspace) -> dict[Table, list[str]]:
    """The tables that lack columns, and which; by the part that every table has, which `parts.widen` writes last."""
    found = {}
    for table in TABLES:
        first = parts.schema_part(workspace.folder(table))
        there = pq.read_schema(first).names if first.is_file() else []
        if lacking := [name for name in table.schema.names if name not in there]:
            found[table] = lacking
    return found


def widen(workspace: Workspace) -> None:
    """Give them the columns, all null, and make tables that there were none of; for who alone writes tables."""
    for table in older_tables(workspace):
        parts.create(workspace.folder(table), table)
        parts.widen(workspace.folder(table), table)


def refuse(workspace: Workspace, but_for_columns: bool = False) -> None:
    """Raises BadInput where a table is not there, or, unless `but_for_columns`, lacks one."""
    for table, lacking in older_tables(workspace).items():
        whole = len(lacking) == len(table.schema.names)
        if but_for_columns and not whole:
            continue
        found = "none" if whole else f"it without {', '.join(lacking)}"
        raise BadInput(
            f"expected this version's {table.name} in {workspace.root}, found {found}; an older version wrote it: "
            "`enrich run` brings it up to date"
        )
