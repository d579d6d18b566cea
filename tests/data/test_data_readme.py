"""data/README.md says what enrich/tables.py declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.tables import PROVENANCE, TABLES, Table

README = (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_and_column_is_described(table: Table) -> None:
    _, _, section = README.partition(f"### {table.name}\n")
    section = section.partition("\n### ")[0]
    for column in table.columns:
        name = f"**{column.name}**" if column.required else column.name
        assert f"| {name} | " in section and column.description in section


def test_provenance_is_described() -> None:
    assert all(column.description in README for column in PROVENANCE)
