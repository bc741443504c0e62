"""Seeing to it that batches of syncs go on: what has ended is counted, and more is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from app.database import Database
from app.jobs.periodic import Periodic
from app.mailboxes.finding import HealthAt
from app.mailboxes.health import Thresholds
from app.runs.many import batches

_EVERY_SECONDS = 1.0
_MOST_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class BatchFeeder:
    """Makes a step of each batch once a second, whoever else does so too."""

    database: Database
    work_is_due: Callable[[], None]
    clock: Callable[[], datetime]
    thresholds: Thresholds

    def add_to(self, periodic: Periodic) -> None:
        """Have it done."""
        periodic.add("sync_batches", self.feed, every_seconds=_EVERY_SECONDS)

    async def feed(self) -> None:
        """One step of each."""
        for batch_id in await self.database.read(partial(batches.unended, limit=_MOST_AT_ONCE)):
            health = HealthAt(self.thresholds, self.clock())
            step = partial(batches.step, batch_id=batch_id, health=health)
            if await self.database.write(step, durable=False, is_long=True):
                self.work_is_due()
