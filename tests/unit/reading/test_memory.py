"""The memory of answers: bounded, shared, and given back in every ending."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from app.reading.errors import Busy
from app.reading.memory import SMALL_OCTETS, AnswerMemory

MB = 1024 * 1024


def memory(most: int = 100 * MB, *, most_waiting: int = 64, patience_seconds: float = 60.0) -> AnswerMemory:
    return AnswerMemory(most, most_waiting=most_waiting, patience_seconds=patience_seconds)


async def a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Answer:
    """An answer under way that holds octets until it is ended."""

    def __init__(self, memory: AnswerMemory, reader: str, octets: int) -> None:
        self._end, self.has_begun = asyncio.Event(), False
        self.task = asyncio.create_task(self._run(memory, reader, octets))

    async def _run(self, memory: AnswerMemory, reader: str, octets: int) -> None:
        async with memory.share(reader) as share:
            await share.take(octets)
            self.has_begun = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self.task
        await a_while()


async def test_what_does_not_fit_waits_until_others_have_ended() -> None:
    one = memory()
    first, second = Answer(one, "a", 50 * MB), Answer(one, "b", 40 * MB)
    third = Answer(one, "c", 30 * MB)
    await a_while()
    assert (first.has_begun, second.has_begun, third.has_begun) == (True, True, False)
    await first.end()
    assert third.has_begun
    assert one.held_octets == 70 * MB
    await second.end()
    await third.end()
    assert one.held_octets == 0


async def test_one_reader_gets_half_and_for_small_things_three_quarters() -> None:
    one = memory()
    large = [Answer(one, "a", 20 * MB) for _ in range(5)]
    await a_while()
    assert [answer.has_begun for answer in large] == [True, True, False, False, False]
    small = [Answer(one, "a", SMALL_OCTETS) for _ in range(50)]
    other = Answer(one, "b", 20 * MB)
    await a_while()
    assert sum(answer.has_begun for answer in small) == 35
    assert other.has_begun
    for answer in [*small, *large, other]:
        await answer.end()
    assert one.held_octets == 0


async def test_what_is_larger_than_all_there_is_comes_alone() -> None:
    one = memory()
    small, huge, later = Answer(one, "a", MB), Answer(one, "b", 500 * MB), Answer(one, "c", MB)
    await a_while()
    assert (small.has_begun, huge.has_begun, later.has_begun) == (True, False, False)
    await small.end()
    assert (huge.has_begun, later.has_begun) == (True, False)
    await huge.end()
    assert later.has_begun
    await later.end()


async def test_who_waits_too_long_is_told_and_lets_others_pass() -> None:
    one = memory(patience_seconds=0.01)
    holds = Answer(one, "a", 90 * MB)
    await a_while()
    waits = Answer(one, "b", 20 * MB)
    with pytest.raises(Busy):
        await waits.task
    small = Answer(one, "c", 5 * MB)
    await a_while()
    assert small.has_begun
    assert one.refused == 1
    await holds.end()
    await small.end()
    assert one.held_octets == 0


async def test_no_more_than_so_many_wait() -> None:
    one = memory(most_waiting=2)
    holds = Answer(one, "a", 100 * MB)
    await a_while()
    waiting = [Answer(one, f"b{n}", MB) for n in range(3)]
    await a_while()
    assert [answer.task.done() for answer in waiting] == [False, False, True]
    with pytest.raises(Busy):
        await waiting[2].task
    await holds.end()
    for answer in waiting[:2]:
        await answer.end()
    assert one.held_octets == 0


async def test_who_is_cancelled_holds_nothing_whether_he_waited_or_not() -> None:
    one = memory()
    holds, waits = Answer(one, "a", 100 * MB), Answer(one, "b", MB)
    await a_while()
    waits.task.cancel()
    holds.task.cancel()
    for task in (waits.task, holds.task):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert one.held_octets == 0


async def test_who_is_cancelled_in_the_moment_of_his_turn_gives_it_back() -> None:
    one = memory()
    holds, waits = Answer(one, "a", 100 * MB), Answer(one, "b", MB)
    await a_while()
    holds._end.set()
    await holds.task  # the turn is given in this very moment
    waits.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits.task
    assert one.held_octets == 0


async def test_one_answer_may_take_several_times() -> None:
    one = memory()
    async with AsyncExitStack() as stack:
        share = await stack.enter_async_context(one.share("a"))
        await share.take(MB)
        await share.take(2 * MB)
        assert one.held_octets == 3 * MB
    assert one.held_octets == 0
