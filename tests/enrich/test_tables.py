"""Tables: every one exists, typed; what does not fit is refused in one line that says so."""

from __future__ import annotations

import pyarrow as pa
import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.tables import BOARDS, ENRICHED, PINS, TABLES, validate
from enrich.workspace import Catalogue, Workspace


def test_a_new_workspace_has_every_table_typed_and_empty(workspace: Workspace) -> None:
    for table in TABLES:
        assert parts.read(workspace.folder(table), table).schema == table.schema
        assert parts.count(workspace.folder(table)) == 0


def test_every_enriched_row_has_both_clocks_and_provenance() -> None:
    for table in ENRICHED:
        assert {"event_timestamp", "created_timestamp", "producer", "input_hash", "reason"} <= set(table.schema.names)


def test_a_missing_required_column_is_named() -> None:
    with pytest.raises(BadInput, match=r"f\.csv: table 'boards' needs a column 'title'"):
        validate(BOARDS, pa.table({"board_id": ["b"]}), "f.csv")


def test_a_null_in_a_required_column_is_counted() -> None:
    rows = pa.table({"board_id": ["b", None], "title": ["x", "y"], "created_at": pa.array([0, 1], pa.timestamp("us"))})
    with pytest.raises(BadInput, match=r"boards\.board_id must have no nulls, found 1"):
        validate(BOARDS, rows, "f.csv")


def test_unknown_columns_are_dropped_and_absent_optional_ones_are_null() -> None:
    rows = pa.table({"pin_id": ["p"], "created_at": pa.array([0], pa.timestamp("us")), "price": [3]})
    assert validate(PINS, rows, "x").to_pylist()[0]["title"] is None


def test_replace_leaves_only_the_new_rows(workspace: Workspace) -> None:
    def boards(*ids: str) -> pa.Table:
        return pa.table(
            {"board_id": list(ids), "title": list(ids), "created_at": pa.array([0] * len(ids), pa.timestamp("us"))}
        )

    folder = workspace.folder(BOARDS)
    parts.replace(folder, BOARDS, boards("a", "b"))
    parts.replace(folder, BOARDS, boards("c"))
    assert parts.scan(folder).collect()["board_id"].to_list() == ["c"]


def test_a_workspace_refuses_another_catalogue(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="to hold chorus"):
        workspace.create(Catalogue("chorus", "elsewhere"))


def test_a_folder_without_a_catalogue_is_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="enrich import FORMAT PATH"):
        Workspace.open(tmp_path)
