"""Online against offline: equal after a load, different once a table has what the store has not."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich.agreement import agreements, may_be_applied
from enrich.snapshots import Change, Computed, SnapshotSettings, period, plan, run
from enrich.status import render, status
from enrich.tables import PIN_BOARDS, PIN_SERVING, PIN_TEXT
from enrich.workspace import Workspace
from relevance.feature_store import apply, materialize, open_store, quiet


def test_agreement_before_and_after_a_load_and_after_a_new_row(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, *({"pin_id": p, "payload": b"x", "event_timestamp": day(1)} for p in "abc"))
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "t", "event_timestamp": day(1)})
    assert status(workspace).online == ()
    apply(workspace)
    assert {view.loaded_until for view in agreements(workspace)} == {None}
    materialize(workspace)
    with quiet():
        open_store(workspace).materialize(day(0), day(9), feature_views=["pin_text"])
    found = {view.view: view for view in agreements(workspace)}
    assert (found["pin_serving"].sampled, found["pin_serving"].equal) == (3, 3)
    assert (found["pin_text"].sampled, found["pin_text"].equal, found["pin_text"].differing) == (1, 1, None)
    write_rows(workspace, PIN_SERVING, {"pin_id": "b", "payload": b"y", "event_timestamp": day(2)})
    newer = {view.view: view for view in agreements(workspace)}["pin_serving"]
    assert (newer.sampled, newer.equal, newer.differing) == (3, 2, "payload")
    shown = render(status(workspace))
    assert "payload differs" in shown and "never materialized" in shown


def test_what_a_rewritten_snapshot_takes_back_reaches_the_online_store(workspace: Workspace):
    def boards(titles: dict[int, list[str]], digest: int) -> None:
        settings = SnapshotSettings(cadence_days=1)
        log = [Change(number - 1, 1, digest) for number in titles]
        planned = plan(log, settings)
        values = {at: titles.get(period(at, settings), titles[max(titles)]) for at, _ in planned}
        rows = {at: pl.DataFrame({"pin_id": ["a"], "board_titles": [found]}) for at, found in values.items()}
        run(
            workspace,
            PIN_BOARDS,
            planned,
            lambda at, _: Computed(rows[at].with_columns(board_count=1), Counter()),
            "p",
            settings,
        )

    def load() -> None:
        with quiet():
            open_store(workspace).materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC), ["pin_boards"])

    apply(workspace)
    boards({20_000: ["kept"], 20_001: ["kept", "deleted"]}, digest=0)
    load()
    boards({20_000: ["kept"], 20_001: ["kept"]}, digest=1)
    load()
    found = {view.view: view for view in agreements(workspace)}["pin_boards"]
    assert (found.sampled, found.equal, found.differing) == (1, 1, None)


def test_a_registry_in_a_database_is_asked_too_and_its_fault_is_said(workspace: Workspace, tmp_path: Path):
    text = workspace.feature_store_yaml.read_text()
    where = f"registry:\n  registry_type: sql\n  path: sqlite:///{tmp_path}/registry.sql\n"
    workspace.feature_store_yaml.write_text(re.sub(r"registry:\n(?:  .*\n)+", where, text))
    apply(workspace)
    (workspace.root / "feature_store_state.json").unlink()
    assert "pin_text" in {view.view for view in agreements(workspace)}
    workspace.feature_store_yaml.write_text(
        re.sub(r"registry:\n(?:  .*\n)+", where.replace("sqlite:", "nothing:"), text)
    )
    assert [view.view for view in agreements(workspace) if view.fault] == ["registry"]


@pytest.mark.parametrize(
    ("registry", "may_be"),
    [
        ("registry:\n  path: {elsewhere}/there.db\n", True),
        ("registry: {elsewhere}/there.db\n", True),
        ("registry:\n  path: {elsewhere}/not-yet.db\n", False),
        ("registry:\n  path: s3://bucket/registry.db\n", True),
        ("registry:\n  path: ${{NOWHERE_SET}}/registry.db\n", True),
        ('registry:\n  registry_type: "sql"\n  path: postgresql://host/feast\n', True),
        ("registry:\n  registry_type: remote\n  path: host:6570\n", True),
        ("", True),
        ("registry: [\n", True),
    ],
)
def test_a_registry_that_cannot_be_looked_for_may_have_been_applied_to(
    workspace: Workspace, tmp_path: Path, registry: str, may_be: bool
):
    """By plain Feast alone: `relevance` was never run. Erasure asks an online store only where one may be."""
    (tmp_path / "there.db").touch()
    text = workspace.feature_store_yaml.read_text()
    assert not may_be_applied(workspace)
    workspace.feature_store_yaml.write_text(
        re.sub(r"registry:\n(?:  .*\n)+", lambda _: registry.format(elsewhere=tmp_path), text)
    )
    assert may_be_applied(workspace) == may_be
