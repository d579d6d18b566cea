"""Pieces of work on every core, by processes that end with the one they work for, however that ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib

_LOOKS_EVERY = 0.5  # seconds between a worker's looks at whether it is still wanted
_PIECES_A_PROCESS = 4  # fewer are done sooner than another process has started

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def each(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int | None = None) -> Iterator[Result]:
    """`work(piece)` of all pieces, as they get done: in this process where there are few, else one process a core.

    `work` and the pieces must be picklable; what `work` raises is raised here, and the other pieces are given up.
    """
    wanted = processes or min(joblib.cpu_count(), max(1, len(pieces) // _PIECES_A_PROCESS))
    if wanted == 1:
        return map(work, pieces)
    pool = joblib.Parallel(wanted, return_as="generator_unordered", initializer=_start, initargs=(os.getpid(),))
    done: Iterator[Result] = pool(joblib.delayed(work)(piece) for piece in pieces)
    return done


def _start(parent: int) -> None:
    """One thread a worker, for there is one a core. And a watch: a worker would outlive a parent that was killed, by
    minutes, and finish what the parent's next run does anew.
    """
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is first used, which is later

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
