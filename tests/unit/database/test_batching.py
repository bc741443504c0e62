"""Work that waits for threads: nobody waits for ever."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from app.database.batching import LATER, BatchingExecutor, ExecutorClosed


def doubled(together: Sequence[int]) -> list[int]:
    time.sleep(0.0005)
    return [2 * each for each in together]


async def test_what_comes_while_a_thread_is_at_work_is_done_by_the_same_one_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.database.batching._PATIENCE", 5.0)
    release = threading.Event()
    runs: list[tuple[str, list[int]]] = []

    def noted(together: Sequence[int]) -> list[int]:
        runs.append((threading.current_thread().name, list(together)))
        release.wait(60)
        return doubled(together)

    lane: BatchingExecutor[int] = BatchingExecutor(noted, threads=4, name="test")
    try:
        waiting = [asyncio.create_task(lane.do(number)) for number in range(31)]
        while not runs:
            await asyncio.sleep(0)
        release.set()
        assert await asyncio.gather(*waiting) == [2 * number for number in range(31)]
    finally:
        lane.close()
    assert len({name for name, _ in runs}) == 1
    assert len(runs) <= 2


async def test_what_comes_in_one_turn_of_the_loop_is_done_together_however_long_the_turn_takes() -> None:
    runs: list[list[int]] = []

    def noted(together: Sequence[int]) -> list[int]:
        runs.append(list(together))
        return doubled(together)

    async def asked(number: int) -> int:
        time.sleep(0.002)  # the interpreter is free meanwhile, for a thread that was woken too soon
        answer: int = await lane.do(number)
        return answer

    lane = BatchingExecutor(noted, threads=2, name="test")
    try:
        assert await asyncio.gather(*map(asked, range(5))) == [0, 2, 4, 6, 8]
    finally:
        lane.close()
    assert runs == [[0, 1, 2, 3, 4]]


async def test_what_has_waited_for_long_gets_a_thread_of_its_own() -> None:
    begun, release = threading.Event(), threading.Event()

    def held(together: Sequence[int]) -> list[int]:
        if 0 in together:
            begun.set()
            release.wait(60)
        return doubled(together)

    lane = BatchingExecutor(held, threads=2, name="test")
    try:
        slow = asyncio.create_task(lane.do(0))
        while not begun.is_set():
            await asyncio.sleep(0)
        assert await asyncio.wait_for(lane.do(1), 60) == 2
        assert await asyncio.wait_for(asyncio.gather(*map(lane.do, (2, 3))), 60) == [4, 6]
        assert not slow.done()
    finally:
        release.set()
        lane.close()
    assert await slow == 0


async def test_where_the_helper_gets_stuck_too_another_one_comes() -> None:
    stuck = [threading.Event(), threading.Event()]
    release = threading.Event()

    def held(together: Sequence[int]) -> list[int]:
        if min(together) < len(stuck):
            stuck[min(together)].set()
            release.wait(60)
        return doubled(together)

    lane = BatchingExecutor(held, threads=3, name="test")
    try:
        first = asyncio.create_task(lane.do(0))
        while not stuck[0].is_set():
            await asyncio.sleep(0)
        rest = [asyncio.create_task(lane.do(number)) for number in (1, 2, 3)]
        assert await asyncio.wait_for(rest[-1], 60) == 6
        assert stuck[1].is_set()
        assert not rest[0].done()
    finally:
        release.set()
        lane.close()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6]


async def test_what_takes_too_long_to_be_done_together_is_put_back_and_shared_by_all_threads() -> None:
    runs: list[tuple[str, list[int]]] = []
    meeting = threading.Barrier(3)

    def the_first(together: Sequence[int]) -> list[Any]:
        runs.append((threading.current_thread().name, list(together)))
        if len(runs) > 1:
            meeting.wait(10)  # which no thread passes alone
        return [together[0], *[LATER] * (len(together) - 1)]

    lane = BatchingExecutor(the_first, threads=3, name="test")
    try:
        assert await asyncio.gather(*map(lane.do, range(7))) == list(range(7))
    finally:
        lane.close()
    assert len({name for name, _ in runs}) == 3
    assert sorted(together[0] for _, together in runs) == list(range(7)), "each was done once"


async def test_what_waits_when_it_is_closed_is_done_and_what_comes_later_is_refused() -> None:
    lane = BatchingExecutor(doubled, threads=2, name="test")
    waiting = [asyncio.create_task(lane.do(number)) for number in range(200)]
    await asyncio.sleep(0)
    lane.close()
    assert await asyncio.gather(*waiting) == [2 * number for number in range(200)]
    with pytest.raises(ExecutorClosed):
        await asyncio.wait_for(lane.do(1), 60)


async def test_work_that_never_ends_holds_up_no_end() -> None:
    may_end = threading.Event()

    def stuck(works: Sequence[int]) -> Sequence[int]:
        may_end.wait(60)
        return works

    lane = BatchingExecutor(stuck, threads=2, name="test")
    asked = asyncio.create_task(lane.do(1))
    await asyncio.sleep(0)
    assert not lane.close(within_seconds=0.1)
    may_end.set()
    assert lane.close()
    assert await asked == 1


async def test_whoever_comes_while_it_closes_is_served_or_refused() -> None:
    for _ in range(20):
        lane = BatchingExecutor(doubled, threads=2, name="test")

        async def ask(lane: BatchingExecutor[int] = lane) -> int:
            asked = 0
            while True:
                try:
                    assert await lane.do(asked) == 2 * asked
                except ExecutorClosed:
                    return asked
                asked += 1

        asking = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.sleep(0.005)
        await asyncio.to_thread(lane.close)
        async with asyncio.timeout(60):
            await asyncio.gather(*asking)
