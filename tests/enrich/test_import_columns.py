"""Values of any type become text, times and numbers, or null; never a wrong value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.importers import columns


def converted(convert, value, dtype=None):
    frame = pl.DataFrame({"x": pl.Series([value], dtype=dtype)})
    return frame.select(convert(pl.col("x"), frame.schema["x"])).item()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024/1/2 3:04", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
        (" 2024-01-02T03:04:05Z ", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.1234567+02:00", datetime(2024, 1, 2, 1, 4, 5, 123456, tzinfo=UTC)),
        ("2024-01-02 03:04:05 -0130", datetime(2024, 1, 2, 4, 34, 5, tzinfo=UTC)),
        ("20240102", datetime(2024, 1, 2, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000.5, datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)),
        (date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)),
        (datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 3, tzinfo=UTC)),
        (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 1, 2, 1, tzinfo=UTC)),
        ("2024-02-30", None),
        ("2024-01-02T25:00:00", None),
        ("01/02/2024", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_a_time_is_what_it_says_or_null(written, meant):
    assert converted(columns.time, written) == meant


@pytest.mark.parametrize(
    ("days", "dtype"),
    [
        *(
            (sign * 2**62, pl.Datetime(unit, zone))
            for sign in (1, -1)
            for unit in ("ms", "us")
            for zone in (None, "UTC")
        ),
        (2**31 - 1, pl.Date),
        (-(2**31), pl.Date),
    ],
)
def test_a_stored_time_of_no_year_is_null_and_not_the_end(days, dtype):
    physical = pl.Int32 if dtype == pl.Date else pl.Int64
    frame = pl.DataFrame({"x": pl.Series([days, 0], dtype=physical)}).with_columns(pl.col("x").cast(dtype))
    found = frame.select(columns.time(pl.col("x"), frame.schema["x"])).to_series().to_list()
    assert found == [None, datetime(1970, 1, 1, tzinfo=UTC)]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_iso_times_come_back_to_the_microsecond(moment):
    assert converted(columns.time, moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("written", "meant"),
    [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("007", "007"), (float("nan"), None), (b"ab", "ab"), (2**62, str(2**62))],
)
def test_an_id_is_the_text_a_reader_would_write(written, meant):
    assert converted(columns.text, written) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("4", 4.0), (" 4.5 ", 4.5), (3, 3.0), ("four", None), ("nan", None), ("inf", None)]
)
def test_a_number_is_finite_or_null(written, meant):
    assert converted(columns.number, written) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("Yes", True), ("0", False), (1, True), (False, False), ("maybe", None)]
)
def test_a_flag_is_yes_or_no_or_null(written, meant):
    assert converted(columns.flag, written) is meant


@pytest.mark.parametrize("written", ["2024-03-01T10:00:00.٣Z", "2024-03-01T10:00:00+٠٢:٠٠", "٢٠٢٤-٠٣-٠١"])
def test_a_time_in_other_digits_is_null_and_no_end(written):
    assert converted(columns.time, written) is None
