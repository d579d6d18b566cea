"""Bodies of which only so many bytes are held at once, on a clock that jumps to whatever is waited for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from test_politeness import run

from enrich.web.body_room import BodyRoom


async def come_in(room: BodyRoom, *sizes: int) -> list[int]:
    """The second in which each of the bodies, wanted at once and ten seconds long, begins to come in."""
    loop, began = asyncio.get_running_loop(), dict[int, int]()

    async def one(number: int, size: int) -> None:
        async with room.larger(size):
            began[number] = round(loop.time())
            await asyncio.sleep(10)

    await asyncio.gather(*(one(number, size) for number, size in enumerate(sizes)))
    return [began[number] for number in range(len(sizes))]


def test_large_bodies_come_in_while_there_is_room_for_all_of_each() -> None:
    assert run(come_in(BodyRoom(100, small=4), 40, 40, 40)) == [0, 0, 10]
    assert run(come_in(BodyRoom(100, small=4), 10, 90, 30)) == [0, 0, 10]


def test_one_that_is_larger_than_all_room_comes_alone() -> None:
    assert run(come_in(BodyRoom(100, small=4), 10, 101, 10)) == [0, 10, 0]


def test_what_came_in_keeps_its_room_until_it_was_read() -> None:
    async def while_another_is_read() -> list[int]:
        room, read = BodyRoom(100, small=4), Future[None]()
        room.hold(90, until=read)
        asyncio.get_running_loop().call_later(5, read.set_result, None)
        return await come_in(room, 10, 40)

    assert run(while_another_is_read()) == [0, 5]
