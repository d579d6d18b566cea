"""How a process that answers for a long time keeps its memory: ready, and not looked through during a request."""

from __future__ import annotations

import gc

from enrich.memory import keep_freed_memory


def steady_memory() -> None:
    """Call once all is loaded: that is never looked through again by the garbage collector (50 ms in some request)."""
    gc.collect()
    gc.freeze()
    keep_freed_memory()
