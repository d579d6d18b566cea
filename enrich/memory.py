"""Freed memory kept for what comes next, rather than given back to the system and asked for again, page by page."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names of what is set (malloc.h)
_KEPT_BYTES = 256 << 20  # freed memory that is kept at most at the end of the heap
_MAPPED_FROM_BYTES = 32 << 20  # an array as large gets pages of its own, and gives them back; glibc's upper limit


def keep_freed_memory() -> None:
    """For this process, from now on; costs it up to 256 MB that it does not use at the moment.

    A network's batch frees and asks for some 20 MB a layer, 5,000 pages that the system clears each time: a quarter of
    the time in which MiniLM labels pairs, and a third of an online lookup. Without glibc it does nothing.
    """
    with suppress(OSError, AttributeError):  # no such library, or none with mallopt
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


def give_back_freed_memory() -> None:
    """Once, whatever is free now: where a model's weights were laid out anew, a gigabyte that nothing would fill."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
