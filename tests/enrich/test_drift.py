"""Drift: figures of two periods that can be counted by hand, and silence where there is too little to say."""

from __future__ import annotations

import pytest
from table_rows import day, write_rows

from enrich import snapshot_manifest
from enrich.drift import FEWEST, alarming, drift, stability_index
from enrich.snapshot_manifest import SnapshotRecord
from enrich.tables import PIN_BOARDS, PIN_TEXT
from enrich.workspace import Workspace

QUARTER = FEWEST  # rows of the latest quarter; three times as many stand before them


def test_texts_that_change_are_seen_and_texts_that_do_not_are_not(workspace: Workspace):
    old = [{"pin_id": f"o{i}", "title": f"red shoe {i % 9}", "lang": "en"} for i in range(3 * QUARTER)]
    new = [{"pin_id": f"n{i}", "title": "blaue vase", "lang": "de"} for i in range(QUARTER)]
    write_rows(workspace, PIN_TEXT, *({**row, "event_timestamp": day(1)} for row in old))
    write_rows(workspace, PIN_TEXT, *({**row, "event_timestamp": day(2)} for row in new))
    texts, numbers = drift(workspace, PIN_TEXT)
    title = next(found for found in texts if found.field == "title")
    assert (title.before.rows, title.latest.rows, title.before.length, title.latest.length) == (
        3 * QUARTER,
        QUARTER,
        10,
        10,
    )
    assert (title.before.repeated, title.latest.repeated, title.new_words) == (1.0, 1.0, 1.0)
    assert title.languages and title.languages > 1 and title.alarming
    assert numbers == [] and "pin_text.title" in alarming(texts)
    assert "description" not in {found.field for found in texts}  # it was never there


def test_numbers_are_compared_over_the_earlier_deciles(workspace: Workspace):
    """Of a snapshot's table: all that is there now with all that was there before the last snapshot."""
    rows = [{"pin_id": f"p{i}", "board_count": i % 10, "board_titles": ["a b"]} for i in range(4 * QUARTER)]
    write_rows(workspace, PIN_BOARDS, *({**row, "event_timestamp": day(1)} for row in rows))
    assert drift(workspace, PIN_BOARDS) == ([], [])  # one snapshot: nothing to compare it with
    busiest = [{**row, "board_count": 9, "event_timestamp": day(3)} for row in rows[:30]]
    write_rows(workspace, PIN_BOARDS, *busiest)  # few change, and those are the busy ones: no drift of the table
    texts, (same,) = drift(workspace, PIN_BOARDS)
    assert (same.before_mean, same.latest_mean) == (4.5, pytest.approx(4.5 + 135 / (4 * QUARTER))) and not same.alarming
    assert texts[0].new_words == 0 and not texts[0].alarming
    write_rows(
        workspace,
        PIN_BOARDS,
        *({"pin_id": f"p{i}", "board_count": 99, "event_timestamp": day(5)} for i in range(2 * QUARTER)),
        *(
            {"pin_id": f"p{i}", "reason": "none-left", "event_timestamp": day(6)}
            for i in range(3 * QUARTER, 4 * QUARTER)
        ),
    )
    _, (moved,) = drift(workspace, PIN_BOARDS)
    assert moved.before_mean == pytest.approx(4.5 + 135 / (4 * QUARTER))  # as it stood at the snapshot before
    assert moved.latest_mean == pytest.approx((2 * 99 + 4.5) / 3) and moved.shift > 1 and moved.alarming
    write_rows(workspace, PIN_BOARDS, {"pin_id": "p0", "board_count": 99, "event_timestamp": day(7)})
    closing = {day(7): SnapshotRecord("test", "0", 1, closes=True)}  # it says again what stood, and hides no drift
    snapshot_manifest.write(workspace.folder(PIN_BOARDS), closing)
    assert drift(workspace, PIN_BOARDS)[1] == [moved]


def test_too_few_rows_say_nothing(workspace: Workspace):
    write_rows(workspace, PIN_TEXT, *({"pin_id": str(i), "title": "x", "event_timestamp": day(1)} for i in range(9)))
    assert drift(workspace, PIN_TEXT) == ([], [])


def test_the_index_is_zero_for_equal_shares_and_counts_both_ways():
    assert stability_index([1, 3], [10, 30]) == pytest.approx(0)
    there, back = stability_index([1, 3], [3, 1]), stability_index([3, 1], [1, 3])
    assert there == pytest.approx(back) and there > 0.25
