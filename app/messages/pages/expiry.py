"""SQL of messages whose contents are kept no longer: what is due, what becomes of it, what readers are told.

A message expires with its headers kept, and its row stays without contents; or whole, and leaves its place alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, literal, true, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select

from app.access.reach import Reach
from app.database import PreparedStatement
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.repository import with_label
from app.messages import repository, sums
from app.messages.letters.contents import Packer
from app.messages.models import NO_CONTENT, ExpiredMessage, Message, MessageSeq
from app.messages.pages.search import Wanted

NOTHING_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
EXPIRED = SQLModel.metadata.tables["expired_messages"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of a mailbox that is still here, whole or with its headers alone (``has_content``)."""

    seq: MessageSeq
    retrieved_at: datetime
    octets: int
    has_content: bool


def kept(db: Session, mailbox_id: MailboxId, *, after: int, limit: int) -> list[Kept]:
    """The messages of a mailbox behind a place, in feed order."""
    query = (
        select(Message.seq, Message.retrieved_at, Message.octets, col(Message.expired_sha256).is_(None))
        .where(Message.mailbox_id == mailbox_id, col(Message.seq) > after)
        .order_by(col(Message.seq))
        .limit(limit)
    )
    return [Kept(MessageSeq(row[0]), row[1], row[2], bool(row[3])) for row in db.exec(query)]


def next_time(db: Session, mailbox_id: MailboxId, *, after: int, up_to: datetime) -> datetime | None:
    """When the first message of a mailbox behind a place was retrieved, of those that were up to a moment."""
    behind = (Message.mailbox_id == mailbox_id, col(Message.seq) > after)
    believed = col(Message.retrieved_at).between(NOTHING_BEFORE, up_to)
    return db.exec(
        select(Message.retrieved_at).where(*behind, believed).order_by(col(Message.seq)).limit(1)
    ).first()


def due_among(
    messages: Sequence[Kept], *, before: datetime, now: datetime, next_at: datetime | None, most_octets: int
) -> list[Kept]:
    """PURE  The first of these messages, in feed order, that were retrieved up to ``before``; of so many octets at
    most, but one at least.

    Places grow with time, so what stands behind one that is not due is not due either, whatever a wrong clock noted
    of it; and what was noted of a time to come, or of one before this service was written (a clock without a battery),
    was retrieved before the next one. ``next_at``: of what follows these.
    """
    due, octets = 0, 0
    for number, one in enumerate(messages, 1):
        if not NOTHING_BEFORE <= one.retrieved_at <= now:
            continue
        if one.retrieved_at > before:
            break
        due = number
    else:
        if next_at is not None and next_at <= before:
            due = len(messages)
    for number, one in enumerate(messages[:due]):
        octets += one.octets if one.has_content else 0
        if number and octets > most_octets:
            return list(messages[:number])
    return list(messages[:due])


def first_times(
    db: Session, mailbox_ids: Sequence[MailboxId], *, behind_expired: bool
) -> dict[MailboxId, datetime]:
    """When the first message of each mailbox was retrieved that is here. ``behind_expired``: the first one behind those
    that have all expired."""
    after = Mailbox.expired_to if behind_expired else literal(0)
    first = (
        select_columns(repository.MESSAGES.c.retrieved_at)
        .where(repository.MESSAGES.c.mailbox_id == col(Mailbox.id), repository.MESSAGES.c.seq > after)
        .order_by(repository.MESSAGES.c.seq)
        .limit(1)
        .correlate(SQLModel.metadata.tables["mailboxes"])
        .scalar_subquery()
    )
    rows = db.execute(select_columns(col(Mailbox.id), first).where(col(Mailbox.id).in_(mailbox_ids)))
    return {MailboxId(row[0]): row[1] for row in rows if row[1] is not None}


def expire(db: Session, messages: Iterable[Kept], *, keep_headers: bool) -> None:
    """Let the contents of these messages go. What is left: their headers, or that they were there.

    The text at the beginning of a message (its snippet) is no header, and goes too.
    """
    messages = sorted(messages, key=lambda one: one.seq)
    if keep_headers:
        _keep_headers(db, [one.seq for one in messages if one.has_content])
        return
    seqs = [one.seq for one in messages]
    columns = [
        repository.MESSAGES.c.seq,
        repository.MESSAGES.c.mailbox_id,
        repository.MESSAGES.c.retrieved_at,
    ]
    sums.hold(db)
    for some in _slices(seqs):
        rows = select_columns(*columns).where(repository.MESSAGES.c.seq.in_(some))
        db.execute(EXPIRED.insert().from_select(["seq", "mailbox_id", "retrieved_at"], rows))
        repository.remove_all(db, some)


def is_expired(db: Session, seq: MessageSeq, *, reach: Reach) -> bool:
    """Whether there was a message in reach at this place whose contents are gone."""
    for table, is_it in (
        (EXPIRED, true()),
        (repository.MESSAGES, repository.MESSAGES.c.expired_sha256.is_not(None)),
    ):
        owner = (col(Mailbox.id) == table.c.mailbox_id) & col(Mailbox.removed_at).is_(None)
        there = select_columns(table.c.seq).join_from(table, SQLModel.metadata.tables["mailboxes"], owner)
        if (
            db.execute(there.where(table.c.seq == seq, is_it, *reach.of(table.c.mailbox_id))).first()
            is not None
        ):
            return True
    return False


def expired_among(db: Session, seqs: Sequence[MessageSeq]) -> set[MessageSeq]:
    """Which of these messages have expired."""
    bare = db.exec(select(ExpiredMessage.seq).where(col(ExpiredMessage.seq).in_(seqs))).all()
    with_headers = (col(Message.seq).in_(seqs), col(Message.expired_sha256).is_not(None))
    return {MessageSeq(seq) for seq in [*bare, *db.exec(select(Message.seq).where(*with_headers)).all()]}


def between(
    db: Session, wanted: Wanted, *, reach: Reach, above: int, below: int, newest: bool, limit: int
) -> list[MessageSeq]:
    """Places between two of which nothing else is kept, as far as they may be what is asked for."""
    if wanted.looks_into_messages:
        return []
    asked = _places(wanted, reach, newest=newest)
    return [MessageSeq(row[0]) for row in asked.rows(db, {"above": above, "below": below, "most": limit})]


@lru_cache(256)
def _places(wanted: Wanted, reach: Reach, *, newest: bool) -> PreparedStatement:
    """Made once: to make a statement takes longer than to execute it."""
    place = EXPIRED.c.seq
    ours = (*_conditions(wanted), *reach.of(EXPIRED.c.mailbox_id))
    query = select_columns(place).where(place > bindparam("above"), place < bindparam("below"), *ours)
    return PreparedStatement(query.order_by(place.desc() if newest else place.asc()).limit(bindparam("most")))


def bound(db: Session, wanted: Wanted, *, above: int, below: int, newest: bool, most: int) -> int | None:
    """The place of the last of ``most`` such places to be looked at, in this order; None: there are no more of them."""
    if wanted.looks_into_messages:
        return None
    place = EXPIRED.c.seq
    query = select_columns(place).where(place > above, place < below)
    if wanted.mailbox_id is not None:
        query = query.where(EXPIRED.c.mailbox_id == wanted.mailbox_id)
    last = db.execute(query.order_by(place.desc() if newest else place.asc()).offset(most - 1).limit(2)).all()
    return last[0][0] if len(last) > 1 else None


def are_passed(db: Session, wanted: Wanted, *, reach: Reach, above: int, below: int) -> bool:
    """Whether such places lie between two, so that nobody knows whether they were what is asked for."""
    if not wanted.looks_into_messages:
        return False
    asked = _first_place(wanted.mailbox_id, reach)
    return db.connection().execute(asked, {"above": above, "below": below}).first() is not None


@lru_cache(256)
def _first_place(mailbox_id: MailboxId | None, reach: Reach) -> Select[Any]:
    """Made once, as above."""
    place = EXPIRED.c.seq
    ours = () if mailbox_id is None else (EXPIRED.c.mailbox_id == mailbox_id,)
    between = (place > bindparam("above"), place < bindparam("below"))
    return select_columns(place).where(*between, *ours, *reach.of(EXPIRED.c.mailbox_id)).limit(1)


def forget(db: Session, seq: MessageSeq, *, reach: Reach) -> bool:
    """Whether there was such a place in reach; there is none now."""
    is_it = (EXPIRED.c.seq == seq, *reach.of(EXPIRED.c.mailbox_id))
    gone = db.execute(delete(ExpiredMessage).where(*is_it))
    return bool(gone.rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def forget_some(db: Session, mailbox_id: MailboxId, *, most: int) -> bool:
    """Forget the first such places of a mailbox. False: there was none."""
    ours = EXPIRED.c.mailbox_id == mailbox_id
    first = select_columns(EXPIRED.c.seq).where(ours).order_by(EXPIRED.c.seq).limit(most)
    rows = db.execute(first).all()
    if rows:
        db.execute(delete(ExpiredMessage).where(ours, col(ExpiredMessage.seq) <= rows[-1][0]))
    return bool(rows)


def _keep_headers(db: Session, seqs: Sequence[MessageSeq]) -> None:
    if not seqs:
        return
    (nothing,) = Packer().pack([NO_CONTENT])
    repository.add_contents(db, [{"sha256": NO_CONTENT, "octets": 0, "blocks": 1, "data": nothing.first}])
    held = sums.hold(db)
    for some in _slices(seqs):
        expired = (
            update(Message)
            .where(col(Message.seq).in_(some), col(Message.expired_sha256).is_(None))
            .values(expired_sha256=col(Message.raw_sha256), raw_sha256=NO_CONTENT, snippet="")
            .returning(col(Message.mailbox_id), col(Message.seq), col(Message.octets))
        )
        sums.subtract(db, [sums.Gone(*row) for row in db.execute(expired)], held)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.mailbox_id is not None:
        conditions.append(EXPIRED.c.mailbox_id == wanted.mailbox_id)
    if wanted.mailbox_ids:
        conditions.append(EXPIRED.c.mailbox_id.in_(wanted.mailbox_ids))
    if wanted.outside:
        conditions.append(EXPIRED.c.mailbox_id.not_in(wanted.outside))
    if wanted.labels:
        conditions.append(with_label(EXPIRED.c.mailbox_id, wanted.labels))
    if wanted.since is not None:
        conditions.append(EXPIRED.c.retrieved_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(EXPIRED.c.retrieved_at < wanted.until)
    return conditions


def _slices(seqs: Sequence[MessageSeq]) -> list[Sequence[MessageSeq]]:
    return [seqs[start : start + 500] for start in range(0, len(seqs), 500)]
