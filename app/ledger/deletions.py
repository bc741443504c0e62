"""SQL of deleting on the server: which messages may go, which were asked for, and which stay although they are due."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, and_, case, false, func, or_, tuple_, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel

from app.ledger.lines import Deletable
from app.ledger.models import EntryId, EntryState, Leased
from app.ledger.repository import LEDGER, as_known, known_columns, slices
from app.mailboxes.models import MailboxId
from app.messages.wholeness import SLACK, Doubt

# Why a message stays on the server: there is no copy of it here any more; others are listed under its unique-id.
EXPIRED, SHARED = "expired", "shared"
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]


def deletable(
    db: Session,
    mailbox_id: MailboxId,
    *,
    seen_before: datetime,
    now: datetime,
    after: Deletable | None,
    limit: int,
    short_before: datetime | None = None,
) -> list[Deletable]:
    """Lines whose message is stored and still listed, those behind ``after``, the longest known first.

    ``short_before``: also short ones that were stored up to this moment.
    Not those of an id under which several are listed, nor what the server was told to delete a short time ago.
    """
    lines, message = LEDGER.alias(), SQLModel.metadata.tables["messages"]
    query = (
        select_columns(
            *known_columns(lines),
            lines.c.first_seen_at,
            message.c.raw_sha256,
            message.c.octets,
            ~_may_be_deleted(lines, message),
        )
        .join(message, (message.c.seq == lines.c.message_seq) & message.c.expired_sha256.is_(None))
        .where(
            lines.c.mailbox_id == mailbox_id,
            lines.c.state == EntryState.STORED.value,
            lines.c.missing_since.is_(None),
            lines.c.first_seen_at <= seen_before,
            or_(lines.c.delete_after.is_(None), lines.c.delete_after <= now),
            ~_is_one_of_several(lines, mailbox_id),
            or_(_may_be_deleted(lines, message), _is_short_since(lines, message, short_before)),
        )
        # By what is null in all of them first, as the index has it, or PostgreSQL sorts the whole mailbox.
        .order_by(lines.c.missing_since, lines.c.first_seen_at, lines.c.id)
        .limit(limit)
    )
    if after is not None:
        place = tuple_(lines.c.first_seen_at, lines.c.id)
        query = query.where(place > (after.first_seen_at, after.line.entry_id))
    rows = db.connection().execute(query).all()
    known = as_known(row[:-4] for row in rows)
    return [Deletable(line, *row[-4:]) for line, row in zip(known, rows, strict=True)]


def note(db: Leased, entries: Collection[EntryId], *, until: datetime | None, is_deleted: bool) -> None:
    """Note that DELE is sent for these messages, or that it cannot be; they are not asked for again until then."""
    for ids in slices(list(entries)):
        counted = {"deletes": LEDGER.c.deletes + 1} if is_deleted else {}
        db.execute(update(LEDGER).where(LEDGER.c.id.in_(ids)).values(delete_after=until, **counted))


def note_short(db: Leased, entries: Collection[EntryId]) -> None:
    """Note that the copies of these messages are shorter than the server said: they are not deleted there."""
    for ids in slices(list(entries)):
        db.execute(update(LEDGER).where(LEDGER.c.id.in_(ids)).values(is_whole=False, doubt=Doubt.SHORT.value))


def shared(db: Session, mailbox_id: MailboxId, *, seen_before: datetime, limit: int) -> list[EntryId]:
    """Lines of messages that are due and stay, as several are listed under their unique-ids; those not noted yet."""
    lines = LEDGER.alias()
    query = select_columns(lines.c.id).where(
        lines.c.mailbox_id == mailbox_id,
        lines.c.state == EntryState.STORED.value,
        lines.c.missing_since.is_(None),
        lines.c.first_seen_at <= seen_before,
        lines.c.delete_after.is_(None),
        _is_one_of_several(lines, mailbox_id),
    )
    return [EntryId(row[0]) for row in db.execute(query.limit(limit))]


def _is_one_of_several(lines: FromClause, mailbox_id: MailboxId) -> ColumnElement[bool]:
    other = LEDGER.alias()
    several = (
        select_columns(other.c.id)
        .where(other.c.mailbox_id == mailbox_id, other.c.unique_id == lines.c.unique_id)
        .where(other.c.id != lines.c.id, other.c.missing_since.is_(None))
    )
    return several.exists()


def _may_be_deleted(lines: FromClause, message: FromClause) -> ColumnElement[bool]:
    """Confirmed when it was retrieved; of older lines what stands in them, as far as that goes. Short ones where the
    owner says so."""
    stored, listed = message.c.octets, func.coalesce(lines.c.octets, 0)
    was_alike = and_(lines.c.is_whole.is_(None), listed <= stored + SLACK, 2 * listed >= stored)
    owner = _MAILBOXES.c.id == lines.c.mailbox_id
    is_accepted = select_columns(_MAILBOXES.c.id).where(owner, _MAILBOXES.c.delete_short).exists()
    is_short = and_(func.coalesce(lines.c.doubt, "") == Doubt.SHORT.value, is_accepted)
    return or_(lines.c.is_whole.is_(True), was_alike, is_short)


def kept_though_due(
    db: Session, mailbox_id: MailboxId, *, seen_before: datetime, limit: int
) -> list[tuple[bytes, str | None]]:
    """Unique-ids that retention would delete if their copy were here and confirmed whole, and no other message had the
    same; and why they stay."""
    lines, message = LEDGER.alias(), SQLModel.metadata.tables["messages"]
    expired = SQLModel.metadata.tables["expired_messages"]
    is_bare = select_columns(expired.c.seq).where(expired.c.seq == lines.c.message_seq).exists()
    has_expired = or_(message.c.expired_sha256.is_not(None), is_bare)
    is_shared = _is_one_of_several(lines, mailbox_id)
    reason = case((has_expired, EXPIRED), (~_may_be_deleted(lines, message), lines.c.doubt), else_=SHARED)
    query = (
        select_columns(lines.c.unique_id, reason)
        .join(message, message.c.seq == lines.c.message_seq, isouter=True)
        .where(
            lines.c.mailbox_id == mailbox_id,
            lines.c.state == EntryState.STORED.value,
            lines.c.missing_since.is_(None),
            lines.c.first_seen_at <= seen_before,
            or_(has_expired, message.c.seq.is_not(None) & or_(~_may_be_deleted(lines, message), is_shared)),
        )
        .order_by(lines.c.missing_since, lines.c.first_seen_at, lines.c.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in db.execute(query)]


def _is_short_since(lines: FromClause, message: FromClause, before: datetime | None) -> ColumnElement[bool]:
    if before is None:
        return false()
    return and_(lines.c.doubt == Doubt.SHORT.value, message.c.retrieved_at <= before)
