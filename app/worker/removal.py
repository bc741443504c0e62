"""Removes what belongs to removed mailboxes, in steps so small that no writer waits long.

The row of the mailbox goes last, and says meanwhile that there is something left: a process that dies in between
leaves the rest to the next look.
"""

from functools import partial

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.database import Database
from app.jobs.port import Job
from app.ledger.models import UniqueIdEntry
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import REMOVAL_JOB, MailboxId
from app.messages import repository as messages
from app.messages.pages import expiry
from app.runs.models import Sync

_LOOK_EVERY_SECONDS = 60.0
_MOST_KEYS = 500
_MOST_ROWS = 1_000
_MOST_MESSAGES = 200  # for nobody stores meanwhile
_MOST_OCTETS = 16 * 1024 * 1024  # of mail


def removal(database: Database) -> Job:
    """Removes what belongs to removed mailboxes, one mailbox at a time."""

    async def keys() -> list[str]:
        return [str(each) for each in (await database.read(mailboxes.removed))[:_MOST_KEYS]]

    async def run(key: str) -> None:
        step = partial(remove_some, mailbox_id=MailboxId(int(key)))
        while await database.write(step, durable=False, is_long=True):
            pass

    return Job(name=REMOVAL_JOB, keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)


def remove_some(db: Session, *, mailbox_id: MailboxId | None = None, most: int = _MOST_ROWS) -> bool:
    """One step for one removed mailbox (this one, if it is named). False: nothing is left, or others are at it."""
    mailbox_id = mailboxes.one_removed(db, mailbox_id)
    if mailbox_id is None:
        return False
    if messages.remove_some(db, mailbox_id, most=min(most, _MOST_MESSAGES), most_octets=_MOST_OCTETS):
        return True
    if expiry.forget_some(db, mailbox_id, most=most):
        return True
    for table in (UniqueIdEntry, Sync):
        first = select(table.id).where(table.mailbox_id == mailbox_id).order_by(col(table.id)).limit(most)
        if ids := db.exec(first).all():
            db.execute(
                delete(table).where(
                    col(table.mailbox_id) == mailbox_id, col(table.id) <= max(filter(None, ids))
                )
            )
            return True
    mailboxes.forget(db, mailbox_id)
    return True
