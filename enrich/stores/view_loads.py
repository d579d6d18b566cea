"""Loads of a table into an online store, kept apart from its erasure: a load has chosen rows that it writes later.

The table's folder is locked: by loads together (`streaming_engine.py`, whoever runs it), by an erasure alone. A lock
ends with its process, whatever ends that.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enrich import parts

_LOOK_SECONDS = 0.1  # between two tries


@contextmanager
def loading(path: str) -> Iterator[None]:
    """While a view over files is loaded; waits for an erasure to end. Of what is no table of ours nothing is held."""
    folder = Path(path).parent
    if not parts.schema_part(folder).is_file():
        yield
        return
    with _opened(folder) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def erasing(folder: Path, wait: float) -> Iterator[bool]:
    """While rows of a table are erased; whether no load is under way, for which it waits so many seconds."""
    with _opened(folder) as file:
        until = time.monotonic() + wait
        while not (alone := _is_had(file)) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        yield alone


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    file = os.open(folder, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)  # which lets go of the lock


def _is_had(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
