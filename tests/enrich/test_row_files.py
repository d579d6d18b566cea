"""Values by row: what is gathered is what a whole read gives, from small parts and from mapped ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from enrich.stores import row_files
from enrich.stores.row_files import MISSING, ROW_BITS, gather

VECTORS = ([[1.0, 2.0], None, [3.0, 4.0]], [], [[5.0, 6.0], [7.0, 8.0]], [[1.0], [2.0, 3.0, 4.0], []])


@pytest.fixture(params=["read", "mapped"])
def parts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Four parts of vectors, texts and numbers; every part is large where they are to be mapped."""
    if request.param == "mapped":
        monkeypatch.setattr(row_files, "_MAPPED_FROM", 0)
        monkeypatch.setattr(row_files, "_BATCH_ROWS", 2)
    for i, vectors in enumerate(VECTORS):
        columns = {
            "v": pa.array(vectors, pa.list_(pa.float32())),
            "s": pa.array([f"{i}.{j}" for j in range(len(vectors))], pa.string()),
        }
        pq.write_table(pa.table(columns), tmp_path / f"{i}.parquet")
    return sorted(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    "wanted",
    [
        [(2, 1), None, (0, 0), (0, 1), (2, 0), (2, 0)],  # one length, nulls of both kinds, a row twice
        [(3, 0), (3, 2), (0, 2), (3, 1)],  # several lengths, one of them nothing
        [(0, 2), (2, 0)],
        [None, None],
        [],
    ],
)
def test_each_row_is_the_one_addressed(parts: list[Path], wanted: list[tuple[int, int] | None]):
    addresses = np.array([MISSING if at is None else (at[0] << ROW_BITS) | at[1] for at in wanted], np.int64)
    found = gather(parts, ["v", "s"], addresses)
    assert found["v"].to_pylist() == [None if at is None else VECTORS[at[0]][at[1]] for at in wanted]
    assert found["s"].to_pylist() == [None if at is None else f"{at[0]}.{at[1]}" for at in wanted]
    for column in found.values():
        column.validate(full=True)


def test_a_rewritten_part_is_read_anew_and_copies_of_lost_parts_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(row_files, "_MAPPED_FROM", 0)
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    address = np.zeros(1, np.int64)
    for part in (first, second):
        pq.write_table(pa.table({"n": [1]}), part)
        assert gather([part], ["n"], address)["n"].to_pylist() == [1]
    pq.write_table(pa.table({"n": [2, 3]}), first)
    second.unlink()
    assert gather([first], ["n"], address)["n"].to_pylist() == [2]
    assert [copies.name.split()[0] for copies in (tmp_path / row_files.FOLDER).iterdir()] == ["a"]
    row_files.forget(tmp_path)
    assert not (tmp_path / row_files.FOLDER).exists()
