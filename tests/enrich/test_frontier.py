"""The order of a crawl: hosts side by side, each host's work in turn, and a bounded number of both."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from enrich.web.frontier import Frontier


async def nothing(host: str) -> None:
    """Leave a host."""


def drained(items: list[str], hosts: int, each: int) -> tuple[list[str], int, int]:
    """What was worked in order (items are "host/n"); the most at once, over all hosts and of one."""
    done: list[str] = []
    running: Counter[str] = Counter()
    most = [0, 0]

    async def work(item: str) -> None:
        host = item.split("/")[0]
        running[host] += 1
        most[:] = max(most[0], running.total()), max(most[1], running[host])
        await asyncio.sleep(0)
        running[host] -= 1
        done.append(item)

    asyncio.run(Frontier(items, lambda item: item.split("/")[0]).drain(work, nothing, hosts, each))
    return done, most[0], most[1]


def test_every_item_is_worked_once_and_no_more_at_once_than_allowed() -> None:
    items = [f"host{n % 7}/{n}" for n in range(100)]
    done, at_once, of_one_host = drained(items, hosts=3, each=2)
    assert sorted(done) == sorted(items)
    assert (at_once, of_one_host) == (6, 2)


def test_the_longest_queue_begins_first_and_a_host_keeps_its_order() -> None:
    done, _, _ = drained(["a/1", "b/1", "b/2", "b/3", "c/1"], hosts=1, each=1)
    assert done == ["b/1", "b/2", "b/3", "a/1", "c/1"]
    assert drained([], hosts=4, each=2)[0] == []


def test_what_the_work_raises_stops_everything_and_is_raised_as_it_is() -> None:
    begun: list[str] = []

    async def work(item: str) -> None:
        begun.append(item)
        await asyncio.sleep(0)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        asyncio.run(Frontier([f"host{n}/1" for n in range(9)], lambda item: item).drain(work, nothing, 2, 1))
    assert len(begun) == 2
