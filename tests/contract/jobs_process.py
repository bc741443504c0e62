"""A worker in a process of its own, to be frozen or killed.

``python -m tests.contract.jobs_process URL DIRECTORY NAME``: its one job, ``work``, does a file ``todo-KEY``: it notes
``begun-KEY-NAME``, waits while there is a file ``hold-NAME``, stalls its event loop while there is ``stall-NAME``, and
then takes the file away and adds a line to ``done``.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from app.jobs import engine as engines
from app.jobs.bell import Bell
from app.jobs.engine import PgQueuerEngine
from app.jobs.port import Job
from app.jobs.wakeups import Wakeups
from tests.contract.test_jobs import DEAD_AFTER, RESTART_SECONDS


async def serve(url: str, directory: Path, name: str) -> None:
    async def keys() -> list[str]:
        return [each.name.removeprefix("todo-") for each in directory.glob("todo-*")]

    async def work(key: str) -> None:
        (directory / f"begun-{key}-{name}").touch()
        while (directory / f"stall-{name}").exists():
            time.sleep(0.02)  # nothing else runs in this loop: no heartbeat either
        while (directory / f"hold-{name}").exists():
            await asyncio.sleep(0.02)
        (directory / f"todo-{key}").unlink(missing_ok=True)
        with (directory / "done").open("a") as done:
            done.write(f"{key} {name}\n")

    engines._DEAD_AFTER, engines._RESTART_SECONDS = DEAD_AFTER, RESTART_SECONDS
    engines._LOOK_EVERY = DEAD_AFTER / 4
    wakeups = Wakeups()
    bell = Bell(url, wakeups)
    job = Job(name="work", keys=keys, run=work, every_seconds=0.2, at_once=2)
    engine = PgQueuerEngine([job], wakeups, url=url, bell=bell)
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    bell.start()
    engine.start()
    (directory / f"ready-{name}").touch()
    await told_to_end.wait()
    await engine.stop()
    await bell.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
