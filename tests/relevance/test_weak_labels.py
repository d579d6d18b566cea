"""Weak labels: what is clicked is better than what is passed over, and nothing of a held-out query is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from enrich import parts, tables
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.splits import LogScope
from relevance.teaching.weak_labels import LEAST_JUDGED, RANDOM_PIN, SCHEMA, WeakSettings, weak_pairs

START = datetime(2024, 1, 1, tzinfo=UTC)
QUERIES, PINS = [f"query {i}" for i in range(20)], [f"p{i:02}" for i in range(40)]
GOOD, BAD = "good", "bad"


def kind(query: int, pin: int) -> str:
    return GOOD if (query + pin) % 2 else BAD


def shown(query: int) -> list[int]:
    """Twenty of the forty pins."""
    return [(query * 7 + i) % len(PINS) for i in range(20)]


def write(workspace: Workspace, table: tables.Table, rows: list[dict[str, object]]) -> None:
    typed = pl.DataFrame(rows).with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us", "UTC")))
    parts.append(workspace.folder(table), table, typed.to_arrow())


def fill(workspace: Workspace) -> None:
    """Each query was shown twenty pins, four times each; good ones were clicked each time but one, bad ones never."""
    write(workspace, tables.PINS, [{"pin_id": pin, "title": pin, "created_at": START} for pin in PINS])
    events = [
        (q, p, event, again)
        for q in range(len(QUERIES))
        for p in shown(q)
        for again in range(4)
        for event in (("impression", "click") if kind(q, p) == GOOD and again else ("impression",))
    ]
    write(
        workspace,
        tables.ENGAGEMENTS,
        [
            {"query": QUERIES[q], "pin_id": PINS[p], "event": event, "position": 1, "user_hash": f"u{i % 9}"}
            | {"event_timestamp": START + timedelta(days=again, seconds=i)}
            for i, (q, p, event, again) in enumerate(events)
        ],
    )


def judged(queries: int) -> pl.DataFrame:
    """All pairs shown for the first `queries`: level 5 where good, 1 where bad."""
    rows = [(QUERIES[q], PINS[p], 5 if kind(q, p) == GOOD else 1) for q in range(queries) for p in shown(q)]
    return pl.DataFrame(rows, schema=["query", "pin_id", "level"], orient="row")


def weak(workspace: Workspace, known: pl.DataFrame, held_out: frozenset[str], **settings: float) -> pl.DataFrame:
    found = weak_pairs(workspace, known, known, held_out, WeakSettings(**settings))
    assert found.schema == SCHEMA
    return found


def test_clicked_pairs_are_graded_above_those_passed_over_and_random_ones_lowest(workspace: Workspace) -> None:
    fill(workspace)
    found = weak(workspace, judged(8), frozenset(), random=0.5)
    kinds: dict[str, list[np.ndarray]] = {GOOD: [], BAD: [], "random": []}
    for query, pin, _, probabilities in found.iter_rows():
        q, p = QUERIES.index(query), PINS.index(pin)
        kinds[kind(q, p) if p in shown(q) else "random"].append(np.array(probabilities))
    assert np.mean(kinds[GOOD], axis=0)[4] > 0.9 and np.mean(kinds[BAD], axis=0)[0] > 0.9
    np.testing.assert_allclose(np.unique(kinds["random"], axis=0), [RANDOM_PIN], atol=1e-6)
    assert len(kinds[GOOD]) + len(kinds[BAD]) == 12 * 20  # every pair of the log that nobody judged


def test_no_held_out_query_no_judged_pair_and_none_twice(workspace: Workspace) -> None:
    fill(workspace)
    known = judged(8)
    found = weak(workspace, known, frozenset(QUERIES[12:]), random=1.0)
    assert set(found["query"]) <= set(QUERIES[:12])
    assert found.join(known, on=["query", "pin_id"]).is_empty()
    assert not found.select("query", "pin_id").is_duplicated().any()


def test_a_pairs_time_is_when_it_was_first_shown(workspace: Workspace) -> None:
    fill(workspace)
    assert (weak(workspace, judged(8), frozenset())["event_timestamp"] < START + timedelta(days=1)).all()


def test_what_the_log_said_later_or_in_another_language_is_not_read(workspace: Workspace) -> None:
    """Each pair's first look, a day before the others, ends in no click: then, clicks tell nothing yet."""
    fill(workspace)
    known, first_day = judged(8), LogScope(before=START + timedelta(days=1))
    found = weak_pairs(workspace, known, known, frozenset(), WeakSettings(random=0.0), first_day)
    asked = found.select("query", "pin_id").iter_rows()
    good = np.array([kind(QUERIES.index(query), PINS.index(pin)) == GOOD for query, pin in asked])
    likely = np.array(found["probabilities"].to_list())[:, 4]
    assert found.height == 12 * 20 and abs(likely[good].mean() - likely[~good].mean()) < 0.01
    log = parts.scan(workspace.folder(tables.ENGAGEMENTS)).with_columns(lang=pl.lit("pt_BR")).collect()
    parts.replace(workspace.folder(tables.ENGAGEMENTS), tables.ENGAGEMENTS, log.to_arrow())
    for lang, pairs in (("en", 0), ("pt", 12 * 20)):
        found = weak_pairs(workspace, known, known, frozenset(), WeakSettings(random=0.0), LogScope(lang=lang))
        assert found.height == pairs


def test_caps_hold_and_the_seed_names_the_sample(workspace: Workspace) -> None:
    fill(workspace)
    found = [weak(workspace, judged(8), frozenset(), pairs=30, per_query=4, random=0.0, seed=s) for s in (0, 0, 1)]
    assert found[0].equals(found[1]) and not found[0].equals(found[2])
    assert found[0].height == 30 and found[0].group_by("query").len()["len"].max() <= 4


def test_without_a_log_or_with_too_few_judged_pairs_in_it_there_are_none(workspace: Workspace) -> None:
    assert weak(workspace, judged(8), frozenset()).is_empty()
    fill(workspace)
    assert weak(workspace, judged(8)[: LEAST_JUDGED - 1], frozenset()).is_empty()
    assert weak(workspace, judged(8), frozenset(), pairs=0).is_empty()
    one_level = judged(8).filter(pl.col("level") == 5)
    assert weak(workspace, one_level, frozenset()).is_empty()


def test_settings_that_clash_are_refused() -> None:
    with pytest.raises(BadInput, match="weak pairs"):
        WeakSettings(per_query=0)
