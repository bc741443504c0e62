"""One turn of an engine, in a process of its own. Standard library alone: peers have an environment of their own.

The process writes a line of JSON when it is ready and after each part, and waits for a line before the next one:

1. many jobs are queued as the engine does it in bulk, and run: ``seconds`` until the last body, ``processor`` seconds;
2. some are queued one by one: ``start``, the median of the seconds from asking to the body;
3. nothing is asked for, until the input ends.
"""

import asyncio
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

AT_ONCE = 64  # jobs under way at the same time, where the engine wants to know
BULK = 1_000  # jobs queued by one call, where the engine has such a call
_ONE_BY_ONE = 20
_PAUSE_SECONDS = 0.13
_PATIENCE_SECONDS = 180.0


class Bodies:
    """Counts the bodies that ran, in whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._all_ran = threading.Event()
        self.last_at = 0.0

    def expect(self, count: int) -> None:
        self._left = count
        self._all_ran.clear()

    def ran(self) -> None:
        """One more: this is all that a job does."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.last_at = time.perf_counter()
                self._all_ran.set()

    def wait(self) -> None:
        if not self._all_ran.wait(_PATIENCE_SECONDS):
            sys.exit(f"{self._left} jobs did not run")


def play(version: str, queue: Callable[[int], object], bodies: Bodies, count: int) -> None:
    """The whole turn. ``queue`` asks for so many jobs, of which each calls ``bodies.ran`` once."""
    _in_time(queue, bodies, 1)
    _say({"version": version})
    _wait_to_be_told()
    begun, processor = time.perf_counter(), time.process_time()
    _in_time(queue, bodies, count)
    _say({"seconds": bodies.last_at - begun, "processor": time.process_time() - processor})
    _wait_to_be_told()
    _say({"start": statistics.median(_seconds_to_body(queue, bodies) for _ in range(_ONE_BY_ONE))})
    sys.stdin.read()
    os._exit(0)  # engines of others take their time to stop


def in_a_loop() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """An event loop in a thread of its own. What is returned runs a coroutine there and waits for its result."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    return run


async def in_background(work: Coroutine[Any, Any, Any]) -> None:
    """Have it go on in this loop. When it ends the process does."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_end_with_it)
    _kept.append(task)


_kept: list[asyncio.Task[Any]] = []


def _end_with_it(task: "asyncio.Task[Any]") -> None:
    print(f"the engine ended: {task}", file=sys.stderr, flush=True)
    os._exit(1)


def _in_time(queue: Callable[[int], object], bodies: Bodies, count: int) -> None:
    bodies.expect(count)
    queue(count)
    bodies.wait()


def _seconds_to_body(queue: Callable[[int], object], bodies: Bodies) -> float:
    time.sleep(_PAUSE_SECONDS)
    begun = time.perf_counter()
    _in_time(queue, bodies, 1)
    return bodies.last_at - begun


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def _wait_to_be_told() -> None:
    if not sys.stdin.readline():
        os._exit(0)
