"""A worker in a process of its own, to be asked from another one, or killed.

``python -m tests.contract.jobs_process URL EXECUTOR_ID DIRECTORY``: its one job, ``work``, leaves a file
``begun``, waits while there is a file ``hold``, and then adds a line to the file ``done``. Ends on SIGTERM.
"""

import asyncio
import signal
import sys
from pathlib import Path

from app.jobs.engine import create_engine
from app.jobs.port import Job


async def serve(url: str, executor_id: str, directory: Path) -> None:
    async def work() -> None:
        (directory / "begun").touch()
        while (directory / "hold").exists():
            await asyncio.sleep(0.02)
        with (directory / "done").open("a") as done:
            done.write("once\n")

    async def nothing_by_itself() -> bool:
        return False

    engine = create_engine(
        database_url=url,
        executor_id=executor_id,
        jobs=[Job(name="work", run=work, has_work=nothing_by_itself)],
        runs_jobs=True,
        poll_seconds=0.1,
    )
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    await engine.start()
    if (directory / "ask").exists():
        engine.ask("work")
    (directory / "ready").touch()
    await told_to_end.wait()
    await engine.stop(within_seconds=5)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
