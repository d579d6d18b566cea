"""The click-through report: by hand on one query, and on a log that was made with a known bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import console, parts
from enrich.cli import enrich
from enrich.position_report import position_report, render
from enrich.tables import ENGAGEMENTS
from enrich.workspace import Workspace


def shown(pin: str, position: int, impressions: int, clicks: int, on: int) -> list[dict[str, Any]]:
    events = ["impression"] * impressions + ["click"] * clicks
    row = {"query": "q", "pin_id": pin, "position": position, "event_timestamp": day(on, 1)}
    return [row | {"event": event} for event in events]


def test_rates_by_position_by_hand(workspace: Workspace) -> None:
    """No pair moved, so no bias can be seen: eta 0, and the better pin goes first at no gain (every place is alike)."""
    rows = [row for on in (1, 2) for row in shown("a", 1, 10, 5, on) + shown("b", 2, 10, 1, on)]
    write_rows(workspace, ENGAGEMENTS, *rows)
    found = position_report(workspace)
    assert found is not None and (found.eta, found.moved) == (0, 0)
    assert render(found).startswith(
        "no (query, pin) was clicked and shown at two positions or more: no bias can be told"
    )
    assert [(one.position, one.impressions, one.clicks, one.propensity) for one in found.positions] == [
        (1, 20, 10, 1.0), (2, 20, 2, 1.0),
    ]  # fmt: skip
    assert found.observed == pytest.approx(12 / 40)
    assert found.logged == pytest.approx(found.reordered) == pytest.approx(found.by_clicks)


def test_what_bias_is_told_from_is_said(workspace: Workspace) -> None:
    """Pair a moved and was clicked, alike at both; b moved unclicked, c was clicked at one place."""
    a, b = shown("a", 1, 10, 5, 1) + shown("a", 2, 10, 5, 1), shown("b", 1, 9, 0, 1) + shown("b", 3, 9, 0, 1)
    write_rows(workspace, ENGAGEMENTS, *a, *b, *shown("c", 2, 5, 1, 1))
    found = position_report(workspace)
    assert found is not None and (found.eta, found.moved) == (0, 1)
    assert render(found).startswith("propensity = position ** 0, from 1 (query, pin) clicked")


def biased_log(seed: int) -> pl.DataFrame:
    """Fifty queries of six pins in a fixed order, now and then shuffled; P(click) = appeal / position."""
    random = np.random.default_rng(seed)
    rows = []
    for query in range(50):
        appeal = random.uniform(0.05, 0.9, 6)
        for search in range(80):
            order = random.permutation(6) if search % 8 == 0 else np.arange(6)
            for place, pin in enumerate(order, 1):
                click = random.random() < appeal[pin] / place
                rows += [(f"q{query}", f"p{pin}", e, place, search % 2) for e in ("impression", "click")[: 1 + click]]
    names = ["query", "pin_id", "event", "position", "half"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_an_order_by_corrected_rates_is_clicked_more_than_the_logged_one(workspace: Workspace) -> None:
    log = biased_log(11).with_columns(event_timestamp=pl.lit(day(1)) + pl.duration(days=pl.col("half")))
    columns = {field.name: pl.lit(None, pl.String) for field in ENGAGEMENTS.schema if field.name not in log.columns}
    parts.append(workspace.folder(ENGAGEMENTS), ENGAGEMENTS, log.drop("half").with_columns(**columns).to_arrow())
    found = position_report(workspace)
    assert found is not None and found.eta == pytest.approx(1.0, abs=0.1)
    assert found.logged == pytest.approx(found.observed, rel=0.02)
    assert found.reordered > found.by_clicks > found.logged
    assert "order by corrected rate (+" in render(found)


def test_without_positions_the_command_says_so(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(enrich, ["status", "positions", "--workspace", str(workspace.root)]) == 0
    assert "nothing can be said of position bias" in capsys.readouterr().out
