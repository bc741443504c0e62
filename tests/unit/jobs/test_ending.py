"""Tasks are ended, whatever they make of being cancelled."""

import asyncio
import contextlib

import pytest

from app.jobs import ending
from app.jobs.ending import end


async def _stubborn(times: int) -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def _failing() -> None:
    try:
        await asyncio.sleep(600)
    finally:
        raise OSError


@pytest.mark.parametrize("work", [lambda: _stubborn(0), lambda: _stubborn(3), _failing])
async def test_a_task_that_lets_a_cancellation_slip_is_ended_all_the_same(
    work: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_ASK_AGAIN_SECONDS", 0.01)
    assert callable(work)
    tasks = [asyncio.create_task(work()), asyncio.create_task(_stubborn(0))]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await end(tasks)
    for task in tasks:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await task
        assert task.done()


async def test_nothing_to_end_is_nothing_to_wait_for() -> None:
    await end([])
