"""How hard a host is asked, on a clock that jumps to whatever is waited for: exact whatever the machine does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from enrich.web.politeness import MAX_PAUSE, HostBusy, HostSilent, Politeness


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while something runs, and jumps to the next timer when nothing does."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


async def starts(
    politeness: Politeness, host: str, count: int, takes: float = 0.0, crawl_delay: float | None = None
) -> list[float]:
    """When each of `count` requests to a host starts, all wanted at once; each takes so long."""
    started = []

    async def one() -> None:
        async with politeness.turn(host, crawl_delay):
            started.append(round(asyncio.get_running_loop().time(), 6))
            await asyncio.sleep(takes)

    await asyncio.gather(*(one() for _ in range(count)))
    return started


def test_requests_to_one_host_keep_their_distance_and_other_hosts_do_not_wait() -> None:
    async def both() -> list[list[float]]:
        politeness = Politeness(connections=2, delay=0.1, max_silences=5)
        return await asyncio.gather(starts(politeness, "slow", 4), starts(politeness, "other", 2))

    assert run(both()) == [[0.0, 0.1, 0.2, 0.3], [0.0, 0.1]]


def test_a_host_has_so_many_connections_however_long_they_take() -> None:
    assert run(starts(Politeness(2, 0.1, 5), "slow", 5, takes=1.0)) == [0.0, 0.1, 1.0, 1.1, 2.0]


def test_a_sites_own_delay_counts_where_it_is_longer() -> None:
    assert run(starts(Politeness(2, 0.1, 5), "site", 3, crawl_delay=2.0)) == [0.0, 2.0, 4.0]
    assert run(starts(Politeness(2, 0.1, 5), "site", 3, crawl_delay=0.01)) == [0.0, 0.1, 0.2]


def test_of_three_that_share_a_host_each_asks_a_third_as_often() -> None:
    assert run(starts(Politeness(2, 0.1, 5, sharers=3), "site", 3)) == [0.0, 0.3, 0.6]
    assert run(starts(Politeness(2, 0.1, 5, sharers=3), "site", 3, crawl_delay=20.0)) == [0.0, 60.0, 120.0]
    assert run(starts(Politeness(6, 0.0, 5, sharers=3), "site", 3, takes=1.0)) == [0.0, 0.0, 1.0]


def test_a_late_start_does_not_draw_the_next_one_nearer() -> None:
    async def stalled() -> list[float]:
        politeness, loop = Politeness(2, 0.1, 5), asyncio.get_running_loop()
        loop.call_later(0.05, lambda: setattr(loop, "_now", 0.95))  # the machine is busy elsewhere
        return await starts(politeness, "site", 4)

    assert run(stalled()) == [0.0, 0.95, 1.05, 1.15]


def test_a_host_that_asks_for_a_pause_gets_it_up_to_a_limit() -> None:
    async def paused(seconds: float) -> list[float]:
        politeness = Politeness(1, 0.1, 5)
        politeness.pause("busy", seconds)
        return await starts(politeness, "busy", 2)

    assert run(paused(MAX_PAUSE)) == [MAX_PAUSE, MAX_PAUSE + 0.1]
    with pytest.raises(HostBusy, match="a pause of 3600 s more"):
        run(paused(3600.0))


def test_a_host_is_left_after_so_many_silences_in_a_row() -> None:
    async def silences(answers: str) -> list[float]:
        politeness = Politeness(1, 0.1, 3)
        for answer in answers:
            (politeness.silent if answer == "-" else politeness.answered)("host")
        return await starts(politeness, "host", 1)

    assert run(silences("--+--")) == [0.0]
    with pytest.raises(HostSilent, match="3 requests in a row"):
        run(silences("+---"))
