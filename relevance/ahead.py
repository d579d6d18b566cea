"""What is wanted next, made by a thread while what is there is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterator[Item], most: int = 1) -> Iterator[Item]:
    """The items in their order, `most` of them made before they are asked for.

    What making one raises is raised where it would have come.
    """
    end = object()
    with ThreadPoolExecutor(1) as maker:
        coming = deque(maker.submit(next, items, end) for _ in range(most))
        while (item := coming.popleft().result()) is not end:
            coming.append(maker.submit(next, items, end))
            yield item  # type: ignore[misc]  # mypy does not narrow by identity with `end`
