"""Batches of a network's work side by side on a CPU, each on a core of its own.

Cores that share one small matrix wait for each other; with a batch each they hardly do (docs/decisions.md has figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from enrich.memory import keep_freed_memory
from enrich.side_by_side import side_by_side

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_every_core(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` of each item, in order, as many at once as torch has threads, each with one thread.

    The first exception that `work` raises is raised here, once the items under way have ended.
    """
    keep_freed_memory()
    cores = min(torch.get_num_threads(), len(items))
    if cores < 2:
        return [work(item) for item in items]
    before = torch.get_num_threads()
    try:
        return list(side_by_side(work, items, cores, partial(torch.set_num_threads, 1)))
    finally:
        torch.set_num_threads(before)  # a thread's own count is also what threads started later begin with
