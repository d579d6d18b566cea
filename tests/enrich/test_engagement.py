"""Counts in their windows, and rates smoothed as the formula says."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_rows import day, write_rows

from enrich import parts
from enrich.engagement import EngagementSettings, run_engagement
from enrich.job import JobReport
from enrich.smoothing import STRONGEST, UNKNOWN, WEAKEST, prior_strength, smoothed
from enrich.snapshots import SnapshotSettings
from enrich.tables import DELETIONS, ENGAGEMENTS, PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT
from enrich.workspace import Workspace


def events(query: str, pin: str, on: int = 1, user: str = "u", **counts: int) -> list[dict[str, Any]]:
    return [
        {"query": query, "pin_id": pin, "event": kind, "user_hash": user, "event_timestamp": day(on, 1 + n)}
        for kind, count in counts.items()
        for n in range(count)
    ]


def run(workspace: Workspace, cadence_days: int = 1) -> list[JobReport]:
    return run_engagement(workspace, EngagementSettings(snapshots=SnapshotSettings(cadence_days=cadence_days)))


def pins(workspace: Workspace) -> dict[str, dict[str, Any]]:
    rows = parts.latest(workspace.folder(PIN_ENGAGEMENT), PIN_ENGAGEMENT)
    return {row["pin_id"]: row for row in rows.to_dicts()}


def pairs(workspace: Workspace) -> dict[tuple[str, str], dict[str, Any]]:
    rows = parts.latest(workspace.folder(QUERY_PIN_ENGAGEMENT), QUERY_PIN_ENGAGEMENT)
    return {(row["query"], row["pin_id"]): row for row in rows.to_dicts()}


def floats(*values: float) -> pl.Series:
    return pl.Series(values, dtype=pl.Float64)


def test_the_prior_by_hand() -> None:
    """Two pins shown 10 times with 1 and 5 clicks, mean 0.3: excess 2 * 10 * 0.04 - 2 * 0.21 = 0.38, room
    2 * 9 * 0.21 = 3.78, so rho = 0.1005 and the strength 1 / rho - 1 = 8.947."""
    clicks, shown, means = floats(1, 5), floats(10, 10), floats(0.3, 0.3)
    strength = prior_strength(clicks, shown, means)
    assert strength == pytest.approx(3.78 / 0.38 - 1)
    assert smoothed(clicks, shown, means, strength).to_list() == pytest.approx(
        [3.6842 / 18.9474, 7.6842 / 18.9474], rel=1e-4
    )


def test_rates_alike_are_pulled_hardest_and_single_showings_say_nothing() -> None:
    assert prior_strength(floats(3, 3), floats(10, 10), floats(0.3, 0.3)) == STRONGEST
    assert prior_strength(floats(0, 10), floats(10, 10), floats(0.5, 0.5)) == WEAKEST
    assert prior_strength(floats(0, 1), floats(1, 1), floats(0.5, 0.5)) == UNKNOWN


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20), st.floats(0, 1))
def test_a_smoothed_rate_lies_between_the_rate_and_the_prior(counts: list[tuple[int, int]], mean: float) -> None:
    clicks, shown = floats(*(min(pair) for pair in counts)), floats(*(max(pair) for pair in counts))
    means = floats(*[mean] * len(counts))
    found = smoothed(clicks, shown, means, prior_strength(clicks, shown, means))
    raw = (clicks / shown).fill_nan(mean)
    low, high = np.minimum(raw, means), np.maximum(raw, means)
    assert ((found >= low - 1e-9) & (found <= high + 1e-9)).all()


def test_the_strength_that_made_the_counts_is_found_in_them() -> None:
    random = np.random.default_rng(3)
    rates = random.beta(0.1 * 40, 0.9 * 40, 4000)
    shown = random.integers(1, 60, 4000)
    clicks = pl.Series(random.binomial(shown, rates))
    found = prior_strength(clicks, pl.Series(shown.astype(float)), pl.Series([0.1] * 4000))
    assert found == pytest.approx(40, rel=0.15)


def test_a_pins_counts_and_rates_by_hand(workspace: Workspace) -> None:
    rows = events("q", "a", impression=10, click=1) + events("r", "b", impression=10, click=5)
    write_rows(workspace, ENGAGEMENTS, *rows)
    run(workspace)
    a, b = pins(workspace)["a"], pins(workspace)["b"]
    assert (a["impressions_30d"], a["clicks_30d"], a["saves_30d"], b["clicks_365d"]) == (10, 1, 0, 5)
    assert a["click_rate_365d"] == pytest.approx(3.6842 / 18.9474, rel=1e-4)
    assert b["click_rate_30d"] == pytest.approx(7.6842 / 18.9474, rel=1e-4)
    assert a["save_rate_30d"] == 0


def test_a_future_click_is_invisible_at_an_earlier_snapshot(workspace: Workspace) -> None:
    write_rows(workspace, ENGAGEMENTS, *events("q", "a", impression=2), *events("q", "a", on=2, click=1))
    run(workspace)
    for table in (PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT):
        rows = parts.scan(workspace.folder(table)).collect().sort("event_timestamp")
        assert rows.select("event_timestamp", "clicks_365d").rows() == [(day(2), 0), (day(3), 1)]


def test_an_event_leaves_its_window(workspace: Workspace) -> None:
    write_rows(workspace, ENGAGEMENTS, *events("q", "a", impression=3), *events("q", "b", on=40, impression=1))
    run(workspace, cadence_days=30)
    assert (pins(workspace)["a"]["impressions_30d"], pins(workspace)["a"]["impressions_365d"]) == (0, 3)


def test_a_pins_standing_counts_keep_their_row_while_the_log_moves_a_little(workspace: Workspace) -> None:
    quiet = [row for n in range(50) for row in events("q", f"p{n:02}", impression=20, click=n % 5)]
    write_rows(workspace, ENGAGEMENTS, *quiet, *events("q", "p00", on=2, impression=1))
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_ENGAGEMENT)).filter(pl.col("event_timestamp") == day(3)).collect()
    assert rows["pin_id"].to_list() == ["p00"]


def test_a_pair_is_pulled_towards_its_pin(workspace: Workspace) -> None:
    rows = events("hit", "a", impression=20, click=10) + events("miss", "a", impression=1)
    rows += events("hit", "b", impression=20, click=1) + events("miss", "b", impression=1)
    write_rows(workspace, ENGAGEMENTS, *rows)
    run(workspace)
    found = pairs(workspace)
    assert found["miss", "a"]["click_rate_365d"] > found["miss", "b"]["click_rate_365d"] > 0
    assert found["hit", "a"]["clicks_365d"] == 10


def test_private_queries_have_no_pairs_but_count_for_their_pins(workspace: Workspace) -> None:
    write_rows(workspace, ENGAGEMENTS, *events("a@b.com", "a", impression=1), *events("q", "a", impression=1))
    reports = run(workspace)
    assert list(pairs(workspace)) == [("q", "a")]
    assert pins(workspace)["a"]["impressions_365d"] == 2
    assert reports[1].failed == {"private-email": 1}


def test_a_log_without_impressions_has_counts_and_no_rates(workspace: Workspace) -> None:
    write_rows(workspace, ENGAGEMENTS, *events("q", "a", click=2))
    run(workspace)
    assert (pins(workspace)["a"]["clicks_30d"], pins(workspace)["a"]["click_rate_30d"]) == (2, None)


def test_a_deleted_users_queries_vanish(workspace: Workspace) -> None:
    write_rows(workspace, ENGAGEMENTS, *events("secret", "a", user="u1", click=1), *events("q", "a", impression=1))
    run(workspace)
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u1", "deleted_at": day(9)})
    run(workspace)
    assert parts.scan(workspace.folder(QUERY_PIN_ENGAGEMENT)).collect()["query"].to_list() == ["q"]
    assert pins(workspace)["a"]["clicks_365d"] == 0


def test_no_log_is_no_work(workspace: Workspace) -> None:
    assert run(workspace) == [JobReport("pin_engagement", 0, 0), JobReport("query_pin_engagement", 0, 0)]
