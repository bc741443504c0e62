"""What every job engine does, embedded (a SQLite file) and distributed (PostgreSQL)."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from app.jobs.engine import create_engine
from app.jobs.port import EngineCannotRun, Job, JobEngine, UnknownJob

PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 0.4  # long enough for a run too many to show itself

Start = Callable[..., Awaitable[JobEngine]]


@pytest.fixture(params=["embedded", "distributed"])
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "embedded":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    url: str = request.getfixturevalue("postgres_server").create_database()
    return url


@pytest.fixture
async def start(jobs_url: str) -> AsyncIterator[Start]:
    """Starts engines on the database of the test, and stops them at its end."""
    started: list[JobEngine] = []

    async def start_one(
        jobs: Sequence[Job], *, runs_jobs: bool = True, executor_id: str = "here"
    ) -> JobEngine:
        engine = create_engine(
            database_url=jobs_url, executor_id=executor_id, jobs=jobs, runs_jobs=runs_jobs, poll_seconds=0.1
        )
        await engine.start()
        started.append(engine)
        return engine

    yield start_one
    for engine in started:
        await engine.stop(within_seconds=0)


class Work:
    """Runs that count themselves, and last until they are let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.begun = 0
        self.ended = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        if not held:
            self.may_end.set()

    async def run(self) -> None:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1

    def job(self, name: str = "work", *, at_once: int = 1) -> Job:
        return Job(name=name, run=self.run, has_work=nothing_by_itself, at_once=at_once)


async def nothing_by_itself() -> bool:
    """Only what is asked for runs: neither the start nor a tick finds work."""
    return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_job_that_is_asked_for_runs_once_for_each_ask_that_comes_alone(start: Start) -> None:
    work = Work()
    engine = await start([work.job()])
    for expected in (1, 2, 3):
        engine.ask("work")
        await until(lambda expected=expected: work.ended == expected)  # type: ignore[misc]
        await asyncio.sleep(0.05)
    assert work.begun == 3


async def test_two_hundred_asks_at_once_cost_one_run(start: Start) -> None:
    work = Work()
    engine = await start([work.job()])
    for _ in range(200):
        engine.ask("work")
    await until(lambda: work.ended > 0)
    await asyncio.sleep(QUIET_SECONDS)
    assert work.begun == 1


async def test_asks_during_a_run_are_followed_by_exactly_one_more(start: Start) -> None:
    work = Work(held=True)
    always = Job(name="work", run=work.run)
    engine = await start([always])
    await until(lambda: work.begun == 1)
    for _ in range(5):
        engine.ask("work")
        await asyncio.sleep(0.01)
    assert work.begun == 1
    work.may_end.set()
    await until(lambda: work.ended == 2)
    await asyncio.sleep(QUIET_SECONDS)
    assert work.begun == 2


async def test_the_run_that_follows_is_left_out_when_nothing_is_left_to_do(start: Start) -> None:
    work = Work(held=True)
    engine = await start([work.job()])
    engine.ask("work")
    await until(lambda: work.begun == 1)
    engine.ask("work")
    work.may_end.set()
    await asyncio.sleep(QUIET_SECONDS)
    assert work.begun == 1
    engine.ask("work")
    await until(lambda: work.begun == 2)


async def test_with_room_for_two_runs_an_ask_need_not_wait_for_a_long_one(start: Start) -> None:
    work = Work(held=True)
    engine = await start([work.job(at_once=2)])
    engine.ask("work")
    await until(lambda: work.begun == 1)
    engine.ask("work")
    await until(lambda: work.begun == 2)
    engine.ask("work")
    await asyncio.sleep(QUIET_SECONDS)
    assert work.begun == 2


async def test_a_job_that_fails_stops_neither_others_nor_its_own_next_run(start: Start) -> None:
    attempts = 0

    async def fail() -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError("on purpose")

    work = Work()
    engine = await start([Job(name="failing", run=fail, has_work=nothing_by_itself), work.job()])
    engine.ask("failing")
    await until(lambda: attempts == 1)
    engine.ask("work")
    await until(lambda: work.ended == 1)
    engine.ask("failing")
    await until(lambda: attempts == 2)


async def test_a_job_may_ask_for_another_and_for_itself(start: Start) -> None:
    engines: list[JobEngine] = []
    work, own_runs = Work(), 0

    async def ask_on() -> None:
        nonlocal own_runs
        own_runs += 1
        engines[0].ask("work")
        if own_runs == 1:
            engines[0].ask("asking")

    async def once_more() -> bool:
        return own_runs == 1

    engines.append(await start([Job(name="asking", run=ask_on, has_work=once_more), work.job()]))
    engines[0].ask("asking")
    await until(lambda: own_runs == 2 and work.ended >= 1)


async def test_work_that_nobody_asked_for_is_found_at_start_and_by_the_tick(start: Start) -> None:
    rows, done = ["left behind"], []

    async def has_rows() -> bool:
        return bool(rows)

    async def claim() -> None:
        done.extend(rows)
        rows.clear()

    await start([Job(name="claim", run=claim, has_work=has_rows, every_seconds=0.05)])
    await until(lambda: done == ["left behind"])
    rows.append("later")
    await until(lambda: done == ["left behind", "later"])


async def test_a_look_for_work_that_fails_is_tried_again_at_the_next_tick(start: Start) -> None:
    work, looks = Work(), 0

    async def fails_first() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError("on purpose")
        return looks == 2

    await start([Job(name="work", run=work.run, has_work=fails_first, every_seconds=0.05)])
    await until(lambda: work.ended == 1)


async def test_stopping_gives_the_runs_under_way_their_time_and_starts_no_more(start: Start) -> None:
    work = Work(held=True)
    engine = await start([Job(name="work", run=work.run)])
    await until(lambda: work.begun == 1)
    stopping = asyncio.create_task(engine.stop(within_seconds=PATIENCE_SECONDS))
    await asyncio.sleep(0.05)
    engine.ask("work")
    work.may_end.set()
    await stopping
    assert (work.begun, work.ended, work.cancelled) == (1, 1, 0)


async def test_what_takes_too_long_is_cancelled_and_taken_up_by_the_next_start(start: Start) -> None:
    work = Work(held=True)
    engine = await start([work.job()])
    engine.ask("work")
    await until(lambda: work.begun == 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await engine.stop(within_seconds=0.05)
    assert (work.ended, work.cancelled) == (0, 1)
    work.may_end.set()
    await start([work.job()])
    await until(lambda: work.ended == 1)


async def test_threads_of_the_event_loop_work_while_and_after_the_engine_stops(start: Start) -> None:
    engine = await start([Work().job()])
    await engine.stop(within_seconds=1)
    assert await asyncio.to_thread(lambda: "done") == "done"


async def test_stopping_twice_or_without_a_start_does_nothing(jobs_url: str, start: Start) -> None:
    for runs_jobs in (True, False):
        never = create_engine(database_url=jobs_url, executor_id="x", jobs=[], runs_jobs=runs_jobs)
        await never.stop(within_seconds=1)
        engine = await start([], runs_jobs=runs_jobs)
        await engine.stop(within_seconds=1)
        await engine.stop(within_seconds=1)


async def test_a_second_engine_in_one_process_is_refused_and_harms_nothing(start: Start) -> None:
    work = Work()
    engine = await start([work.job()])
    with pytest.raises(EngineCannotRun, match="another job engine"):
        await start([])
    engine.ask("work")
    await until(lambda: work.ended == 1)


@pytest.mark.parametrize("runs_jobs", [True, False])
async def test_asking_for_an_unknown_job_is_an_error_of_the_caller(start: Start, *, runs_jobs: bool) -> None:
    engine = await start([Work().job()], runs_jobs=runs_jobs)
    with pytest.raises(UnknownJob, match="'wrok'"):
        engine.ask("wrok")


class Worker:
    """``tests.contract.jobs_process`` and the directory that it speaks through."""

    def __init__(self, url: str, directory: Path) -> None:
        self._command = [sys.executable, "-m", "tests.contract.jobs_process", url, "worker-1", str(directory)]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        (self._directory / "ready").unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        await until(lambda: self.left("ready"))

    def left(self, name: str) -> bool:
        return (self._directory / name).exists()

    def runs_done(self) -> int:
        return len((self._directory / "done").read_text().splitlines()) if self.left("done") else 0

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def end(self) -> int | None:
        if self._process is None:
            return None
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)


@pytest.fixture
async def worker(jobs_url: str, tmp_path: Path) -> AsyncIterator[Worker]:
    process = Worker(jobs_url, tmp_path)
    yield process
    process.end()


async def test_an_ask_from_a_process_that_runs_no_jobs_reaches_one_that_does(
    worker: Worker, start: Start
) -> None:
    await worker.start()
    work = Work()
    asking = await start([work.job()], runs_jobs=False, executor_id="api-1")
    asking.ask("work")
    await until(lambda: worker.runs_done() == 1)
    so_far = worker.runs_done()
    asking.ask("work")
    await until(lambda: worker.runs_done() > so_far)
    assert work.begun == 0


async def test_many_asks_from_another_process_during_a_run_are_two_further_runs_at_most(
    worker: Worker, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    await worker.start()
    asking = await start([Work().job()], runs_jobs=False, executor_id="api-1")
    asking.ask("work")
    await until(lambda: worker.left("begun"))
    for _ in range(50):
        asking.ask("work")
        await asyncio.sleep(0.005)
    await asyncio.sleep(QUIET_SECONDS)
    (tmp_path / "hold").unlink()
    await until(lambda: worker.runs_done() >= 1)
    await asyncio.sleep(QUIET_SECONDS)
    assert worker.runs_done() <= 3


async def test_asking_where_no_worker_was_ever_started_harms_nothing(start: Start) -> None:
    asking = await start([Work().job()], runs_jobs=False)
    asking.ask("work")
    await asyncio.sleep(QUIET_SECONDS)
    await asking.stop(within_seconds=1)


async def test_the_run_of_a_killed_process_is_taken_up_once_when_it_starts_again(
    worker: Worker, tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    (tmp_path / "ask").touch()
    await worker.start()
    await until(lambda: worker.left("begun"))
    worker.kill()
    for name in ("hold", "ask", "begun"):
        (tmp_path / name).unlink()
    await worker.start()
    await until(lambda: worker.runs_done() == 1)
    await asyncio.sleep(2 * QUIET_SECONDS)
    assert worker.runs_done() == 1
    assert worker.end() == 0
