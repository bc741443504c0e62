"""Long work gives way: what is short is done at once, what is long in turns with other such work."""

import asyncio
import threading
from itertools import count

import pytest

from app.pop3 import Sliced
from app.reading.slices import Slices


async def test_what_ends_in_its_first_slice_needs_no_thread() -> None:
    def work() -> Sliced[str]:
        yield from ()
        return threading.current_thread().name

    assert await Slices().do(work()) == threading.current_thread().name


async def test_what_ends_soon_needs_no_thread_however_many_slices_it_has() -> None:
    def work() -> Sliced[str]:
        for _ in range(5):
            yield
        return threading.current_thread().name

    assert await Slices(clock=lambda: 1.0).do(work()) == threading.current_thread().name
    slices = Slices(clock=count().__next__)
    assert await slices.do(work()) != threading.current_thread().name
    slices.close()


async def test_the_event_loop_and_other_long_work_go_on_between_slices() -> None:
    slices, order = Slices(clock=count().__next__), list[str]()
    turns = {"a": threading.Event(), "b": threading.Event()}

    def work(name: str, other: str) -> Sliced[str]:
        yield
        for _ in range(3):
            order.append(name)
            turns[other].set()
            yield
        turns[name].wait(10)  # the other one has had its turn
        return name

    both = await asyncio.gather(slices.do(work("a", "b")), slices.do(work("b", "a")))
    assert list(both) == ["a", "b"]
    assert order.count("a") == order.count("b") == 3
    slices.close()


async def test_what_the_work_raises_is_raised() -> None:
    def work() -> Sliced[None]:
        yield
        yield
        raise ValueError("from a slice")

    slices = Slices()
    with pytest.raises(ValueError, match="from a slice"):
        await slices.do(work())
    slices.close()


async def test_a_few_rows_are_gone_through_at_once_and_more_in_the_thread() -> None:
    slices = Slices()
    try:
        here = threading.current_thread()
        assert await slices.call(threading.current_thread, rows=10) is here
        assert await slices.call(threading.current_thread, rows=100_000) is not here
    finally:
        slices.close()
