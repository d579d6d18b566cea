"""The cluster of whatever runs with `--engine ray`: that of RAY_ADDRESS, else one of this machine.

Loads Ray, an extra, only when it is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from enrich.errors import BadInput, CorkboardError


class Workers(NamedTuple):
    """What a run takes of the cluster."""

    number: int
    gpus: float  # of each


def connected() -> Any:  # of Ray's own code only half is typed
    """The module `ray`, with a cluster behind it. Raises BadInput where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise BadInput("expected Ray for --engine ray, found none; pip install -e '.[ray]'") from error
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


def as_ours(error: BaseException) -> CorkboardError:
    """What a worker raised, as we would have raised it; else one line of why workers failed."""
    import ray

    raised: BaseException | None = error
    for _ in range(9):  # wrapped so often at most
        if raised is None:
            break
        if isinstance(raised, CorkboardError) and not isinstance(raised, ray.exceptions.RayError):
            ours = BadInput if isinstance(raised, BadInput) else CorkboardError
            return ours(str(raised).partition("\n")[0])  # Ray adds advice of its own below
        inner = getattr(raised, "cause", None)  # of Ray's own wrappers, which are also what they wrap
        raised = inner if isinstance(inner, BaseException) else raised.__cause__
    said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return CorkboardError(
        f"expected workers that live, found one that failed ({said}); look into Ray's logs, leave each worker more "
        "memory (fewer --workers), and run this again to go on where it was"
    )


def _resources() -> dict[str, float]:
    found: dict[str, float] = connected().cluster_resources()
    return found
