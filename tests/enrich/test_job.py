"""The resume loop: stale rows only, reasons stored, a kill in the middle loses and doubles nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enrich import job, parts
from enrich.job import JobSettings
from enrich.tables import PIN_CAPTION
from enrich.workspace import Workspace

EVENT = datetime(2025, 1, 1, tzinfo=UTC)


def inputs(*pairs: tuple[str, str]) -> pl.DataFrame:
    """Pins with the text that stands for their image."""
    return pl.DataFrame(
        {
            "pin_id": [pin for pin, _ in pairs],
            "event_timestamp": [EVENT] * len(pairs),
            "input_hash": [job.input_hash(text) for _, text in pairs],
            "text": [text for _, text in pairs],
        }
    ).with_columns(pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")))


def upper(batch: pl.DataFrame) -> pl.DataFrame:
    """Caption = the text in capitals; a text "bad" fails."""
    bad = pl.col("text") == "bad"
    return batch.select(
        "pin_id",
        caption=pl.when(~bad).then(pl.col("text").str.to_uppercase()),
        caption_rule=pl.lit(None, pl.String),
        reason=pl.when(bad).then(pl.lit("corrupt")),
    )


def run(workspace: Workspace, frame: pl.DataFrame, process=upper, producer="p1", **chosen) -> job.JobReport:
    return job.run(workspace, [PIN_CAPTION], frame, process, producer, JobSettings(**chosen))


def captions(workspace: Workspace) -> list[tuple[str, str | None, str | None]]:
    rows = parts.scan(workspace.folder(PIN_CAPTION)).collect().sort("pin_id", "created_timestamp")
    return rows.select("pin_id", "caption", "reason").rows()


def test_a_second_run_finds_nothing_stale(workspace: Workspace) -> None:
    frame = inputs(("a", "cat"), ("b", "bad"))
    first, second = run(workspace, frame), run(workspace, frame)
    assert (first.made, dict(first.failed), second.made, second.fresh) == (1, {"corrupt": 1}, 0, 2)
    assert captions(workspace) == [("a", "CAT", None), ("b", None, "corrupt")]


def test_another_input_or_producer_makes_a_second_version(workspace: Workspace) -> None:
    run(workspace, inputs(("a", "cat")))
    run(workspace, inputs(("a", "dog")))
    run(workspace, inputs(("a", "dog")), producer="p2")
    rows = parts.scan(workspace.folder(PIN_CAPTION)).collect().sort("created_timestamp")
    assert rows["caption"].to_list() == ["CAT", "DOG", "DOG"]
    assert (rows["created_timestamp"] - rows["event_timestamp"]).dt.total_microseconds().to_list() == [0, 1, 2]


def newest(workspace: Workspace) -> list[tuple[str, str | None]]:
    return parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION).select("pin_id", "caption").rows()


def test_an_input_that_returns_gets_a_new_row(workspace: Workspace) -> None:
    for text in ("cat", "dog", "cat"):
        assert run(workspace, inputs(("a", text))).made == 1
    assert captions(workspace) == [("a", "CAT", None), ("a", "DOG", None), ("a", "CAT", None)]
    assert newest(workspace) == [("a", "CAT")]


def test_a_producer_that_returns_counts_again(workspace: Workspace) -> None:
    for producer in ("p1", "p2", "p1"):
        assert run(workspace, inputs(("a", "cat")), producer=producer).made == 1
    assert parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION)["producer"].to_list() == ["p1"]


def test_a_picture_that_came_back_replaces_its_failure(workspace: Workspace) -> None:
    for text in ("cat", "bad", "cat"):
        run(workspace, inputs(("a", text)))
    assert newest(workspace) == [("a", "CAT")]


def test_a_catalogue_put_back_to_an_older_time_is_asked_once(workspace: Workspace) -> None:
    later = inputs(("a", "dog")).with_columns(pl.col("event_timestamp") + pl.duration(days=1))
    run(workspace, inputs(("a", "cat")))
    run(workspace, later)
    assert run(workspace, inputs(("a", "cat"))).made == 0
    assert run(workspace, inputs(("a", "fox"))).made == 1
    assert run(workspace, inputs(("a", "fox"))).made == 0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["cat", "dog", "bad"]), st.sampled_from(["p1", "p2"])), min_size=1))
def test_the_newest_row_is_of_the_last_input_and_clocks_never_tie(
    workspace: Workspace, history: list[tuple[str, str]]
) -> None:
    parts.replace(workspace.folder(PIN_CAPTION), PIN_CAPTION, PIN_CAPTION.schema.empty_table())
    for text, producer in history:
        run(workspace, inputs(("a", text)), producer=producer)
        assert run(workspace, inputs(("a", text)), producer=producer).made == 0
    rows = parts.scan(workspace.folder(PIN_CAPTION)).collect()
    changes = [said for said, before in zip(history, [None, *history], strict=False) if said != before]
    assert rows.height == len(changes) == rows.select("event_timestamp", "created_timestamp").n_unique()
    assert newest(workspace) == [("a", None if history[-1][0] == "bad" else history[-1][0].upper())]


def test_a_limit_gets_on_past_what_fails_for_a_passing_reason(workspace: Workspace) -> None:
    """Two hosts are down, and stand first: a run of two rows asks them once, then takes the others."""

    def fetched(batch: pl.DataFrame) -> pl.DataFrame:
        down = pl.col("text") == "bad"
        return upper(batch).drop("reason").with_columns(batch.select(reason=pl.when(down).then(pl.lit("timeout"))))

    frame = inputs(("a", "bad"), ("b", "bad"), ("c", "cat"), ("d", "dog"), ("e", "emu"))
    found = [
        job.run(workspace, [PIN_CAPTION], frame, fetched, "p1", JobSettings(limit=2), frozenset({"timeout"}))
        for _ in range(4)
    ]
    assert [(one.made, one.failed.total(), one.left) for one in found] == [(0, 2, 3), (2, 0, 3), (1, 1, 1), (0, 2, 0)]


def test_under_a_limit_what_is_to_be_retried_comes_first(workspace: Workspace) -> None:
    run(workspace, inputs(("y", "bad"), ("z", "bad")))
    frame = inputs(("a", "cat"), ("y", "bad"), ("z", "bad"))
    for retry in ("corrupt", "failed"):
        again = run(workspace, frame, limit=2, retry=frozenset({retry}))
        assert (again.made, dict(again.failed), again.left, again.settled) == (0, {"corrupt": 2}, 1, 0)
    assert run(workspace, frame, limit=2).made == 1


def test_a_report_tells_what_failed_before_from_what_was_made(workspace: Workspace) -> None:
    frame = inputs(("a", "cat"), ("b", "bad"), ("c", "dog"))
    first, second = run(workspace, frame), run(workspace, frame)
    assert (first.settled, second.fresh, second.settled) == (0, 3, 1)
    changed = run(workspace, inputs(("a", "cat"), ("b", "bear"), ("c", "bad")))
    assert (changed.made, changed.fresh, changed.settled) == (1, 1, 0)


def test_failed_rows_are_tried_again_only_when_asked(workspace: Workspace) -> None:
    run(workspace, inputs(("b", "bad")))
    none = pl.lit(None, pl.String)
    healed = lambda batch: batch.select("pin_id", caption=pl.lit("ok"), caption_rule=none, reason=none)  # noqa: E731
    assert run(workspace, inputs(("b", "bad")), healed).made == 0
    assert run(workspace, inputs(("b", "bad")), healed, retry=frozenset({"other"})).made == 0
    assert run(workspace, inputs(("b", "bad")), healed, retry=frozenset({"corrupt"})).made == 1
    assert captions(workspace) == [("b", None, "corrupt"), ("b", "ok", None)]


def test_reasons_may_be_named_by_an_enum(workspace: Workspace) -> None:
    class Reason(StrEnum):
        BUSY = "busy"

    for transient in (frozenset({Reason.BUSY}), frozenset({Reason.BUSY, "corrupt"})):  # whichever comes first
        job.run(workspace, [PIN_CAPTION], inputs(("b", "bad")), upper, "p1", JobSettings(), transient)
    assert captions(workspace) == [("b", None, "corrupt")]


def test_a_retry_that_fails_the_same_way_adds_no_row(workspace: Workspace) -> None:
    run(workspace, inputs(("b", "bad")))
    run(workspace, inputs(("b", "bad")), retry=frozenset({job.RETRY_ALL}))
    assert captions(workspace) == [("b", None, "corrupt")]


def test_killed_between_batches_ends_in_the_same_rows(workspace: Workspace) -> None:
    frame = inputs(*((f"p{i}", f"text {i}") for i in range(7)))
    calls = 0

    def killed(batch: pl.DataFrame) -> pl.DataFrame:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return upper(batch)

    with pytest.raises(KeyboardInterrupt):
        run(workspace, frame, killed, batch_size=2)
    assert run(workspace, frame, batch_size=2).made == 3
    assert captions(workspace) == [(f"p{i}", f"TEXT {i}", None) for i in range(7)]


def test_limit_stops_early_and_the_rest_follows(workspace: Workspace) -> None:
    frame = inputs(("a", "x"), ("b", "y"), ("c", "z"))
    assert run(workspace, frame, limit=2).made == 2
    assert run(workspace, frame).made == 1


def test_input_hash_tells_none_from_empty_and_boundaries_apart() -> None:
    hashes = {job.input_hash(None), job.input_hash(""), job.input_hash("ab", "c"), job.input_hash("a", "bc")}
    assert len(hashes) == 4
