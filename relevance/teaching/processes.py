"""Several processes that teach one teacher: the first leads, the others follow.

    torchrun --nproc_per_node 2 -m relevance train-teacher

The leader (rank 0) does the whole command: it alone opens the workspace, joins the texts and writes. Whenever there is
something to train it tells the others, who wait for nothing else; so no stage is made twice and no lock is waited for.
gloo carries it between CPUs, NCCL between GPUs. Reads what torchrun sets: LOCAL_RANK, RANK, WORLD_SIZE, MASTER_….
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from enrich.errors import BadInput

_LONGEST_WAIT = timedelta(days=7)  # of a follower, while the leader joins texts or labels


def count() -> int:
    """How many processes share the work; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ else 1


def follows() -> bool:
    """Whether this process waits for what the leader tells it."""
    return count() > 1 and int(os.environ["RANK"]) > 0


def tell(told: object) -> None:
    """Of the leader: hand `told` to every follower. None ends their work."""
    if count() == 1:
        return
    _group().broadcast_object_list([told], src=0)
    if told is None:
        close()


def hear() -> Any:
    """Of a follower: what the leader tells next, None when there is nothing more to do."""
    heard: list[Any] = [None]
    _group().broadcast_object_list(heard, src=0)
    return heard[0]


def agreed(value: str | None) -> str | None:
    """The leader's `value`, for all; also waits until all are here."""
    if count() == 1:
        return value
    shared = [value]
    _group().broadcast_object_list(shared, src=0)
    return shared[0]


def close() -> None:
    """Leave the others."""
    _group().destroy_process_group()


def _group() -> Any:
    """torch.distributed, its group joined; not imported before, or every command would wait for torch.

    Raises BadInput where there are fewer GPUs than processes.
    """
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return distributed
    backend = "gloo"
    if torch.cuda.is_available():
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise BadInput(
                f"expected a GPU for each process, found {gpus} and a process {place + 1}; start {gpus} with "
                "--nproc_per_node, or set CUDA_VISIBLE_DEVICES= to use the CPU"
            )
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    return distributed
