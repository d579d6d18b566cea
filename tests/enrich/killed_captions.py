"""Runs of `enrich captions` that are killed at random moments, while something is left to do.

    python tests/enrich/killed_captions.py UNDISTURBED KILLED CHECKPOINT KILLS seconds|events SEED

A process that has imported all that is needed forks them: one of the first workspace, which tells how long a run is;
then as many of the second that are killed, one that is killed between the last parts of its two tables, and one that is
not. It prints a line a run: when it was killed, its exit status, and how many rows pin_caption has then.

A moment is one of a run's own time, from its start: of seconds, killed from outside, or of events, by which it kills
itself: what it does to files of its workspace, as Python tells an audit hook (opened, listed, renamed, removed).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from transformers import AutoConfig, BlipForConditionalGeneration, BlipProcessor  # noqa: F401  so that no run has to

from enrich import cli, console, job, parts
from enrich.captioning import blip  # noqa: F401
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import Workspace

job.PART_SECONDS = 0.0  # a part a batch, so that a kill finds work that is done and work that is not
NEVER = sys.maxsize


class Length(NamedTuple):
    """A run's, in seconds or events: until its first rows are written, and of all."""

    first: float
    whole: float


class Events:
    """Counts what this process does to the files of a workspace, and kills it when told to."""

    def __init__(self, workspace: Workspace, at: float, before_last_vectors_of: int = NEVER) -> None:
        self._workspace, self._at, self._rows = workspace, at, before_last_vectors_of
        self.seen, self.first = 0, 0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        named = [str(one) for one in arguments if isinstance(one, (str, Path))]
        if not any(str(self._workspace.root) in one for one in named):
            return
        self.seen += 1
        renamed = named[-1] if event == "os.rename" else ""
        if not self.first and f"/{PIN_CAPTION.name}/" in renamed:
            self.first = self.seen
        if self._at <= self.seen or (f"/{PIN_VISUAL_EMBEDDING.name}/" in renamed and self._all_captions()):
            os.kill(os.getpid(), signal.SIGKILL)

    def _all_captions(self) -> bool:
        return self._rows < NEVER and _captions(self._workspace) == self._rows


def _captions(workspace: Workspace) -> int:
    return parts.count(workspace.folder(PIN_CAPTION))


def _run(workspace: Workspace, checkpoint: Path, events: Events) -> int:
    """The command as it is typed."""
    options = ["--dtype", "float32", "--keep-loops", "--twins", "--batch-size", "2", "--model", str(checkpoint)]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    return console.run(cli.enrich, ["captions", "--workspace", str(workspace.root), *options])


def _forked(
    workspace: Workspace, checkpoint: Path, wait: Callable[[int], None], at: float = NEVER, captions: int = NEVER
) -> tuple[int, list[int]]:
    """The exit status of a run, and the events until its first rows and in all, where it came to its end."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        events = Events(workspace, at, captions)
        status = _run(workspace, checkpoint, events)
        os.write(writes, f"{events.first} {events.seen}".encode())
        os._exit(status)
    os.close(writes)
    wait(child)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told = [int(number) for number in os.read(reads, 100).split()]
    os.close(reads)
    return status, told


def _measured(workspace: Workspace, checkpoint: Path, unit: str) -> tuple[int, Length]:
    """An undisturbed run: its exit status and length."""
    started, first = time.perf_counter(), list[float]()

    def watch(child: int) -> None:
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if not first and len(list(workspace.folder(PIN_CAPTION).glob("part-*"))) > 1:
                first.append(time.perf_counter() - started)
            time.sleep(0.002)

    status, told = _forked(workspace, checkpoint, watch)
    seconds = time.perf_counter() - started
    return status, Length(first[0], seconds) if unit == "seconds" else Length(*told)


def _moment(moments: random.Random, length: Length, left: int, undone: float) -> float:
    """Every other run is killed before its first rows; the others after, so soon that the runs to come have theirs."""
    if left % 2:
        return moments.uniform(0, length.first)
    return length.first + moments.uniform(0, 2) * undone / (left // 2 + 2) * (length.whole - length.first)


def _say(moment: str, status: int, rows: int) -> None:
    sys.stdout.write(f"{moment} {status} {rows}\n")
    sys.stdout.flush()


def main(undisturbed: str, killed: str, checkpoint: str, kills: str, unit: str, seed: str) -> None:
    one, other, model = Workspace.at(undisturbed), Workspace.at(killed), Path(checkpoint)
    status, length = _measured(one, model, unit)
    rows, moments = _captions(one), random.Random(int(seed))
    _say("whole", status, rows)
    for left in range(int(kills), 0, -1):
        moment = _moment(moments, length, left, (rows - _captions(other)) / rows)
        if unit == "seconds":

            def wait(child: int, moment: float = moment) -> None:
                time.sleep(moment)
                os.kill(child, signal.SIGKILL)

            status, _ = _forked(other, model, wait)
        else:
            status, _ = _forked(other, model, lambda child: None, at=max(1.0, moment))
        _say(f"{moment:.3f}", status, _captions(other))
    status, _ = _forked(other, model, lambda child: None, captions=rows)
    _say("closing", status, _captions(other))
    status, _ = _forked(other, model, lambda child: None)
    _say("last", status, _captions(other))


if __name__ == "__main__":
    main(*sys.argv[1:])
