"""SQL of the headers by which the feed can be filtered, and of how far stored messages have been read for them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, update
from sqlmodel import Session, SQLModel, col, exists, select

from app.messages.indexed.indexed_headers import IndexDigest, IndexedHeaders
from app.messages.models import Feed, HeaderIndexing, Message, MessageHeader, MessageSeq

_PLACES_LOOKED_AT = 10_000  # at once: most have been read, once all have


@dataclass(frozen=True, slots=True)
class ToIndex:
    """Places and content digests of the messages behind the place ``done`` up to ``reached``, in order."""

    messages: Sequence[tuple[MessageSeq, bytes]]
    done: int
    reached: int


def add(db: Session, rows: Iterable[tuple[MessageSeq, str, str]]) -> None:
    """Store names and values of messages, as they are compared."""
    if given := [{"seq": seq, "name": name, "value": value} for seq, name, value in rows]:
        db.execute(insert(SQLModel.metadata.tables["message_headers"]), given)


def replace(
    db: Session, seq: MessageSeq, values: Iterable[tuple[str, str]], digest: IndexDigest | None
) -> None:
    """Store what a message has instead of what is there, if the message is there."""
    marked = update(Message).where(col(Message.seq) == seq).values(headers_indexed=digest)
    is_there = db.execute(marked).rowcount  # type: ignore[attr-defined]  # a CursorResult has it
    db.execute(delete(MessageHeader).where(col(MessageHeader.seq) == seq))
    if is_there:
        add(db, [(seq, name, value) for name, value in values])


def is_one_of(name: str, values: Collection[str]) -> ColumnElement[bool]:
    """Of a row: the header of this name has one of these values."""
    return (col(MessageHeader.name) == name) & col(MessageHeader.value).in_(values)


def message_has(name: str, values: Collection[str]) -> ColumnElement[bool]:
    """Of a message, looked at alone."""
    return exists().where(col(MessageHeader.seq) == Message.seq, is_one_of(name, values))


def begin(db: Session, indexed: IndexedHeaders) -> None:
    """Go through all messages from the first place on, unless it is for these headers that this was done last."""
    row, end = db.get(HeaderIndexing, 1), _last_place(db)
    given: dict[str, Any] = {
        "digest": indexed.digest,
        "names": list(indexed.names),
        "done_seq": 0,
        "last_seq": end,
    }
    if row is None:
        if indexed.names:
            db.add(HeaderIndexing(**given))
    elif row.digest != indexed.digest:
        row.sqlmodel_update(given)


def has_to_index(db: Session, digest: IndexDigest | None) -> bool:
    """Whether it is for these headers, and there are places that were not looked at."""
    row = db.get(HeaderIndexing, 1)
    return row is not None and row.digest == digest and row.done_seq < _last_place(db)


def to_index(db: Session, digest: IndexDigest | None, *, limit: int) -> ToIndex | None:
    """What comes next, of a bounded number of places; None: nothing is left, or it is for other headers now."""
    row, end = db.get(HeaderIndexing, 1), _last_place(db)
    if row is None or row.digest != digest or row.done_seq >= end:
        return None
    end = min(end, row.done_seq + _PLACES_LOOKED_AT)
    query = select(Message.seq, Message.raw_sha256).where(
        col(Message.seq) > row.done_seq,
        col(Message.seq) <= end,
        col(Message.headers_indexed).is_distinct_from(digest),
        col(Message.expired_sha256).is_(None),  # of those that expired what is known stays
    )
    found = db.exec(query.order_by(col(Message.seq)).limit(limit)).all()
    messages = [(MessageSeq(seq), sha256) for seq, sha256 in found]
    return ToIndex(messages, row.done_seq, messages[-1][0] if len(messages) == limit else end)


def advance(db: Session, digest: IndexDigest | None, *, done: int, reached: int) -> bool:
    """Whether it was still at ``done``; it is at ``reached`` now."""
    statement = (
        update(HeaderIndexing)
        .where(col(HeaderIndexing.digest).is_not_distinct_from(digest), col(HeaderIndexing.done_seq) == done)
        .values(done_seq=reached)
    )
    return bool(db.execute(statement).rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def is_indexing(db: Session, names: Collection[str]) -> bool:
    """Whether some messages that were stored before may have these headers without a row of theirs."""
    row = db.get(HeaderIndexing, 1)
    if row is None or not set(names) <= set(row.names):
        return _last_place(db) > 0
    return row.done_seq < row.last_seq


def _last_place(db: Session) -> int:
    return db.exec(select(Feed.last_seq)).one()
