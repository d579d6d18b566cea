"""Work on a stream of items by threads, in order, a few items ahead of who takes the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    start: Callable[[], object] | None = None,
) -> Generator[Result]:
    """`work` of each item, in order, by so many threads; as many items again wait for one, so that none idles.

    Items are taken from where the results are asked for, and no more of them than that. What `work` raises is raised
    where its result would have come; items that were not begun are then given up. `start` is called in each thread.
    """
    coming: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "beside", initializer=start) as pool:
        try:
            for item in items:
                coming.append(pool.submit(work, item))
                if len(coming) == 2 * threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in their order, so many at a time."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
