"""Work that waits for threads: nobody waits for ever."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from app.lane import Lane, LaneClosed


def doubled(together: Sequence[int]) -> list[int]:
    time.sleep(0.0005)
    return [2 * each for each in together]


async def test_what_waits_when_it_is_closed_is_done_and_what_comes_later_is_refused() -> None:
    lane = Lane(doubled, threads=2, name="test")
    waiting = [asyncio.create_task(lane.do(number)) for number in range(200)]
    await asyncio.sleep(0)
    lane.close()
    assert await asyncio.gather(*waiting) == [2 * number for number in range(200)]
    with pytest.raises(LaneClosed):
        await asyncio.wait_for(lane.do(1), 5)


async def test_whoever_comes_while_it_closes_is_served_or_refused() -> None:
    for _ in range(20):
        lane = Lane(doubled, threads=2, name="test")

        async def ask(lane: Lane[int] = lane) -> int:
            asked = 0
            while True:
                try:
                    assert await lane.do(asked) == 2 * asked
                except LaneClosed:
                    return asked
                asked += 1

        asking = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.sleep(0.005)
        await asyncio.to_thread(lane.close)
        async with asyncio.timeout(5):
            await asyncio.gather(*asking)
