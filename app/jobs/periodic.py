"""Periodic jobs: small things that every worker does in its own rhythm, whoever else does them too."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from app.database import StorageFailed
from app.jobs.ending import end

_log = structlog.get_logger()


class Periodic:
    """Jobs that are done again and again, each in a task of its own. What fails is logged and done again."""

    def __init__(self) -> None:
        self._jobs: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(
        self, name: str, job: Callable[[], Awaitable[None]], *, every_seconds: float, first_after: float = 0.0
    ) -> None:
        """One more job, with so many seconds between its end and its next beginning; to be said before the start."""
        self._jobs.append((name, partial(self._do, name, job, every_seconds, first_after)))

    def start(self) -> None:
        """Begin with all of them, in the loop that runs now."""
        for name, begin in self._jobs:
            # Not in the context of whoever starts it, nor in its span.
            task = asyncio.create_task(begin(), name=name, context=contextvars.Context())
            self._tasks.append(task)

    async def stop(self) -> None:
        """End them all, in the middle of what they do."""
        await end(self._tasks)

    async def _do(
        self, name: str, job: Callable[[], Awaitable[None]], every_seconds: float, first_after: float
    ) -> None:
        await asyncio.sleep(first_after)
        while True:
            try:
                await job()
            except StorageFailed as error:
                _log.warning("periodic_job_failed", job=name, reason=str(error))
            except Exception:
                _log.exception("periodic_job_failed", job=name)
            await asyncio.sleep(every_seconds)
