"""How long work shows itself: a bar on a terminal, a plain line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from tqdm import tqdm

_UP = "\x1b[A"  # how tqdm moves to the bar above
_PLAIN_SECONDS = 10.0  # between two lines when standard error is not a terminal


class _Lines:
    """A file that begins a new line where tqdm would go back to the start of its own, or up to another's."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        said = text.replace(_UP, "").strip()
        if said:
            self._file.write(f"{said}\n")

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def progress(total: int | None, label: str, unit: str = "row") -> Iterator[tqdm[NoReturn]]:
    """A tqdm bar to `.update(n)`; off a terminal it prints at most a line every ten seconds."""
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        file=sys.stderr if terminal else _Lines(sys.stderr),
        desc=label,
        unit=unit,
        disable=total == 0,
        mininterval=0.1 if terminal else _PLAIN_SECONDS,
        maxinterval=10.0 if terminal else 6 * _PLAIN_SECONDS,
        ascii=not terminal,
        dynamic_ncols=terminal,
        leave=True,
    ) as bar:
        yield bar
