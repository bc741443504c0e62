"""What every job engine does, in memory (as on SQLite) and on PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import structlog
from pgqueuer.queries import Queries
from psycopg import sql

from app.jobs import engine as engines
from app.jobs.bell import Bell
from app.jobs.engine import PgQueuerEngine
from app.jobs.port import Job
from app.jobs.wakeups import Wakeups
from tests.servers.postgres import Postgres

PATIENCE_SECONDS = 60.0
DEAD_AFTER = timedelta(seconds=1)
RESTART_SECONDS = 0.2
NEVER = 600.0


@pytest.fixture(params=["in memory", "postgresql"])
def jobs_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "in memory":
        return None
    url: str = request.getfixturevalue("migrated_postgres_url")
    return url


@asynccontextmanager
async def started(jobs: list[Job], url: str | None) -> AsyncIterator[Wakeups]:
    """A process that runs jobs."""
    wakeups = Wakeups()
    bell = None if url is None else Bell(url, wakeups)
    engine = PgQueuerEngine(jobs, wakeups, url=url, bell=bell)
    if bell is not None:
        bell.start()
    engine.start()
    try:
        yield wakeups
    finally:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await engine.stop()
        if bell is not None:
            await bell.stop()


class Rows:
    """What is to be done, and who is at it."""

    def __init__(self, *keys: str) -> None:
        self.left = set(keys)
        self.begun: list[str] = []
        self.at_once = self.most_at_once = self.looks = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def keys(self) -> list[str]:
        self.looks += 1
        return sorted(self.left)

    async def run(self, key: str) -> None:
        self.begun.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.may_end.wait()
            self.left.discard(key)
        finally:
            self.at_once -= 1

    def job(self, name: str = "work", *, every_seconds: float = NEVER, at_once: int = 1) -> Job:
        return Job(name=name, keys=self.keys, run=self.run, every_seconds=every_seconds, at_once=at_once)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_the_rows_hold_is_done_at_start_when_asked_for_and_by_itself(jobs_url: str | None) -> None:
    at_start, later = Rows("a", "b"), Rows()
    async with started([at_start.job(), later.job("later", every_seconds=0.05)], jobs_url) as wakeups:
        await until(lambda: not at_start.left)
        at_start.left.add("c")
        wakeups.jobs.fire("work")
        await until(lambda: not at_start.left)
        later.left.add("d")
        await until(lambda: not later.left)
    assert sorted(at_start.begun) == ["a", "b", "c"]


async def test_a_stop_in_the_moment_in_which_work_is_asked_for_ends(jobs_url: str | None) -> None:
    rows = Rows()
    async with started([rows.job(name) for name in "abc"], jobs_url) as wakeups:
        await until(lambda: rows.looks >= 3)
        wakeups.jobs.fire()


async def test_asked_for_many_times_a_thing_is_done_once_at_a_time(jobs_url: str | None) -> None:
    rows = Rows("a", "b", "c")
    rows.may_end.clear()
    async with started([rows.job(at_once=2)], jobs_url) as wakeups:
        await until(lambda: rows.at_once == 2)
        for _ in range(20):
            wakeups.jobs.fire("work")
            await asyncio.sleep(0.01)
        assert len(rows.begun) == 2
        rows.may_end.set()
        await until(lambda: not rows.left)
    assert rows.most_at_once == 2
    assert sorted(rows.begun) == ["a", "b", "c"]


async def test_what_is_asked_for_while_it_runs_is_done_once_more(
    jobs_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run under way may be past it: its row came too late for it."""
    monkeypatch.setattr(engines, "_AGAIN_SECONDS", 0.05)
    done: list[str] = []
    begun, may_end, rows, looks = 0, asyncio.Event(), ["old"], 0

    async def keys() -> list[str]:
        nonlocal looks
        looks += 1
        return ["all"] if rows else []

    async def run(_all: str) -> None:
        nonlocal begun
        begun += 1
        seen = list(rows)
        await may_end.wait()
        done.extend(seen)
        rows[:] = [row for row in rows if row not in seen]

    async with started([Job(name="work", keys=keys, run=run, every_seconds=NEVER)], jobs_url) as wakeups:
        await until(lambda: begun)
        rows.append("new")
        before = looks
        wakeups.jobs.fire("work")
        await until(lambda: looks > before)
        may_end.set()
        await until(lambda: done == ["old", "new"])


async def test_what_fails_is_done_again_when_the_rows_still_say_so_and_stops_no_other(
    jobs_url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    attempts, other = 0, Rows("x")

    async def keys() -> list[str]:
        return ["a"] if attempts < 3 else []

    async def fail(_key: str) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError("a secret")

    failing = Job(name="failing", keys=keys, run=fail, every_seconds=0.05)
    async with started([failing, other.job()], jobs_url):
        await until(lambda: attempts == 3 and not other.left)
    if jobs_url is not None:
        with psycopg.connect(jobs_url) as db:
            kept = db.execute(
                "SELECT count(*) FROM maildelta_background.pgqueuer_log WHERE traceback IS NOT NULL"
            )
            assert kept.fetchone() == (0,), "its text may hold secrets"


async def test_a_look_that_fails_is_tried_again(jobs_url: str | None) -> None:
    rows, looks = Rows("a"), 0

    async def keys() -> list[str]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError
        return await rows.keys()

    async with started([Job(name="work", keys=keys, run=rows.run, every_seconds=0.05)], jobs_url):
        await until(lambda: not rows.left)


async def test_who_stops_cancels_what_runs_and_the_next_start_takes_it_up(
    jobs_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows("a")
    rows.may_end.clear()
    async with started([rows.job()], jobs_url):
        await until(lambda: rows.at_once == 1)
    assert (rows.at_once, rows.left) == (0, {"a"})
    rows.may_end.set()
    async with started([rows.job()], jobs_url):
        await until(lambda: not rows.left)


async def test_two_processes_share_the_work_and_its_limit(migrated_postgres_url: str) -> None:
    rows = Rows(*(f"{number}" for number in range(20)))
    async with (
        started([rows.job(at_once=3)], migrated_postgres_url),
        started([rows.job(at_once=3)], migrated_postgres_url),
    ):
        await until(lambda: not rows.left)
    assert rows.most_at_once <= 3
    assert set(rows.begun) == {f"{number}" for number in range(20)}


async def test_a_restarted_database_stops_no_job_for_good(
    postgres_server: Postgres, migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_RESTART_SECONDS", RESTART_SECONDS)
    monkeypatch.setattr(engines, "_DEAD_AFTER", DEAD_AFTER)
    monkeypatch.setattr(engines, "_LOOK_EVERY", DEAD_AFTER / 4)
    rows, name = Rows("a"), migrated_postgres_url.rsplit("/", 1)[1]
    rows.may_end.clear()
    with structlog.testing.capture_logs() as lines:
        async with started([rows.job(every_seconds=0.1)], migrated_postgres_url):
            await until(lambda: rows.at_once == 1)
            with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
                allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
                db.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )
                rows.may_end.set()
                rows.left.add("b")
                told = ("job_engine_restarts", "job_not_queued", "bell_lost")
                await until(lambda: {*told} <= {line["event"] for line in lines})
                db.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
            await until(lambda: not rows.left)
            rows.left.add("c")
            await until(lambda: not rows.left)


async def test_the_schema_is_the_one_that_this_version_of_the_engine_wants(
    migrated_postgres_url: str,
) -> None:
    queries = engines._queries(driver := engines._Driver(migrated_postgres_url))
    assert isinstance(queries, Queries)
    plan = await queries.plan_upgrade()
    await driver.close()
    assert not plan.statements


async def test_what_another_program_sends_on_the_channel_of_the_engine_is_not_repeated_in_the_log(
    migrated_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = Rows("first")
    async with (
        started([rows.job()], migrated_postgres_url) as wakeups,
        await psycopg.AsyncConnection.connect(migrated_postgres_url, autocommit=True) as db,
    ):
        await until(lambda: not rows.left)
        for payload in ("a word of theirs", "{}", '{"type": "a word of theirs"}', "[" * 7_000):
            await db.execute("SELECT pg_notify('ch_pgqueuer', %s)", [payload])
        rows.left.add("a")
        wakeups.jobs.fire("work")
        await until(lambda: not rows.left)
    assert "of theirs" not in caplog.text


class Worker:
    """``tests.contract.jobs_process``, and the directory that it speaks through."""

    def __init__(self, url: str, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        command = [sys.executable, "-m", "tests.contract.jobs_process", url, str(directory), name]
        environment = os.environ | {
            "PGQUEUER_SCHEMA": "of_another_program",
            "QUEUE_TABLE": "of_another_program",
            "CHANNEL": "as another program writes it",
            "DURABILITY": "as another program says it",
        }
        self.process = subprocess.Popen(command, env=environment)

    def has(self, what: str) -> bool:
        return (self._directory / f"{what}-{self._name}").exists()

    def may(self, what: str) -> None:
        (self._directory / f"{what}-{self._name}").touch()

    def may_not(self, what: str) -> None:
        (self._directory / f"{what}-{self._name}").unlink()


@pytest.fixture
async def workers(migrated_postgres_url: str, tmp_path: Path) -> AsyncIterator[Callable[[str], Worker]]:
    """Starts workers in processes of their own."""
    begun: list[Worker] = []

    def start(name: str) -> Worker:
        begun.append(Worker(migrated_postgres_url, tmp_path, name))
        return begun[-1]

    yield start
    for worker in begun:
        worker.process.kill()
        worker.process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("fate", ["killed", "frozen", "stalled"])
async def test_what_a_worker_had_that_is_gone_is_done_by_another_and_its_return_harms_nothing(
    fate: str, workers: Callable[[str], Worker], tmp_path: Path
) -> None:
    for name in ("hold-one", "todo-a", *(["stall-one"] if fate == "stalled" else [])):
        (tmp_path / name).touch()
    one = workers("one")
    await until(lambda: one.has("begun-a"))
    other = workers("other")
    if fate != "stalled":
        one.process.send_signal(signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
    await until(lambda: other.has("begun-a"))
    await until(lambda: not (tmp_path / "todo-a").exists())
    one.may_not("hold")
    if fate == "killed":
        one.process.wait(PATIENCE_SECONDS)
        one = workers("one")
    if fate == "frozen":
        one.process.send_signal(signal.SIGCONT)
    if fate == "stalled":
        one.may_not("stall")
    for key in ("b", "c", "d"):
        (tmp_path / f"todo-{key}").touch()
    await until(lambda: not [*tmp_path.glob("todo-*")])
    other.process.kill()
    (tmp_path / "todo-e").touch()
    await until(lambda: one.has("begun-e"))  # it works again, whatever it went through
    await until(lambda: not [*tmp_path.glob("todo-*")])
    assert one.process.poll() is None
