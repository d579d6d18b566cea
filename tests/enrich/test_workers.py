"""Work on every core: all of it done, errors raised here, and no worker that outlives a parent that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from table_rows import day, write_rows

from enrich import parts
from enrich.errors import BadInput
from enrich.serving import ServingSettings, run_serving
from enrich.tables import PIN_SERVING, PIN_TEXT, PINS
from enrich.workers import each
from enrich.workspace import Workspace

PARENT = """
import os, sys, time
from enrich.workers import each
def report(piece):
    open(os.path.join(sys.argv[1], f"{piece}.pid"), "x").write(str(os.getpid()))
    time.sleep(60)
list(each(report, [1, 2], processes=2))
"""


def refuse_odd(number: int) -> int:
    if number % 2:
        raise BadInput(f"expected an even number, found {number}; double it")
    return os.getpid()


def test_pieces_are_done_elsewhere_only_where_there_are_many():
    assert list(each(refuse_odd, [2, 4])) == [os.getpid()] * 2
    assert os.getpid() not in list(each(refuse_odd, [2, 4], processes=2))


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_piece_raises_is_raised_here(processes: int):
    with pytest.raises(BadInput, match="expected an even number, found 3; double it"):
        list(each(refuse_odd, [2, 3, 4], processes))


def test_workers_end_with_a_killed_parent(tmp_path: Path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], start_new_session=True)
    try:
        workers = wait_for(lambda: [int(f.read_text() or 0) for f in tmp_path.glob("*.pid")], 2)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert wait_for(lambda: [pid for pid in workers if not alive(pid)], 2) == workers
    finally:
        parent.kill()
        parent.wait()


def test_two_processes_pack_what_one_packs(workspace: Workspace):
    pins = [f"p{i:02d}" for i in range(40)]
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in pins))
    rows = ({"pin_id": pin, "title": f"title {pin}", "event_timestamp": day(1)} for pin in pins)
    write_rows(workspace, PIN_TEXT, *rows)
    assert run_serving(workspace, ServingSettings(pins_at_once=7, processes=2))[0].made == 40
    report = run_serving(workspace, ServingSettings(processes=1))[0]
    assert (report.made, report.fresh, parts.count(workspace.folder(PIN_SERVING))) == (0, 40, 40)


def wait_for(what, count: int, rounds: int = 400):
    """What `what()` lists, once it lists `count`; at most forty seconds."""
    for _ in range(rounds):
        if len(found := what()) == count and all(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"expected {count}, found {found}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
