"""Rows written straight into a table, for tests that state what a job would have written; and other stores for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from enrich import parts
from enrich.tables import Kind, Table
from enrich.workspace import Workspace


def day(number: int, microseconds: int = 0) -> datetime:
    """The start of a day of January 2025 (and on: day 32 is 1 February)."""
    return datetime.fromtimestamp(1_735_689_600 + (number - 1) * 86_400, UTC).replace(microsecond=microseconds)


def write_rows(workspace: Workspace, table: Table, *rows: dict[str, Any]) -> None:
    """One part of `rows`; an enriched row needs its values and `event_timestamp`, and is known at once by default."""
    if table.kind is Kind.SOURCE:
        complete = list(rows)
    else:
        complete = [
            {
                "created_timestamp": row["event_timestamp"],
                "written_at": row["event_timestamp"],
                "backfilled": False,
                "producer": "test",
                "code_version": "0",
                "input_hash": "0",
                **row,
            }
            for row in rows
        ]
    columns = {f.name: pa.array([row.get(f.name) for row in complete], f.type) for f in table.schema}
    parts.append(workspace.folder(table), table, pa.table(columns))


def use_online_store(workspace: Workspace, store_type: str, address: str) -> None:
    """Another online store, by feature_store.yaml alone; `address` is of Redis, or a SQLite file's path."""
    written = workspace.feature_store_yaml.read_text()
    where = "path"
    if "redis" in store_type.lower():  # whose second to answer in is too short for a busy machine
        where, address = "connection_string", f"{address},socket_timeout=60,socket_connect_timeout=60"
    changed, count = re.subn(
        r"online_store:\n(?:  .*\n)+", f"online_store:\n  type: {store_type}\n  {where}: {address}\n", written
    )
    assert count == 1
    workspace.feature_store_yaml.write_text(changed)
