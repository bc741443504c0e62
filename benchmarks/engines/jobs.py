"""Background jobs of ours. Usage: python -m benchmarks.engines.jobs URL JOBS, with postgresql://… or memory:

As in the service: rows say what is to be done, and the engine (PgQueuer, by our driver) is filled from them.
"""

import sys
from importlib.metadata import version
from itertools import count

from app.database.schema import upgrade
from app.jobs.bell import Bell
from app.jobs.engine import PgQueuerEngine
from app.jobs.port import Job
from app.jobs.wakeups import Wakeups
from benchmarks.engines.turn import AT_ONCE, Bodies, in_a_loop, play


def main(url: str, jobs: str) -> None:
    bodies, run, wakeups = Bodies(), in_a_loop(), Wakeups()
    numbers, left = count(), set[str]()

    async def keys() -> list[str]:
        return sorted(left)

    async def nothing(key: str) -> None:
        left.discard(key)
        bodies.ran()

    async def start() -> None:
        bell = None
        if url.startswith("postgresql:"):
            bell = Bell(url, wakeups)
            bell.start()
        job = Job(name="nothing", keys=keys, run=nothing, every_seconds=600, at_once=AT_ONCE)
        PgQueuerEngine([job], wakeups, url=url if bell else None, bell=bell).start()

    async def ask(some: int) -> None:
        left.update(str(next(numbers)) for _ in range(some))
        wakeups.jobs.fire("nothing")

    if url.startswith("postgresql:"):
        upgrade(url)
    run(start())
    play(f"PgQueuer {version('pgqueuer')}", lambda some: run(ask(some)), bodies, int(jobs))


if __name__ == "__main__":
    main(*sys.argv[1:])
