"""Gives room back to the disk while the service runs, in steps so small that no writer waits long. SQLite only."""

import asyncio
from functools import partial

from app.database import Database
from app.database.vacuum import give_back, pages
from app.jobs.port import Job

_LOOK_EVERY_SECONDS = 600.0
_PAGES_PER_STEP = 64  # of 16 KiB
_REST = 2  # it rests so many times as long as it works
_EVERYTHING = "all"


def vacuuming(database: Database) -> Job:
    """Gives back what more is free than new mail will take again soon."""

    async def keys() -> list[str]:
        if not database.is_sqlite or not (await database.read(pages)).too_many:
            return []
        return [_EVERYTHING]

    async def run(_everything: str) -> None:
        await give_back_all(database)

    return Job(name="vacuum", keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)


async def give_back_all(database: Database, *, most: int = _PAGES_PER_STEP) -> int:
    """Step by step, until enough is given back; how many steps. Raises StorageFailed."""
    loop, steps, is_more = asyncio.get_running_loop(), 0, True
    while is_more:
        begun = loop.time()
        is_more = await database.write(partial(give_back, most=most), durable=False, is_long=True)
        steps += is_more
        await asyncio.sleep((loop.time() - begun) * _REST)
    return steps
