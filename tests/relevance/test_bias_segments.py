"""From where and by whom judged pairs are mostly seen: a log to check by eye."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from table_rows import day, write_rows

from enrich import parts
from enrich.tables import ENGAGEMENTS, PIN_TEXT
from enrich.workspace import Workspace
from relevance.experiments.bias_segments import _categories, audiences_of, segmented
from relevance.experiments.names import Name
from tests.relevance.tiny_experiments import site

PAIRS = pl.DataFrame({"query": ["oak table", "oak table", "lamp"], "pin_id": ["p1", "p2", "p1"]})


def seen(workspace: Workspace, *rows: tuple[str, str, str | None, str | None, int]) -> None:
    """query, pin, user, country, and how many impressions."""
    one = [
        {"query": query, "pin_id": pin, "event": "impression", "user_hash": user, "country": country}
        for query, pin, user, country, times in rows
        for _ in range(times)
    ]
    write_rows(workspace, ENGAGEMENTS, *({**row, "event_timestamp": day(1)} for row in one))


def test_a_third_of_the_log_each_is_heavy_regular_and_light_users(workspace: Workspace) -> None:
    seen(
        workspace,
        ("Oak  Table", "p1", "AA", "US", 4),
        ("oak table", "p1", "aa", None, 5),  # a hash in either case is one user
        ("oak table", "p1", "bb", "DE", 3),
        ("oak table", "p2", "bb", "DE", 2),
        *(("lamp", "p1", f"c{i}", "FR", 1) for i in range(5)),
        *(("sofa", "p9", f"d{i}", "FR", 1) for i in range(4)),
        ("lamp", "p1", None, "US", 9),
    )
    found = audiences_of(workspace, PAIRS).sort("query", "pin_id")
    assert found.rows() == [
        ("lamp", "p1", "US", "light"),
        ("oak table", "p1", "US", "heavy"),
        ("oak table", "p2", "DE", "regular"),
    ]


def test_what_a_log_does_not_say_is_not_known(workspace: Workspace) -> None:
    assert audiences_of(workspace, PAIRS).height == 0
    seen(workspace, ("lamp", "p1", None, "US", 1))
    assert audiences_of(workspace, PAIRS).rows() == [("lamp", "p1", "US", None)]
    seen(workspace, ("oak table", "p1", "aa", None, 1))
    assert ("oak table", "p1", None, "regular") in audiences_of(workspace, PAIRS).rows()


def test_a_segment_that_nobody_can_tell_is_not_there(tmp_path: Path) -> None:
    made = site(tmp_path, Name.STABILITY)
    rows = made.judged.with_columns(
        query_features__frequency=pl.lit(None, pl.Int64), pin_engagement__impressions_365d=pl.lit(None, pl.Int64)
    )
    found = segmented(rows, made)
    assert not {"frequency", "impressions"} & set(found.columns)
    assert found["source"].unique().to_list() == ["imported"]
    seen = rows.with_columns(pin_engagement__impressions_365d=pl.int_range(pl.len()))
    assert set(segmented(seen, made)["impressions"]) == {"often", "seldom", "never"}


def test_a_pin_is_of_the_category_that_it_had_last(tmp_path: Path, workspace: Workspace) -> None:
    was = ((3, "rugs"), (5, "tables"), (2, "lamps"))
    write_rows(workspace, PIN_TEXT, *(
        {"pin_id": "p1", "category": name, "event_timestamp": day(at), "created_timestamp": day(at)} for at, name in was
    ))  # fmt: skip
    made = replace(site(tmp_path, Name.STABILITY), table=lambda table: parts.scan(workspace.folder(table)))
    assert _categories(made).rows() == [("p1", "tables")]
