"""Procrastinate. Usage: python -m benchmarks.engines.peers.procrastinate_ URL JOBS."""

import sys
from importlib.metadata import version
from typing import Any

import procrastinate

from benchmarks.engines.turn import AT_ONCE, BULK, Bodies, in_a_loop, in_background, play


def main(url: str, count: str) -> None:
    bodies, run = Bodies(), in_a_loop()
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    async def nothing() -> None:
        bodies.ran()

    task = app.task(name="nothing")(nothing)
    run(_opened(app))
    run(app.schema_manager.apply_schema_async())
    run(in_background(app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=False)))

    def queue(jobs: int) -> None:
        for first in range(0, jobs, BULK):
            run(task.batch_defer_async(*[{}] * min(BULK, jobs - first)))

    play(f"Procrastinate {version('procrastinate')}", queue, bodies, int(count))


async def _opened(app: Any) -> None:
    await app.open_async()


if __name__ == "__main__":
    main(*sys.argv[1:])
