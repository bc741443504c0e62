"""Upkeep: what every worker sees to in its own rhythm, beside the syncs, so that nobody who is frozen, died or had a
wrong clock holds others up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from app.database import Database
from app.jobs.periodic import Periodic
from app.mailboxes.finding import compact_tallies, recount_tallies
from app.worker.clock_skew import pull_back_plans, shorten_leases

_LOOKS_PER_LEASE = 6
_FROZEN_PER_LEASE = 3
_PLANS_EVERY_SECONDS = 60.0
_TALLIES_EVERY_SECONDS = 10.0
_RECOUNT_EVERY_SECONDS = 3600.0

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """Sees to it six times per lease; once a minute that nothing is planned too far ahead, and more often that tallies
    do not pile up.
    """

    database: Database
    clock: Callable[[], datetime]
    lease_seconds: float

    def add_to(self, periodic: Periodic) -> None:
        """Have it done."""
        often = self.lease_seconds / _LOOKS_PER_LEASE
        periodic.add("end_frozen", self.end_frozen, every_seconds=often)
        periodic.add("shorten_leases", self.shorten_leases, every_seconds=often)
        periodic.add("pull_back_plans", self.pull_back_plans, every_seconds=_PLANS_EVERY_SECONDS)
        periodic.add("compact_tallies", self.compact_tallies, every_seconds=_TALLIES_EVERY_SECONDS)
        periodic.add("recount_tallies", self.recount_tallies, every_seconds=_RECOUNT_EVERY_SECONDS)

    async def end_frozen(self) -> None:
        """End transactions in which nothing was heard for a third of a lease."""
        if ended := await self.database.end_frozen(idle_seconds=self.lease_seconds / _FROZEN_PER_LEASE):
            _log.warning("frozen_transactions_ended", count=ended)

    async def shorten_leases(self) -> None:
        """Cut leases that only a wrong clock can have made."""
        cut = partial(shorten_leases, now=self.clock(), seconds=self.lease_seconds)
        if count := await self.database.write(cut, durable=False):
            _log.warning("leases_shortened", count=count)

    async def compact_tallies(self) -> None:
        """Sum up what tells how many mailboxes fare how."""
        await self.database.write(compact_tallies, durable=False)

    async def recount_tallies(self) -> None:
        """Count anew how many mailboxes fare how."""
        await self.database.write(recount_tallies, durable=False)

    async def pull_back_plans(self) -> None:
        """Let be due what only a wrong clock can have planned."""
        if count := await self.database.write(partial(pull_back_plans, now=self.clock()), durable=False):
            _log.warning("plans_pulled_back", count=count)
