"""Ending tasks, also those that let a cancellation slip.

Python 3.11's ``asyncio.wait_for`` drops it when what it waits for is done in the same moment, and the database driver
and the job engine are built on that; such a task would go on, and a service that waits for its end would never stop.
"""

import asyncio
from collections.abc import Collection

_ASK_AGAIN_SECONDS = 2.0  # so long may a task take to put its things away


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel them, and again while they run on, until all have ended."""
    pending: Collection[asyncio.Task[None]] = tasks
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_ASK_AGAIN_SECONDS)
