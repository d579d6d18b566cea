"""How long work shows itself: a bar on a terminal, a plain line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

_PLAIN_SECONDS = 10.0  # between two lines when standard error is not a terminal


@contextmanager
def progress(total: int | None, label: str, unit: str = "row") -> Iterator[tqdm[NoReturn]]:
    """A tqdm bar to `.update(n)`; off a terminal it prints at most a line every ten seconds."""
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
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
