"""The one file that imports the job engine, DBOS. Why it looks the way it does: docs/decisions/0003.

A run of a job is one durable DBOS workflow without steps: two commits, and a run that a killed process left
is taken up again when it returns. Runs are started directly, within milliseconds; the engine's queue (which
polls) only carries asks from processes that run no jobs.
"""

import asyncio
import contextvars
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import sqlalchemy
import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, WorkflowStatus

from app.jobs.demand import Demand
from app.jobs.port import EngineCannotRun, Job, JobEngine, UnknownJob
from app.jobs.storage import check_runtime, driver_url, sqlite_engine

_log = structlog.get_logger(__name__)

_APPLICATION = "maildelta"
_SCHEMA = "maildelta_jobs"
_WORKFLOW = "run_job"
_BELLS = "bells"
_THREADS = 32  # DBOS makes its pool the event loop's default one, and by itself sets no limit
_CONNECTIONS = 5
_IDLE_SECONDS = 15.0  # of a transaction of the engine in a frozen process, then PostgreSQL takes its locks
_LISTENER_SECONDS = 0.1  # it only sleeps, as we use no notifications, but a stop waits until it wakes
_NEVER_SECONDS = 86_400.0  # we use none of the engine's own schedules
_UNWIND_SECONDS = 2.0
_PRUNE_EVERY_SECONDS = 3600.0
_PRUNE_BATCH = 500
_ABANDONED = timedelta(days=7)  # a run still unfinished then is nobody's, even where no job can tell
_STRANDED = timedelta(seconds=30)  # time enough to begin, and to show it
_LOOK_FOR_STRANDED_SECONDS = 15.0
_OPEN = ["PENDING", "ENQUEUED"]
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class JobFailed(Exception):
    """What the engine stores of a run that raised: the name of the error, for its text may hold secrets."""


def create_engine(
    *,
    database_url: str,
    executor_id: str,
    jobs: Sequence[Job],
    runs_jobs: bool,
    application_version: str = "1",
    poll_seconds: float | None = None,
    keep_runs: timedelta = timedelta(hours=6),
) -> JobEngine:
    """The engine of this process.

    database_url: ``sqlite:///file``, a file apart from the data (``storage.database_for_jobs``), or
        ``postgresql://...``, where the engine keeps to a schema of its own.
    executor_id: the place that this process fills, the same after a restart, different from that of others.
    runs_jobs: False in a process that only serves the API: its asks go to the processes that run jobs.
    application_version: stays the same from release to release, so that an upgrade strands no run; jobs carry
        nothing that could be incompatible.
    poll_seconds: how often a process that runs jobs looks for asks from others. None: 0.25 on PostgreSQL, and
        1 on SQLite, where most often there are no others and looking is most of what an idle service spends.
    keep_runs: for how long the engine remembers ended runs.
    """
    if poll_seconds is None:
        poll_seconds = 1.0 if database_url.startswith("sqlite:") else 0.25
    if runs_jobs:
        return _RunningEngine(
            database_url=database_url,
            executor_id=executor_id,
            jobs=jobs,
            application_version=application_version,
            poll_seconds=poll_seconds,
            keep_runs=keep_runs,
        )
    return _AskingEngine(
        database_url=database_url,
        jobs=jobs,
        application_version=application_version,
        poll_seconds=poll_seconds,
    )


class _RunningEngine:
    """Runs jobs in this process. DBOS allows one instance per process, so one of these runs at a time."""

    _running: ClassVar["_RunningEngine | None"] = None

    def __init__(
        self,
        *,
        database_url: str,
        executor_id: str,
        jobs: Sequence[Job],
        application_version: str,
        poll_seconds: float,
        keep_runs: timedelta,
    ) -> None:
        self._database_url = database_url
        self._executor_id = executor_id
        self._application_version = application_version
        self._poll_seconds = poll_seconds
        self._keep_runs = keep_runs
        self._identity = secrets.token_hex(8)  # of this life: older runs were not asked for here
        self._jobs = {job.name: job for job in jobs}
        self._demands = {job.name: Demand(at_once=job.at_once) for job in jobs}
        self._runs: set[asyncio.Task[Any]] = set()
        self._starting: set[asyncio.Task[Any]] = set()
        self._ticks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._sqlite: sqlalchemy.Engine | None = None

    async def start(self) -> None:
        check_runtime(self._database_url)
        if _RunningEngine._running is not None:
            raise EngineCannotRun("another job engine runs in this process; stop it first")
        _RunningEngine._running = self
        try:
            self._launch()
        except BaseException:
            await self._destroy()
            raise
        await DBOS.register_queue_async(
            _BELLS, polling_interval_sec=self._poll_seconds, on_conflict="always_update"
        )
        for job in self._jobs.values():
            self._keep(self._ticks, self._tick(job))
        self._keep(self._ticks, self._now_and_then(self._prune, _PRUNE_EVERY_SECONDS))
        self._keep(self._ticks, self._now_and_then(self._end_stranded, _LOOK_FOR_STRANDED_SECONDS))

    def _launch(self) -> None:
        """In the running loop, on purpose: DBOS runs async workflows in the loop that it was launched in."""
        config: DBOSConfig = {
            "name": _APPLICATION,
            "executor_id": self._executor_id,
            "application_version": self._application_version,
            "dbos_system_schema": _SCHEMA,
            "system_database_url": driver_url(self._database_url),
            "sys_db_pool_size": _CONNECTIONS,
            "sys_db_idle_transaction_timeout_sec": _IDLE_SECONDS,
            "max_executor_threads": _THREADS,
            "scheduler_polling_interval_sec": _NEVER_SECONDS,
            "notification_listener_polling_interval_sec": _LISTENER_SECONDS,
            "use_listen_notify": False,
            "enable_otlp": False,
            "log_level": "WARNING",
        }
        if self._database_url.startswith("sqlite:"):
            self._sqlite = config["system_database_engine"] = sqlite_engine(self._database_url)
        DBOS(config=config)
        _join_our_logs()

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        async def run_job(name: str, asked_by: str) -> None:  # a bound method would be stored with its object
            await self._run(name, asked_here=asked_by == self._identity)

        self._workflow = run_job
        DBOS.launch()

    def ask(self, name: str) -> None:
        demand = self._demands.get(name)
        if demand is None:
            raise UnknownJob(name)
        # While stopping, the row that was committed waits for the next start or for another worker's tick.
        if not self._stopping and demand.ask():
            self._keep(self._starting, self._start_run(name))

    async def _start_run(self, name: str) -> None:
        try:
            await DBOS.start_workflow_async(self._workflow, name, self._identity)
        except Exception:
            self._demands[name].give_up()
            _log.exception("job_not_started", job=name)

    async def _start_run_if_work(self, name: str) -> None:
        """The run that follows another: often that one has done all, so look before two commits are spent."""
        while not await self._has_work(self._jobs[name], unsure=True):
            if not self._demands[name].found_nothing():
                return
        await self._start_run(name)

    async def _run(self, name: str, *, asked_here: bool) -> None:
        """The workflow. Raises JobFailed, which marks it failed; cancelled, it stays to be taken up again."""
        job, demand = self._jobs.get(name), self._demands.get(name)
        if job is None or demand is None:
            _log.warning("unknown_job_dropped", job=name)
            return
        if not demand.begin(asked_here=asked_here):
            return
        task = asyncio.current_task()
        assert task is not None
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        try:
            await job.run()
        except Exception as error:
            _log.exception("job_failed", job=name)
            raise JobFailed(type(error).__name__) from None
        finally:
            if demand.end() and not self._stopping:
                self._keep(self._starting, self._start_run_if_work(name))

    async def _tick(self, job: Job) -> None:
        """Once at start, for what an earlier process left behind, then every so many seconds."""
        while True:
            if await self._has_work(job, unsure=False):
                self.ask(job.name)
            if job.every_seconds is None:
                return
            await asyncio.sleep(job.every_seconds)

    async def _has_work(self, job: Job, *, unsure: bool) -> bool:
        if job.has_work is None:
            return True
        try:
            return await job.has_work()
        except Exception:
            _log.exception("job_look_failed", job=job.name)
            return unsure

    async def _now_and_then(self, tidy: Callable[[], Awaitable[None]], every_seconds: float) -> None:
        while True:
            try:
                await tidy()
            except Exception:
                _log.exception("job_runs_not_tidied")
            await asyncio.sleep(every_seconds)

    async def _end_stranded(self) -> None:
        """End the records of runs that nobody works on: of processes that died and do not come back.

        Nothing is to be done for them: what they worked on are rows, and the tick finds those.
        """
        begun_before = (datetime.now(UTC) - _STRANDED).isoformat()
        runs = await DBOS.list_workflows_async(
            status=_OPEN, end_time=begun_before, limit=_PRUNE_BATCH, load_output=False
        )
        if not runs:
            return
        told = {name: await job.workers() if job.workers else None for name, job in self._jobs.items()}
        of_any = {worker for workers in told.values() if workers for worker in workers}
        stranded = [run.workflow_id for run in runs if self._is_stranded(run, told.get(_job_of(run), of_any))]
        if stranded:
            await DBOS.cancel_workflows_async(stranded)
            _log.info("stranded_runs_ended", runs=len(stranded))

    def _is_stranded(self, run: WorkflowStatus, alive: Collection[str] | None) -> bool:
        if run.executor_id == self._executor_id:
            return run.app_version != self._application_version  # else it was taken up when we started
        return alive is not None and run.executor_id not in alive

    async def _prune(self) -> None:
        """Forget ended runs that are old enough, and unfinished ones that nobody will ever take up."""
        now = datetime.now(UTC)
        ended_before = (now - self._keep_runs).isoformat()
        begun_before = (now - max(self._keep_runs, _ABANDONED)).isoformat()
        while True:
            old = await DBOS.list_workflows_async(
                status=_ENDED,
                completed_before=ended_before,
                limit=_PRUNE_BATCH,
                load_input=False,
                load_output=False,
            ) or await DBOS.list_workflows_async(
                end_time=begun_before, limit=_PRUNE_BATCH, load_input=False, load_output=False
            )
            if not old:
                return
            await DBOS.delete_workflows_async([run.workflow_id for run in old])

    async def stop(self, *, within_seconds: float) -> None:
        if _RunningEngine._running is not self:
            return
        self._stopping = True
        for tick in self._ticks:
            tick.cancel()
        await asyncio.wait({*self._ticks, asyncio.create_task(self._runs_ended())}, timeout=within_seconds)
        interrupted = {*self._runs, *self._starting}
        if interrupted:
            logging.getLogger("dbos").setLevel(logging.ERROR)  # it warns of each cancelled task
            _log.warning("jobs_interrupted", runs=len(interrupted))
            for task in interrupted:
                task.cancel()
            await asyncio.wait(interrupted, timeout=_UNWIND_SECONDS)
        await self._destroy()

    async def _runs_ended(self) -> None:
        while tasks := {*self._runs, *self._starting}:
            await asyncio.wait(tasks)

    async def _destroy(self) -> None:
        """Take the engine down, in a thread, for it joins threads of its own.

        DBOS has made its pool the loop's default one and shuts it down, so the loop gets a new one first:
        name resolution and ``to_thread`` must go on working in a service that is stopping.
        """
        pool = ThreadPoolExecutor(thread_name_prefix="after-jobs")
        asyncio.get_running_loop().set_default_executor(pool)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        if self._sqlite is not None:
            self._sqlite.dispose()
        _RunningEngine._running = None

    @staticmethod
    def _keep(tasks: set[asyncio.Task[Any]], work: Coroutine[Any, Any, None]) -> None:
        """In a context of its own: neither the asker's request nor its run is the parent of what follows."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _job_of(run: WorkflowStatus) -> str:
    """The name of a record's job; empty when another version wrote something else there."""
    name = next(iter(run.input["args"]), None) if run.input else None
    return name if isinstance(name, str) else ""


class _AskingEngine:
    """Runs nothing; rings the processes that do, through the engine's queue.

    A ring that cannot be delivered is logged and forgotten: their ticks find the row all the same.
    """

    def __init__(
        self, *, database_url: str, jobs: Sequence[Job], application_version: str, poll_seconds: float
    ) -> None:
        self._database_url = database_url
        self._names = frozenset(job.name for job in jobs)
        self._application_version = application_version
        self._poll_seconds = poll_seconds
        self._client: DBOSClient | None = None
        self._sqlite: sqlalchemy.Engine | None = None
        self._wanted: set[str] = set()
        self._ringing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._database_url.startswith("sqlite:"):
            self._sqlite = sqlite_engine(self._database_url)
        self._client = DBOSClient(
            system_database_url=driver_url(self._database_url),
            system_database_engine=self._sqlite,
            system_database_pool_size=1,
            sys_db_idle_transaction_timeout_sec=_IDLE_SECONDS,
            dbos_system_schema=_SCHEMA,
            application_name=_APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        _join_our_logs()

    def ask(self, name: str) -> None:
        if name not in self._names:
            raise UnknownJob(name)
        self._wanted.add(name)
        if self._client is not None and self._ringing is None:
            self._ringing = asyncio.get_running_loop().create_task(
                self._ring_until_quiet(), context=contextvars.Context()
            )

    async def _ring_until_quiet(self) -> None:
        """Ring at once, then at most once per polling interval: nobody looks more often than that."""
        while self._wanted:
            await self._ring_wanted()
            await asyncio.sleep(self._poll_seconds)
        self._ringing = None

    async def _ring_wanted(self) -> None:
        assert self._client is not None
        while self._wanted:
            name = self._wanted.pop()
            options: EnqueueOptions = {
                "workflow_name": _WORKFLOW,
                "queue_name": _BELLS,
                "app_version": self._application_version,
            }
            try:
                await self._client.enqueue_async(options, name, "")
            except Exception as error:
                _log.warning("job_not_asked_for", job=name, error=type(error).__name__)

    async def stop(self, *, within_seconds: float) -> None:
        if self._client is None:
            return
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.wait({self._ringing})
        try:
            async with asyncio.timeout(within_seconds):
                await self._ring_wanted()
        except TimeoutError:
            _log.warning("jobs_not_asked_for", jobs=sorted(self._wanted))
        client, self._client = self._client, None
        await asyncio.to_thread(client.destroy)
        if self._sqlite is not None:
            self._sqlite.dispose()


def _join_our_logs() -> None:
    """DBOS prints to the console by a handler of its own: send its warnings where ours go instead."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    logger.addFilter(_not_reported_already)


def _not_reported_already(record: logging.LogRecord) -> bool:
    """A failed job is logged by us, with its error; the engine would repeat it without."""
    return not (record.exc_info and isinstance(record.exc_info[1], JobFailed))
