"""The parts of one table may have been written by several hands: a column of several types is one column."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import import_catalogue
from enrich.tables import PINS
from enrich.workspace import Workspace


def pins_of(folder: Path, column: str, *values: object) -> pl.DataFrame:
    """What an import makes of pins of which each part has one, with a value of its own type."""
    (folder / "pins").mkdir(exist_ok=True)
    for part, value in enumerate(values):
        written = value if isinstance(value, pl.Series) else pl.Series([value])
        ids = {} if column == "pin_id" else {"pin_id": [str(part)] * len(written)}
        pl.DataFrame({**ids, column: written}).write_parquet(folder / "pins" / f"{part}.parquet")
    workspace = Workspace.at(folder / "w")
    import_catalogue("native", folder, workspace)
    return parts.scan(workspace.folder(PINS)).sort("pin_id").collect()


FIVE = datetime(2020, 1, 1, 5, tzinfo=UTC)
PARIS = pl.Series([datetime(2020, 1, 1, 6)]).dt.replace_time_zone("Europe/Paris")


@pytest.mark.parametrize(
    "values",
    [
        (datetime(2020, 1, 1, 5), "2020-01-01 06:00+01:00"),
        (datetime(2020, 1, 1, 5), FIVE),
        (PARIS, FIVE),
        (pl.Series([datetime(2020, 1, 1, 5)], dtype=pl.Datetime("ms")), 1_577_854_800, "2020-01-01T05:00Z"),
        (1_577_854_800, 1_577_854_800_000.0),
    ],
    ids=["time and text", "naive and UTC", "two zones", "time, epoch and text", "seconds and milliseconds"],
)
def test_a_time_may_be_of_several_types(values: tuple, tmp_path: Path) -> None:
    assert pins_of(tmp_path, "created_at", *values)["created_at"].to_list() == [FIVE] * len(values)


def test_a_date_may_stand_beside_an_epoch_and_nothing(tmp_path: Path) -> None:
    found = pins_of(tmp_path, "created_at", date(2020, 1, 1), 1_577_854_800, None)["created_at"].to_list()
    assert found == [datetime(2020, 1, 1, tzinfo=UTC), FIVE, datetime(2000, 1, 1, tzinfo=UTC)]


def test_an_id_may_be_of_several_types(tmp_path: Path) -> None:
    found = pins_of(tmp_path, "pin_id", 1234567890123456789, 2.0, "x1", pl.Series([3], dtype=pl.UInt64))
    assert found["pin_id"].to_list() == ["1234567890123456789", "2", "3", "x1"]


def test_what_is_nested_in_one_part_alone_is_refused_where_it_is_read(tmp_path: Path) -> None:
    assert pins_of(tmp_path, "tags", ["a", "b"], "c").height == 2
    with pytest.raises(BadInput, match=r"'title' to hold single values in all parts .* List.* and String; flatten it"):
        pins_of(tmp_path, "title", ["a", "b"], "c")
