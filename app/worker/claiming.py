"""What a worker does when it claims, in one transaction for all that it takes up."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from app.ledger import beginnings
from app.ledger.beginnings import Beginning
from app.mailboxes.models import MailboxId, Pace
from app.runs import claims
from app.runs import repository as runs
from app.runs.admission.slots import Capacity
from app.runs.claims import Limits
from app.runs.models import SyncId
from app.runs.repository import Claim

DUE_PER_CLAIM = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim came to: how many mailboxes were ``due``, which syncs are ours now, and what they begin with.

    ``begun``: see ``beginnings.read_claimed``. ``cancelled``: for which of our syncs a cancel was asked.
    """

    cancelled: Collection[SyncId] = ()
    due: int = 0
    claims: Sequence[Claim] = ()
    begun: Mapping[MailboxId, Beginning] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """A claim of up to ``free`` syncs.

    ``lapsed``: our own claims whose leases are renewed first. ``watched``: our syncs for which somebody may have asked
    for a cancel. The rest: see ``claims.claim``.
    """

    worker: str
    now: datetime
    lease_seconds: float
    free: int
    limits: Limits
    behind: str
    capacity: Capacity
    paces: Sequence[Pace]
    lapsed: Sequence[Claim]
    watched: Sequence[SyncId]

    def __call__(self, db: Session) -> Taken:
        until = self.now + timedelta(seconds=self.lease_seconds)
        if self.lapsed:
            claims.renew(db, self.lapsed, until=until)
        if not (work := claims.look(db, now=self.now)):
            return Taken(self._cancelled(db))
        due = claims.request_due(db, now=self.now, limit=DUE_PER_CLAIM) if work.are_due else 0
        claimed = claims.claim(
            db,
            worker=self.worker,
            limit=self.free,
            now=self.now,
            lease_expires_at=until,
            limits=self.limits,
            behind=self.behind,
            capacity=self.capacity,
            paces=self.paces,
            work=work,
        )
        taken_over = [claim.sync_id for claim in claimed] if work.are_lost else []
        begun = beginnings.read_claimed(db, [claim.mailbox_id for claim in claimed], now=self.now)
        return Taken(self._cancelled(db, *taken_over), due, claimed, begun)

    def _cancelled(self, db: Session, *more: SyncId) -> Collection[SyncId]:
        asked = [*self.watched, *more]
        return runs.cancelled_among(db, asked) if asked else ()
