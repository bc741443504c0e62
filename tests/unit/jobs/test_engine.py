"""What is particular to this engine: what it writes, what it keeps, where it logs. On SQLite."""

import asyncio
import base64
import logging
import pickle
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from app.jobs.engine import create_engine
from app.jobs.port import Job


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def rows(file: Path) -> list[tuple[str, str]]:
    """What the engine remembers of runs: (status, everything that it stored of the outcome)."""
    with sqlite3.connect(file) as connection:
        found = connection.execute(
            "SELECT status, coalesce(error, '') || coalesce(output, '') FROM workflow_status"
        ).fetchall()
    connection.close()
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def do_nothing() -> None:
    pass


async def fail() -> None:
    raise ValueError("the password is swordfish")


async def test_ticks_that_find_nothing_leave_no_row_in_the_engine(file: Path) -> None:
    looks = 0

    async def nothing_to_do() -> bool:
        nonlocal looks
        looks += 1
        return False

    idle = Job(name="idle", run=do_nothing, has_work=nothing_to_do, every_seconds=0.01)
    engine = create_engine(database_url=f"sqlite:///{file}", executor_id="a", jobs=[idle], runs_jobs=True)
    await engine.start()
    await until(lambda: looks >= 10)
    assert rows(file) == []
    engine.ask("idle")
    await until(lambda: [status for status, _ in rows(file)] == ["SUCCESS"])
    await engine.stop(within_seconds=1)


async def test_a_failed_run_is_marked_without_the_text_of_its_error(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Job(name="failing", run=fail)
    engine = create_engine(database_url=f"sqlite:///{file}", executor_id="a", jobs=[failing], runs_jobs=True)
    await engine.start()
    await until(lambda: [status for status, _ in rows(file)] == ["ERROR"])
    await engine.stop(within_seconds=1)
    assert "swordfish" not in rows(file)[0][1]
    assert not [record for record in caplog.records if record.name.startswith("dbos")]


async def test_ended_runs_are_forgotten_by_age(file: Path) -> None:
    url = f"sqlite:///{file}"
    jobs = [Job(name="ends", run=do_nothing), Job(name="fails", run=fail)]
    engine = create_engine(database_url=url, executor_id="a", jobs=jobs, runs_jobs=True)
    await engine.start()
    await until(lambda: sorted(status for status, _ in rows(file)) == ["ERROR", "SUCCESS"])
    await engine.stop(within_seconds=1)

    keeps_long = create_engine(
        database_url=url, executor_id="a", jobs=[], runs_jobs=True, keep_runs=timedelta(hours=1)
    )
    await keeps_long.start()
    await asyncio.sleep(0.3)
    assert len(rows(file)) == 2
    await keeps_long.stop(within_seconds=1)

    keeps_none = create_engine(
        database_url=url, executor_id="a", jobs=[], runs_jobs=True, keep_runs=timedelta(seconds=-2)
    )
    await keeps_none.start()
    await until(lambda: rows(file) == [])
    await keeps_none.stop(within_seconds=1)


def leave(file: Path, run_id: str, job: str = "work", **columns: object) -> None:
    """A record as a process leaves it that was killed an hour ago: that of the one run there is, with changes."""
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM workflow_status").fetchone())
        hour = 3_600_000
        row |= {"workflow_uuid": run_id, "status": "PENDING", "output": None, "completed_at": None}
        row |= {name: row[name] - hour for name in ("created_at", "updated_at")} | columns
        names = ", ".join(row)
        connection.execute(
            f"INSERT INTO workflow_status ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )
        given = base64.b64encode(pickle.dumps({"args": (job, "an earlier life"), "kwargs": {}})).decode()
        connection.execute(
            "INSERT INTO workflow_input (workflow_uuid, inputs) VALUES (?, ?)", [run_id, given]
        )
    connection.close()


def status_of(file: Path, run_id: str) -> str:
    with sqlite3.connect(file) as connection:
        question = "SELECT status FROM workflow_status WHERE workflow_uuid = ?"
        status: str = connection.execute(question, [run_id]).fetchone()[0]
    connection.close()
    return status


async def test_records_of_runs_that_nobody_works_on_are_ended_and_those_of_the_living_are_not(
    file: Path,
) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1

    async def workers() -> set[str]:
        return {"alive", "a"}

    async def has_work() -> bool:
        return runs == 0

    url = f"sqlite:///{file}"
    jobs = [
        Job(name="work", run=run, has_work=has_work, every_seconds=0.05, workers=workers),
        Job(name="silent", run=do_nothing, has_work=has_work),
    ]
    first = create_engine(database_url=url, executor_id="a", jobs=jobs[:1], runs_jobs=True)
    await first.start()
    await until(lambda: [status for status, _ in rows(file)] == ["SUCCESS"])
    await first.stop(within_seconds=1)
    leave(file, "of the dead", executor_id="dead")
    leave(file, "of another version", executor_id="a", application_version="0")
    leave(
        file,
        "never taken",
        executor_id="dead",
        application_version="0",
        status="ENQUEUED",
        queue_name="bells",
    )
    leave(file, "of the living", executor_id="alive")
    leave(file, "of a moment ago", executor_id="dead", created_at=int(time.time() * 1000))
    leave(file, "of a job that is unknown here", "gone", executor_id="dead")
    leave(file, "of a job that cannot tell", "silent", executor_id="dead")
    runs = 0
    engine = create_engine(database_url=url, executor_id="a", jobs=jobs, runs_jobs=True)
    await engine.start()
    ended = ["of the dead", "of another version", "never taken", "of a job that is unknown here"]
    await until(lambda: all(status_of(file, run_id) == "CANCELLED" for run_id in ended))
    await until(lambda: runs == 1)
    for run_id in ("of the living", "of a moment ago", "of a job that cannot tell"):
        assert status_of(file, run_id) == "PENDING"
    await engine.stop(within_seconds=1)


async def test_what_the_engine_has_to_say_goes_where_our_logs_go(file: Path) -> None:
    engine = create_engine(database_url=f"sqlite:///{file}", executor_id="a", jobs=[], runs_jobs=True)
    await engine.start()
    logger = logging.getLogger("dbos")
    assert (logger.handlers, logger.propagate, logger.level) == ([], True, logging.WARNING)
    await engine.stop(within_seconds=1)
