"""Counts what an earlier version stored into the running sums, in steps so small that no writer waits long.

How far it came stands beside the sums, and is committed with them: a process that dies in between leaves the rest to
the next look.
"""

from functools import partial

from app.database import Database
from app.jobs.port import Job
from app.messages import sums

MESSAGES_PER_STEP = 2_000
_LOOK_EVERY_SECONDS = 600.0
_EVERYTHING = "all"


def counting(database: Database) -> Job:
    """Counts until all that is stored is in the sums."""

    async def keys() -> list[str]:
        return [_EVERYTHING] if await database.read(sums.is_counting) else []

    async def run(_everything: str) -> None:
        await count_to_the_end(database)

    return Job(name="count_messages", keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)


async def count_to_the_end(database: Database, *, most: int = MESSAGES_PER_STEP) -> None:
    """Step by step, ``most`` messages in each. Raises StorageFailed."""
    step = partial(sums.count_some, most=most)
    while await database.write(step, durable=False, is_long=True):
        pass
