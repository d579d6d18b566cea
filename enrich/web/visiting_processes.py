"""Pages visited on this machine: of few by this process, of many by one a core, each with a share of the hosts.

    python -m enrich.web.visiting_processes       a worker: reads its share from standard input, writes what it finds

What it reads and writes are pickles, between processes of ours alone. A worker is a fresh interpreter, so a caller's
script needs no guard around its main part, and nothing of its threads and locks is copied. It ends with the process
that it works for, however that ends: its standard input then does.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from queue import Queue
from typing import BinaryIO

from enrich.errors import CorkboardError
from enrich.fetch import FetchSettings, Request
from enrich.web.visiting import Found, Share, Take, visit_all, visit_share, visit_shares

_MAX_PROCESSES = 4  # one fetches and reads some 250 pages a second, and holds 150 MB
_WORTH_PROCESSES = 200  # requests; fewer are done before another process has started


class WorkerLost(CorkboardError):
    """A worker ended before its work."""


def visit_here(requests: Sequence[Request], settings: FetchSettings, take: Take) -> None:
    """Hand the visit of each request to `take` as it comes; of many, by as many processes as there are cores."""
    import joblib  # here: a process that visits a share can do without

    processes = min(joblib.cpu_count(), _MAX_PROCESSES) if len(requests) >= _WORTH_PROCESSES else 1
    if processes > 1:
        visit_shares(requests, settings, processes, run_processes, take)
    else:
        visit_all(requests, settings, take)


def run_processes(shares: Sequence[Share], settings: FetchSettings) -> Iterator[Found]:
    """What the workers find, as they find it. Raises WorkerLost."""
    found: Queue[Found | None] = Queue()
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker()) for _ in shares]
        stack.callback(_end, workers)
        for worker, share in zip(workers, shares, strict=True):
            threading.Thread(target=_talk, args=(worker, (share, settings), found), daemon=True).start()
        for _ in workers:
            while (one := found.get()) is not None:
                yield one
        for worker in workers:
            if status := worker.wait():
                raise WorkerLost(
                    f"expected every process that visits pages to finish, found one that ended with status {status} "
                    "(a negative one is a signal; -9: memory ran out, or somebody killed it); run again: what was "
                    "visited is kept"
                )


def _worker() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "enrich.web.visiting_processes"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    )


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.kill()


def _talk(worker: subprocess.Popen[bytes], work: tuple[Share, FetchSettings], found: Queue[Found | None]) -> None:
    """Give a worker its work, and pass on what it finds until it ends; then None."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        pickle.dump(work, worker.stdin)
        worker.stdin.flush()
        while True:
            found.put(pickle.load(worker.stdout))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        pass  # it has ended, by itself or killed by us; its status tells
    finally:
        found.put(None)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted parent ends us, without our traceback
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints is no part of the answer
    share, settings = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    visit_share(share, settings, lambda found: _say(found, out))


def _say(found: Found, out: BinaryIO) -> None:
    pickle.dump(found, out)
    out.flush()


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
