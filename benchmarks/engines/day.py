"""What a background job costs through the job engine, and whether its tables stay as small as they were.

``python -m benchmarks.engines.day [--jobs 100000]``: jobs that do nothing, through ``app.jobs.engine`` as in the
service, on PostgreSQL (needs its programs) and in memory.
"""

import argparse
import asyncio
import time

import psycopg

from app.database.schema import upgrade
from app.jobs.bell import Bell
from app.jobs.engine import SCHEMA, PgQueuerEngine
from app.jobs.port import Job
from app.jobs.wakeups import Wakeups
from tests.servers.postgres import Postgres

_TOGETHER = 1_000


async def run(count: int, url: str | None) -> tuple[float, float]:
    """Seconds, and processor seconds of this process, of so many jobs."""
    wakeups, left, done = Wakeups(), set[str](), 0
    some_done = asyncio.Event()

    async def keys() -> list[str]:
        return sorted(left)

    async def nothing(key: str) -> None:
        nonlocal done
        left.discard(key)
        done += 1
        if not left:
            some_done.set()

    bell = None if url is None else Bell(url, wakeups)
    job = Job(name="nothing", keys=keys, run=nothing, every_seconds=600, at_once=_TOGETHER)
    engine = PgQueuerEngine([job], wakeups, url=url, bell=bell)
    if bell is not None:
        bell.start()
    engine.start()
    await asyncio.sleep(1)
    begun, processor = time.perf_counter(), time.process_time()
    for first in range(0, count, _TOGETHER):
        some_done.clear()
        left.update(str(number) for number in range(first, min(count, first + _TOGETHER)))
        wakeups.jobs.fire("nothing")
        await some_done.wait()
    spent = time.perf_counter() - begun, time.process_time() - processor
    await asyncio.sleep(1)
    await engine.stop()
    if bell is not None:
        await bell.stop()
    assert done >= count
    return spent


def octets(url: str) -> dict[str, int]:
    """The size of each table of the engine, with its indexes."""
    question = "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables WHERE schemaname = %s"
    with psycopg.connect(url) as db:
        return dict(db.execute(question, [SCHEMA]).fetchall())


def main(count: int) -> None:
    with Postgres.start(fsync=True) as postgres:
        url = postgres.create_database()
        upgrade(url)
        before = octets(url)
        seconds, processor = asyncio.run(run(count, url))
        after = octets(url)
        with psycopg.connect(url, autocommit=True) as db:
            rows = db.execute(f"SELECT count(*) FROM {SCHEMA}.pgqueuer").fetchone()
            logged = db.execute(f"SELECT count(*) FROM {SCHEMA}.pgqueuer_log").fetchone()
            db.execute(f"TRUNCATE {SCHEMA}.pgqueuer_log")  # as the engine does once an hour
            db.execute(f"VACUUM {SCHEMA}.pgqueuer")  # as autovacuum does
        forgotten = octets(url)
    memory_seconds, memory_processor = asyncio.run(run(count, None))
    print(
        f"{count} jobs: {count / seconds:.0f} a second, {1000 * processor / count:.2f} ms of processor each"
    )
    print(
        f"in memory: {count / memory_seconds:.0f} a second, {1000 * memory_processor / count:.2f} ms of processor each"
    )
    print(f"left in the queue: {rows}; in the log: {logged}")
    for name in sorted(before):
        print(f"{name}: {before[name]} octets before, {after[name]} after, {forgotten[name]} an hour later")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    main(parser.parse_args().jobs)
