"""How a process that answers for a long time keeps its memory: ready, rather than given back and asked for again."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names of what is set (malloc.h)
_KEPT_BYTES = 64 << 20  # freed memory that a thread's arena keeps; a request for 1,000 pins frees 10 MB
_MAPPED_FROM_BYTES = 32 << 20  # an array as large gets pages of its own, and gives them back; glibc's upper limit


def steady_memory() -> None:
    """Call once all is loaded. What is loaded is never looked through again by the garbage collector (50 ms in some
    request); what a request frees stays for the next, which else waits for the system to clear 2,000 pages for it: a
    third of a lookup.

    Without glibc the second half is left to the C library that there is.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):  # no such library, or none with mallopt
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
