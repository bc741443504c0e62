"""SQL of mail that was imported from files: what of it is there already, and its lines."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from app.database import PreparedStatement
from app.ledger.entries import Row
from app.ledger.lines import Known, MaildropId
from app.ledger.models import EntryState
from app.ledger.repository import KNOWN, LEDGER, as_known, slices
from app.messages.models import Message

# Messages that are looked at for those that a program has written status fields into.
_MOST_OF_THREADS = 2_000
_WAITING = and_(
    LEDGER.c.mailbox_id == bindparam("mailbox"),
    LEDGER.c.state == EntryState.IMPORTED.value,
    LEDGER.c.missing_since.is_not(None),
)
_IS_ANY_WAITING = PreparedStatement(select_columns(LEDGER.c.id).where(_WAITING).limit(1))


def stored_among(
    db: Session,
    maildrop: MaildropId,
    *,
    contents: Collection[bytes],
    raw: Collection[bytes],
    ids: Collection[bytes],
    threads: Collection[bytes],
    below: int | None = None,
) -> set[bytes]:
    """Which of these content digests are of messages that are stored in the mailbox and have not expired: as the ledger
    has them, or by the digests of the octets (``raw``).

    ``ids``: those of lines of imports. ``threads``: of messages that may be there with other fields of status.
    ``below``: only messages before this place.
    """
    found: set[bytes] = set()
    ours = LEDGER.c.mailbox_id == maildrop.mailbox_id
    before: list[ColumnElement[bool]] = [col(Message.expired_sha256).is_(None)]  # else it is not here
    if below is not None:
        before.append(col(Message.seq) < below)
    lines = select_columns(LEDGER.c.content_sha256).join(Message, col(Message.seq) == LEDGER.c.message_seq)
    for some in slices(list(ids)):
        found |= set(db.execute(lines.where(ours, LEDGER.c.unique_id.in_(some), *before)).scalars())
    for some in slices(list(contents)):
        is_missing = and_(LEDGER.c.missing_since.is_not(None), LEDGER.c.content_sha256.in_(some))
        found |= set(db.execute(lines.where(ours, is_missing, *before)).scalars())
    stored = select_columns(col(Message.raw_sha256)).where(col(Message.mailbox_id) == maildrop.mailbox_id)
    for some in slices(list(raw)):
        found |= set(db.execute(stored.where(col(Message.raw_sha256).in_(some), *before)).scalars())
    if threads:
        found |= _in_threads(db, maildrop, threads, before) & set(contents)
    return found


def _in_threads(
    db: Session, maildrop: MaildropId, threads: Collection[bytes], before: Sequence[Any]
) -> set[bytes]:
    """The content digests of stored messages of some threads; of large threads the latest ones."""
    of_threads = (
        select_columns(col(Message.unique_id), col(Message.occurrence))
        .where(
            col(Message.thread_id).in_(list(threads)), col(Message.mailbox_id) == maildrop.mailbox_id, *before
        )
        .order_by(col(Message.seq).desc())
        .limit(_MOST_OF_THREADS)
        .subquery()
    )
    lines = select_columns(LEDGER.c.content_sha256).join(
        of_threads,
        and_(LEDGER.c.unique_id == of_threads.c.unique_id, LEDGER.c.occurrence == of_threads.c.occurrence),
    )
    return set(db.execute(lines.where(LEDGER.c.mailbox_id == maildrop.mailbox_id)).scalars())


def write_imported(db: Session, rows: Sequence[Row]) -> None:
    """Write the lines of messages that were imported; one that was imported before, and is gone since, once more."""
    table = SQLModel.metadata.tables["unique_ids"]
    made = postgresql.insert if db.get_bind().dialect.name == "postgresql" else sqlite.insert
    insert = made(table)
    names = ("state", "octets", "message_seq", "missing_since", "content_sha256", "generation", "reason")
    statement = insert.on_conflict_do_update(
        index_elements=["mailbox_id", "unique_id", "occurrence"],
        set_={name: insert.excluded[name] for name in names},
    )
    db.execute(statement, rows)


def imported_with(db: Session, maildrop: MaildropId, *, contents: Sequence[bytes]) -> list[Known]:
    """Lines of imports with one of these contents that no listing has shown yet. Most mailboxes have no imports at all,
    which one look into an index tells."""
    if _IS_ANY_WAITING.rows(db, {"mailbox": maildrop.mailbox_id}).first() is None:
        return []
    waiting = and_(_WAITING, LEDGER.c.generation == maildrop.generation)
    found: list[Known] = []
    for some in slices(contents):
        lines = KNOWN.where(waiting, LEDGER.c.content_sha256.in_(some))
        found += as_known(db.connection().execute(lines, {"mailbox": maildrop.mailbox_id}))
    return found
