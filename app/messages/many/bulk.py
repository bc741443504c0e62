"""SQL of deleting many messages at once: how many there are, and the next of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col

from app.access.reach import Reach
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.repository import with_label
from app.messages.models import NO_CONTENT, MessageSeq
from app.messages.sums import Stored

_MESSAGES = SQLModel.metadata.tables["messages"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
_STORED_OCTETS = case((_MESSAGES.c.raw_sha256 != NO_CONTENT, _MESSAGES.c.octets), else_=0)


@dataclass(frozen=True, slots=True)
class Doomed:
    """Which messages are to be deleted; None or empty: any. ``before``: those retrieved before this moment."""

    mailbox_ids: tuple[MailboxId, ...] = ()
    labels: tuple[str, ...] = ()
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DoomedMessage:
    """One of them, and whose it is."""

    seq: MessageSeq
    mailbox_id: MailboxId


def counted(db: Session, doomed: Doomed, *, reach: Reach) -> Stored:
    """How many messages in reach these are, and the octets that are stored of them: none of one that expired with its
    headers kept. Looks at each of them, and at none out of reach."""
    query = select_columns(func.count(), func.coalesce(func.sum(_STORED_OCTETS), 0))
    row = db.execute(query.where(*_conditions(doomed, reach.among(_MESSAGES.c.mailbox_id)))).one()
    return Stored(row[0], int(row[1]))


def next_some(
    db: Session, doomed: Doomed, *, reach: Reach, after: MessageSeq, most: int, most_octets: int
) -> list[DoomedMessage]:
    """The next of them in feed order: of so many octets at most, but one at least."""
    columns = (_MESSAGES.c.seq, _MESSAGES.c.mailbox_id, _STORED_OCTETS)
    query = select_columns(*columns).where(_MESSAGES.c.seq > after)
    rows = db.execute(
        query.where(*_conditions(doomed, reach.of(_MESSAGES.c.mailbox_id)))
        .order_by(_MESSAGES.c.seq)
        .limit(most)
    ).all()
    return list(_within(rows, most_octets))


def _within(rows: Iterable[Any], most_octets: int) -> Sequence[DoomedMessage]:
    found: list[DoomedMessage] = []
    octets = 0
    for seq, mailbox_id, size in rows:
        octets += size
        if found and octets > most_octets:
            break
        found.append(DoomedMessage(MessageSeq(seq), MailboxId(mailbox_id)))
    return found


def _conditions(doomed: Doomed, within: Iterable[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    is_there = select_columns(_MAILBOXES.c.id).where(
        _MAILBOXES.c.id == _MESSAGES.c.mailbox_id, col(Mailbox.removed_at).is_(None)
    )
    conditions: list[ColumnElement[bool]] = [is_there.exists(), *within]
    if doomed.mailbox_ids:
        conditions.append(_MESSAGES.c.mailbox_id.in_(doomed.mailbox_ids))
    if doomed.labels:
        conditions.append(with_label(_MESSAGES.c.mailbox_id, doomed.labels))
    if doomed.before is not None:
        conditions.append(_MESSAGES.c.retrieved_at < doomed.before)
    return conditions
