"""The cluster of whatever runs with `--engine ray`: that of RAY_ADDRESS, else one of this machine.

Loads Ray, an extra, only when it is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from enrich.errors import BadInput


class Workers(NamedTuple):
    """What a run takes of the cluster."""

    number: int
    gpus: float  # of each


def connected() -> Any:  # of Ray's own code only half is typed
    """The module `ray`, with a cluster behind it. Raises BadInput where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise BadInput("expected Ray for --engine ray, found none; pip install 'corkboard[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    return ray


def cores() -> int:
    """Of the whole cluster, 1 at least."""
    return max(1, int(_resources().get("CPU", 1)))


def workers(number: int | None, gpus: float | None) -> Workers:
    """So many workers with so many GPUs each; by default one a GPU, or one a core where there is none.

    Raises BadInput without Ray, or where the cluster has not the GPUs that one worker is to have.
    """
    there = _resources().get("GPU", 0.0)
    share = min(1.0, there) if gpus is None else gpus
    if share > there:
        raise BadInput(f"expected {share:g} GPUs for a worker, found {there:g} in the cluster; name fewer with --gpus")
    return Workers(number or (max(1, int(there / share)) if share else cores()), share)


def _resources() -> dict[str, float]:
    found: dict[str, float] = connected().cluster_resources()
    return found
