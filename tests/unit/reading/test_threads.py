"""Threads that take turns: told by the order of the steps, never by a clock."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from app.reading.threads import FairThreads, Steps, TurnsClosed


class Clock:
    """Seconds that a thread has worked, as the steps say."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def one(clock: Clock) -> Iterator[FairThreads]:
    threads = FairThreads(1, name="test", seconds=clock)
    yield threads
    threads.close()


class Letters:
    """Work that is held until it is let go, and notes its steps."""

    def __init__(self, clock: Clock) -> None:
        self.order: list[str] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._clock = clock

    def held(self) -> Steps[None]:
        self.begun.set()
        self.go.wait(30)
        yield

    def of(self, name: str, count: int, seconds: float) -> Steps[str]:
        for _ in range(count):
            self._clock.now += seconds
            self.order.append(name)
            yield
        return name


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0)


async def test_two_mailboxes_with_slow_letters_cost_a_third_one_a_letter_and_not_their_batches(
    one: FairThreads, clock: Clock
) -> None:
    letters = Letters(clock)
    held = asyncio.create_task(one.run(("held",), letters.held()))
    await until(letters.begun)
    slow = [asyncio.create_task(one.run((name,), letters.of(name, 40, 0.5))) for name in ("slow 1", "slow 2")]
    healthy = asyncio.create_task(one.run(("healthy",), letters.of("healthy", 100, 0.0001)))
    while len(one._shares) < 3:
        await asyncio.sleep(0)
    letters.go.set()
    assert await asyncio.gather(held, *slow, healthy) == [None, "slow 1", "slow 2", "healthy"]
    last = len(letters.order) - letters.order[::-1].index("healthy")
    assert letters.order[:last].count("slow 1") <= 1
    assert letters.order[:last].count("slow 2") <= 1
    assert len(letters.order) == 180


async def test_an_ordinary_batch_is_not_put_down(one: FairThreads, clock: Clock) -> None:
    letters = Letters(clock)
    held = asyncio.create_task(one.run(("held",), letters.held()))
    await until(letters.begun)
    work = [asyncio.create_task(one.run((name,), letters.of(name, 20, 0.0001))) for name in ("a", "b")]
    while len(one._shares) < 2:
        await asyncio.sleep(0)
    letters.go.set()
    await asyncio.gather(held, *work)
    assert letters.order == ["a"] * 20 + ["b"] * 20


async def test_work_rests_after_each_of_its_turns_and_others_go_on_meanwhile(
    one: FairThreads, clock: Clock
) -> None:
    letters, costs = Letters(clock), list[float]()

    def rest(cost: float) -> float:
        costs.append(cost)
        return 1e-9 if cost else 0.0  # any: the loop goes on with others

    slow = asyncio.create_task(one.resting(rest).run(("slow",), letters.of("slow", 3, 0.5)))
    while not letters.order:
        await asyncio.sleep(0)
    quick = asyncio.create_task(one.run(("quick",), letters.of("quick", 1, 0.0)))
    assert [await slow, await quick] == ["slow", "quick"]
    assert letters.order.index("quick") < 3
    assert costs == [0.5, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0], "asked again behind each rest"


async def test_work_that_rests_is_closed_when_it_is_cancelled(one: FairThreads, clock: Clock) -> None:
    is_resting, is_closed = asyncio.Event(), list[bool]()

    def work() -> Steps[None]:
        try:
            while True:
                clock.now += 1
                yield
        finally:
            is_closed.append(True)

    def rest(_cost: float) -> float:
        is_resting.set()
        return 60.0

    task = asyncio.create_task(one.resting(rest).run(("a",), work()))
    await is_resting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_closed == [True]


async def test_an_error_is_told_and_the_thread_goes_on(one: FairThreads) -> None:
    def broken() -> Steps[None]:
        yield
        raise FileExistsError

    with pytest.raises(FileExistsError):
        await one.run(("a",), broken())
    assert await one.run(("a",), Letters(Clock()).of("a", 1, 0.0)) == "a"


async def test_who_is_cancelled_goes_on_when_no_thread_is_at_his_work(one: FairThreads, clock: Clock) -> None:
    letters = Letters(clock)
    held = asyncio.create_task(one.run(("a",), letters.held()))
    waits = asyncio.create_task(one.run(("b",), letters.of("b", 1, 0.0)))
    await until(letters.begun)
    held.cancel()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    for _ in range(20):
        await asyncio.sleep(0)
    assert not held.done()
    letters.go.set()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert letters.order == []
    assert await one.run(("c",), letters.of("c", 1, 0.0)) == "c"


async def test_closing_tells_those_who_wait(clock: Clock) -> None:
    one, letters = FairThreads(1, name="test", seconds=clock), Letters(clock)
    held = asyncio.create_task(one.run(("a",), letters.held()))
    waits = asyncio.create_task(one.run(("b",), letters.of("b", 1, 0.0)))
    await until(letters.begun)
    while len(one._shares) < 1:
        await asyncio.sleep(0)
    letters.go.set()
    clock.now += 1
    await asyncio.to_thread(one.close)
    for task in (held, waits):
        try:
            await task
        except TurnsClosed:
            continue
        assert task is held or letters.order == ["b"]
    with pytest.raises(TurnsClosed):
        await one.run(("c",), letters.of("c", 1, 0.0))


async def test_who_rests_is_told_that_the_threads_are_closed() -> None:
    """He would wait for a turn that nobody gives any more."""
    threads = FairThreads(1, name="test")
    resting = threads.resting(lambda _cost: 0.0)
    threads.close()
    async with asyncio.timeout(60):
        with pytest.raises(TurnsClosed):
            await resting.call(("a",), lambda: None)
