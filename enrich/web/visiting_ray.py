"""Shares of pages visited by the workers of a Ray cluster: `enrich links --engine ray`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

from enrich import ray_cluster
from enrich.fetch import FetchSettings, Request
from enrich.web.visiting import Found, Share, Take, visit_share, visit_shares

_BATCH = 100  # most visits that a worker hands over at once


def visit_on_ray(requests: Sequence[Request], settings: FetchSettings, take: Take) -> None:
    """As `visiting_processes.visit_here`, on the cluster of RAY_ADDRESS, else on one of this machine.

    Raises BadInput without Ray.
    """
    visit_shares(requests, settings, ray_cluster.cores(), _run, take)


def _run(shares: Sequence[Share], settings: FetchSettings) -> Iterator[Found]:
    ray = ray_cluster.connected()
    worker = ray.remote(stream_share).options(num_returns="streaming", max_retries=0)
    running = [worker.remote(share, settings) for share in shares]
    while running:
        ready, _ = ray.wait(running, num_returns=1, fetch_local=False)
        try:
            yield ray.get(next(ready[0]))
        except StopIteration:
            running.remove(ready[0])
        except ray.exceptions.RayError as error:
            raise ray_cluster.as_ours(error) from None


def stream_share(share: Share, settings: FetchSettings) -> Iterator[Found]:
    """One worker's part, in batches as they come: visited in a thread, so that they can be handed over meanwhile."""
    queue: Queue[Found | None] = Queue()

    def visit() -> None:
        try:
            visit_share(share, settings, queue.put)
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1) as thread:
        visited = thread.submit(visit)
        yield from _batches(queue)
        visited.result()  # raises what stopped it


def _batches(queue: Queue[Found | None]) -> Iterator[Found]:
    """What the queue brings until its None: what is there already with the first that is waited for."""
    while (batch := queue.get()) is not None:
        while len(batch.visits) + len(batch.moved) < _BATCH and not queue.empty():
            following = queue.get()
            if following is None:
                queue.put(None)
                break
            batch = Found(batch.visits + following.visits, batch.moved + following.moved)
        yield batch
