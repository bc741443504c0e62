"""The database as a running sync sees it: it reads freely, and writes only under its lease."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlmodel import Session

from app.database import Batchable, Database
from app.ledger.models import Leased
from app.mailboxes.models import MailboxId
from app.reading.cost import Rest, Timed, give_way, no_rest
from app.runs import claims
from app.runs import completion as completions
from app.runs import repository as runs
from app.runs.claims import Turn
from app.runs.completion import Completion
from app.runs.errors import LeaseLost
from app.runs.repository import Claim
from app.runs.schemas import Report

Result = TypeVar("Result")


class Lease:
    """What a sync was claimed for, and its only way to write.

    A worker that was thought dead may come back in the middle of a sync that another runs by now. So each of its
    transactions begins with the sync's own row, by token (a fencing token); that holds the lease for longer, too. Where
    the row is not its own any more nothing is written, and LeaseLost raised.
    """

    def __init__(
        self,
        claim: Claim,
        database: Database,
        *,
        clock: Callable[[], datetime],
        seconds: float,
        rest: Rest = no_rest,
    ) -> None:
        self.claim = claim
        self._rest = rest
        self._database = database
        self._clock = clock
        self._seconds = seconds

    async def read(self, question: Callable[[Session], Result]) -> Result:
        """Ask for something, in a transaction of its own."""
        return await self._database.read(question)

    async def read_long(self, question: Callable[[Session], Result]) -> Result:
        """The same for what has hundreds of rows: no short question waits behind it."""
        answer, cost = await self._database.search(self._timed(question))
        await give_way(self._rest, cost)
        return answer

    async def write(
        self,
        change: Callable[[Leased], Result],
        *,
        report: Report,
        durable: bool = True,
        is_long: bool = False,
    ) -> Result:
        """Make a change, together with how far the sync is. ``is_long``: see ``Database.write``.

        Raises LeaseLost and StorageFailed.
        """

        def under_lease(db: Session) -> Result:
            until = self._clock() + timedelta(seconds=self._seconds)
            shown = report.kept()
            return change(runs.progress(db, self.claim, report=shown, lease_expires_at=until))

        if not is_long:
            return await self._database.write(under_lease, durable=durable)
        timed = self._timed(under_lease)
        result, cost = await self._database.write(timed, durable=durable, is_long=True)
        await give_way(self._rest, cost)
        return result

    async def end(self, completion: Completion) -> None:
        """Write the completion, which ends the lease too. Raises LeaseLost and StorageFailed."""
        await self._database.write(Batchable(completions.write, completion), durable=False)

    def _timed(self, work: Callable[..., Result]) -> Timed[Result]:
        return Timed(work, is_elsewhere=not self._database.is_sqlite)


@asynccontextmanager
async def taken(
    mailbox_id: MailboxId, database: Database, *, since: Turn, clock: Callable[[], datetime], seconds: float
) -> AsyncIterator[Lease]:
    """The lease of a mailbox for work that is no sync: one follows, which looks at what this one wrote.

    Raises LeaseLost when a sync runs, or ran ``since``: what was found out does not hold any more.
    """
    until = clock() + timedelta(seconds=seconds)
    take = partial(claims.take, mailbox_id=mailbox_id, since=since, now=clock(), lease_expires_at=until)
    claim, is_new = await database.write(take)
    try:
        yield Lease(claim, database, clock=clock, seconds=seconds)
    finally:
        give_back = partial(claims.give_back, claim=claim, is_new=is_new, now=clock())
        with suppress(LeaseLost):
            await database.write(give_back, durable=False)
