"""Removes what belongs to removed mailboxes, in steps so small that no writer waits long.

The row of the mailbox goes last, and says meanwhile that there is something left: a process that dies in between
leaves the rest to the next look.
"""

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.ledger.models import UniqueIdEntry
from app.mailboxes import repository as mailboxes
from app.messages import repository as messages
from app.runs.models import Sync

_MOST_ROWS = 1_000
_MOST_OCTETS = 16 * 1024 * 1024  # of mail


def remove_some(db: Session, *, most: int = _MOST_ROWS) -> bool:
    """One step for one removed mailbox. False: nothing is left of any, or others are at it."""
    mailbox_id = mailboxes.one_removed(db)
    if mailbox_id is None:
        return False
    if messages.remove_some(db, mailbox_id, most=most, most_octets=_MOST_OCTETS):
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
