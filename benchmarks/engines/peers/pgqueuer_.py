"""PgQueuer. Usage: python -m benchmarks.engines.peers.pgqueuer_ URL JOBS asyncpg|psycopg."""

import sys
from importlib.metadata import version
from typing import Any

import asyncpg
import pgqueuer
import psycopg

from benchmarks.engines.turn import BULK, Bodies, in_a_loop, in_background, play


async def _queries(url: str, driver: str) -> Any:
    """By a connection of their own: one that listens is locked while it does, with psycopg."""
    if driver == "asyncpg":
        return pgqueuer.Queries(pgqueuer.AsyncpgDriver(await asyncpg.connect(url)))
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    return pgqueuer.Queries(pgqueuer.PsycopgDriver(connection))


def main(url: str, count: str, driver: str) -> None:
    bodies, run = Bodies(), in_a_loop()
    asks, works = run(_queries(url, driver)), run(_queries(url, driver))
    run(asks.install())
    manager = pgqueuer.QueueManager(works)

    async def nothing(_job: pgqueuer.Job) -> None:
        bodies.ran()

    manager.entrypoint("nothing")(nothing)
    run(in_background(manager.run()))

    def queue(jobs: int) -> None:
        for first in range(0, jobs, BULK):
            some = min(BULK, jobs - first)
            run(asks.enqueue(["nothing"] * some, [None] * some, [0] * some))

    play(f"PgQueuer {version('pgqueuer')}, {driver} {version(driver)}", queue, bodies, int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
