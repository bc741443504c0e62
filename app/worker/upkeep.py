"""Upkeep: what every worker sees to in its own rhythm, beside the syncs, so that nobody who is frozen, died or had a
wrong clock holds others up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlmodel import Session

from app.database import Database
from app.jobs.periodic import Periodic
from app.maildrops import learnt
from app.runs import repository as runs
from app.runs.models import SyncId
from app.worker.clock_skew import pull_back_plans, shorten_leases
from app.worker.removal import remove_some

_LOOKS_PER_LEASE = 6
_FROZEN_PER_LEASE = 3
_PLANS_EVERY_SECONDS = 60.0
_FORGET_EVERY_SECONDS = 3600.0
_FORGOTTEN_PER_BATCH = 1_000
_FROM_THE_FIRST = SyncId(0)

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """``keep_finished``, ``keep_quiet``: for how long ended syncs, and polls that found nothing, stay (None: ever)."""

    database: Database
    clock: Callable[[], datetime]
    lease_seconds: float
    tick_seconds: float
    keep_finished: timedelta | None = None
    keep_quiet: timedelta | None = None

    def add_to(self, periodic: Periodic) -> None:
        """Have it done."""
        often = self.lease_seconds / _LOOKS_PER_LEASE
        periodic.add("end_frozen", self.end_frozen, every_seconds=often)
        periodic.add("shorten_leases", self.shorten_leases, every_seconds=often)
        periodic.add("pull_back_plans", self.pull_back_plans, every_seconds=_PLANS_EVERY_SECONDS)
        periodic.add("remove_mailboxes", self.remove_mailboxes, every_seconds=self.tick_seconds)
        periodic.add("forget_syncs", self.forget_syncs, every_seconds=_FORGET_EVERY_SECONDS)

    async def end_frozen(self) -> None:
        """End transactions in which nothing was heard for a third of a lease."""
        if ended := await self.database.end_frozen(idle_seconds=self.lease_seconds / _FROZEN_PER_LEASE):
            _log.warning("frozen_transactions_ended", count=ended)

    async def shorten_leases(self) -> None:
        """Cut leases that only a wrong clock can have made."""
        cut = partial(shorten_leases, now=self.clock(), seconds=self.lease_seconds)
        if count := await self.database.write(cut, durable=False):
            _log.warning("leases_shortened", count=count)

    async def pull_back_plans(self) -> None:
        """Let be due what only a wrong clock can have planned."""
        if count := await self.database.write(partial(pull_back_plans, now=self.clock()), durable=False):
            _log.warning("plans_pulled_back", count=count)

    async def remove_mailboxes(self) -> None:
        """Remove what belongs to removed mailboxes, in steps, so that nobody waits long."""
        while await self.database.write(remove_some, durable=False, is_long=True):
            pass

    async def forget_syncs(self) -> None:
        """Forget what ended long ago, and what nobody learnt again, in batches."""
        if self.keep_finished is None:
            return
        reached: SyncId | None = _FROM_THE_FIRST
        while reached is not None:
            reached = await self.database.write(
                partial(self._forget_some, now=self.clock(), behind=reached), durable=False
            )

    def _forget_some(self, db: Session, *, now: datetime, behind: SyncId) -> SyncId | None:
        assert self.keep_finished is not None
        learnt.forget_old(db, now=now)
        return runs.forget_finished(
            db,
            before=now - self.keep_finished,
            quiet_before=now - min(self.keep_quiet or self.keep_finished, self.keep_finished),
            after=behind,
            limit=_FORGOTTEN_PER_BATCH,
        )
