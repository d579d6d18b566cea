"""What a kill leaves of a window's sums stops no later run and counts nothing twice, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from table_rows import day, write_rows

from enrich.history import History
from enrich.log_days import Kind
from enrich.tables import ENGAGEMENTS
from enrich.window_sums import Sum, WindowSums
from enrich.workspace import Workspace

CLICKS = Sum("clicks", Kind.PAIRS, lambda table: table.group_by("pin_id").agg(n=table.n.sum()))


class Killed(Exception):
    pass


def add_click(workspace: Workspace, on: int, pin: str) -> None:
    at = day(on)
    write_rows(workspace, ENGAGEMENTS, {"query": "vase", "pin_id": pin, "event": "click", "event_timestamp": at})


def run(workspace: Workspace) -> list[tuple[str, int]]:
    """The sums of the whole of January, kept."""
    sums = WindowSums(History(workspace).days())
    found = sums.of(CLICKS, day(1), day(32)).order_by("pin_id").to_polars().rows()
    sums.save()
    return found


def folders(workspace: Workspace) -> list[Path]:
    return list((workspace.root / "log_days" / "sums" / CLICKS.name).iterdir())


@pytest.mark.parametrize("lost", ["days.json", "rows.parquet"])
def test_a_kill_while_old_sums_are_removed_stops_no_later_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Of the old ones one file is gone and the other there, when the power goes."""
    add_click(workspace, 1, "a")
    assert run(workspace) == [("a", 1)]
    add_click(workspace, 2, "b")

    remove = shutil.rmtree

    def killed(folder: Path) -> None:
        if folder.parent.name != CLICKS.name:
            return remove(folder)
        (folder / lost).unlink()
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(shutil, "rmtree", killed)
        run(workspace)
    assert run(workspace) == [("a", 1), ("b", 1)]
    add_click(workspace, 3, "a")
    assert run(workspace) == [("a", 2), ("b", 1)]
    assert len(folders(workspace)) == 1, "what the kill left is gone"


@pytest.mark.parametrize("lost", ["days.json", "rows.parquet"])
def test_sums_of_which_a_file_is_gone_are_none(workspace: Workspace, lost: str) -> None:
    """As versions before left them, killed: wherever the folder stands among the others."""
    add_click(workspace, 1, "a")
    run(workspace)
    whole = folders(workspace)[0]
    for name in ("0", "zzz"):
        shutil.copytree(whole, whole.with_name(name))
        (whole.with_name(name) / lost).unlink()
    assert run(workspace) == [("a", 1)]
    shutil.rmtree(whole)
    assert run(workspace) == [("a", 1)], "summed anew"
    assert len(folders(workspace)) == 1
