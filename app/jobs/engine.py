"""The one file that imports the job engine, PgQueuer. Why it looks the way it does: docs/decisions/0033.

On PostgreSQL its queue is in a schema of its own; on SQLite it is in memory, as one process does all. Either way it is
filled from rows of ours, at start and again and again.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from pgqueuer.adapters.inmemory import InMemoryDriver, InMemoryQueries
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.core.tm import TaskManager
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from pgqueuer.models import AnyEvent
from pgqueuer.models import Job as Picked
from pgqueuer.ports.driver import NotifyCallback
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from psycopg.rows import dict_row
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.database.autocommit import connect
from app.jobs.bell import Bell
from app.jobs.ending import end
from app.jobs.port import Job
from app.jobs.wakeups import Wakeups

_log = structlog.get_logger()

SCHEMA = "maildelta_background"
_NAME = "maildelta-jobs"  # what PostgreSQL calls our connection
_CHANNEL = Channel("ch_pgqueuer")
_LOOK_EVERY = timedelta(seconds=30)
_DEAD_AFTER = timedelta(
    seconds=60
)  # without a heartbeat; these come from the event loop, and one stalls at times
_AGAIN_SECONDS = 2.0
_FORGET_LOG_SECONDS = 3600.0
_RESTART_SECONDS = 5.0


class _Settings(DBSettings):
    """What is given here and the engine's defaults. It would read variables of the environment as common as CHANNEL and
    DURABILITY, which are meant for other programs, and not start where they say what it does not know.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


SETTINGS = _Settings(db_schema=SCHEMA, channel=_CHANNEL)


class PgQueuerEngine:
    """``url``: of the PostgreSQL database, with the ``bell`` that listens there; without it the queue is in memory."""

    def __init__(
        self, jobs: Sequence[Job], wakeups: Wakeups, *, url: str | None = None, bell: Bell | None = None
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._asked = {job.name: asyncio.Event() for job in jobs}
        self._driver = None if url is None else _Driver(url)
        self._queries = _queries(self._driver)
        self._tasks: set[asyncio.Task[None]] = set()
        wakeups.jobs.subscribe(self._ask)
        if bell is not None and self._driver is not None:
            bell.listen(_CHANNEL, self._driver.hear)

    def start(self) -> None:
        for name in self._jobs:
            self._keep(self._fill(name))
        self._keep(self._run())
        self._keep(self._forget_log())

    async def stop(self) -> None:
        while tasks := list(self._tasks):
            await end(tasks)
        if self._driver is not None:
            await self._driver.close()

    def _ask(self, name: object) -> None:
        for each, asked in self._asked.items():
            if name in {None, each}:
                asked.set()

    async def _fill(self, name: str) -> None:
        """Queue what the rows say is to be done, at start, when somebody asks, and now and then.

        What runs when somebody asks may be past what he means. So after an ask this looks again and again until all
        that was to be done at one look could be queued.
        """
        job, asked = self._jobs[name], self._asked[name]
        is_asked = False
        while True:
            asked.clear()
            has_queued_all = await self._queue(job)
            is_asked = is_asked and not has_queued_all
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS if is_asked else job.every_seconds):
                    await asked.wait()
                    is_asked = True

    async def _queue(self, job: Job) -> bool:
        """Queue what is not queued and does not run; whether that was all there is to be done."""
        try:
            if not (keys := await job.keys()):
                return True
            queued = await self._queries.enqueue(
                [job.name] * len(keys),
                [key.encode() for key in keys],
                [0] * len(keys),
                dedupe_key=[f"{job.name}:{key}" for key in keys],
                on_conflict="skip",
            )
        except Exception as error:
            _log.warning("job_not_queued", job=job.name, error=type(error).__name__)
            return False
        return None not in queued

    async def _run(self) -> None:
        """Run what is queued. The engine ends with its connection, and begins anew."""
        while True:
            manager = QueueManager(self._queries, _CHANNEL)
            for job in self._jobs.values():
                manager.entrypoint(job.name, concurrency_limit=job.at_once)(self._runner_of(job))
            try:
                await manager.run(
                    dequeue_timeout=_LOOK_EVERY,
                    heartbeat_timeout=_DEAD_AFTER,
                    log_aggregation_interval=timedelta(0),
                )
            except Exception as error:
                _log.warning("job_engine_restarts", error=type(error).__name__)
            await asyncio.sleep(_RESTART_SECONDS)

    def _runner_of(self, job: Job) -> Callable[[Picked], Coroutine[Any, Any, None]]:
        async def run(picked: Picked) -> None:
            key = (picked.payload or b"").decode()
            self._remember(asyncio.current_task())
            try:
                await job.run(key)
            except Exception:
                # Its text may hold secrets, and would be kept. The rows say that it is still to be done.
                _log.exception("job_failed", job=job.name, key=key)

        return run

    async def _forget_log(self) -> None:
        """The engine notes three rows for each job, and keeps them for ever."""
        while True:
            await asyncio.sleep(_FORGET_LOG_SECONDS)
            try:
                await self._queries.clear_queue_log()
            except Exception as error:
                _log.warning("job_log_not_emptied", error=type(error).__name__)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self._remember(asyncio.create_task(work, context=contextvars.Context()))

    def _remember(self, task: asyncio.Task[None] | None) -> None:
        """To be cancelled at the end."""
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Driver:
    """PgQueuer's way to PostgreSQL: one connection, made anew when it is lost; the bell listens for it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection | None = None
        self._lock = asyncio.Lock()
        self._callbacks: list[NotifyCallback] = []
        self.shutdown = asyncio.Event()
        self.tm = TaskManager()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        async with self._lock:
            cursor = psycopg.AsyncRawCursor(await self._connected(), row_factory=dict_row)
            await cursor.execute(query, args or None)
            return await cursor.fetchall()

    async def execute(self, query: str, *args: object) -> str:
        async with self._lock:
            cursor = psycopg.AsyncRawCursor(await self._connected())
            await cursor.execute(query, args or None)
            return cursor.statusmessage or ""

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks = [callback]  # one manager at a time

    def hear(self, payload: str) -> None:
        """What is no event of the engine is another program's: it would be logged, word for word."""
        try:
            AnyEvent.model_validate_json(payload)
        except ValueError:
            return
        for callback in self._callbacks:
            callback(payload)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url, name=_NAME)
        return self._connection

    async def __aenter__(self) -> "_Driver":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def _queries(driver: _Driver | None) -> Queries | InMemoryQueries:
    own = QueryBuilderEnvironment(SETTINGS)
    queue, schedules = QueryQueueBuilder(SETTINGS), QuerySchedulerBuilder(SETTINGS)
    if driver is None:
        return InMemoryQueries(InMemoryDriver(), qbe=own, qbq=queue, qbs=schedules)
    return Queries(driver, qbe=own, qbq=queue, qbs=schedules)
