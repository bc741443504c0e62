"""When keys were used last: noted once a minute at most, behind the requests and never in their way."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog

from app.access import repository
from app.access.models import ApiKey
from app.database import Database, StorageFailed
from app.web.requests.rates import Rate

_log = structlog.get_logger()


class LastUses:
    """Gathers the keys that were used, and has them written by one task at a time."""

    def __init__(
        self, *, database: Database, clock: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._due = Rate(1)
        self._waiting: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def note(self, key: ApiKey) -> None:
        """This key was used now."""
        assert key.id is not None
        if self._due.spend(str(key.id), now=self._monotonic()):
            return
        if key.last_used_at is not None and self._clock() - key.last_used_at < repository.USED_EVERY:
            return  # another process has noted it
        self._waiting.add(key.id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def end(self) -> None:
        """Write what is left."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting, set()
            note = partial(repository.note_used, key_ids=some, now=self._clock())
            try:
                await self._database.write(note, durable=False)
            except StorageFailed as error:
                _log.warning("key_use_not_noted", reason=str(error))
