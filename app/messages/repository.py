"""SQL of messages, contents and the feed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, exists, func, insert, or_, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, select

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import PreparedStatement
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.naming import MailboxNames, names
from app.messages import sums
from app.messages.models import (
    NO_CONTENT,
    Content,
    ContentBlock,
    ExpiredMessage,
    Feed,
    Message,
    MessageSeq,
    Rereading,
)

_PLACES_LOOKED_AT = 10_000  # at once, for messages to be read again: most are not, once they have been
MESSAGES = SQLModel.metadata.tables["messages"]
_FEED = SQLModel.metadata.tables["feed"]
# Made once: to make a statement takes longer than to execute it.
_PLACES_OF_FEED = PreparedStatement(
    select_columns(
        _FEED.c.feed_id,
        _FEED.c.last_seq,
        _FEED.c.quiet_seq,
        select_columns(func.max(col(ExpiredMessage.seq))).scalar_subquery().label("expired"),
        exists().where(col(Mailbox.removed_at).is_not(None)).label("are_some_removed"),
    )
)
_ADD_MESSAGES = PreparedStatement(insert(MESSAGES))
_TAKE_PLACES = PreparedStatement(
    update(_FEED)
    .values(
        last_seq=_FEED.c.last_seq + bindparam("places"),
        stored_messages=_FEED.c.stored_messages + bindparam("places"),
        stored_octets=_FEED.c.stored_octets + bindparam("octets"),
    )
    .returning(_FEED.c.last_seq)
)
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
_CONTENTS = SQLModel.metadata.tables["contents"]


def add_contents(db: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Store contents that are not there yet; in the order of their digests, so that two of us do not deadlock."""
    _insert_new(db, Content, sorted(rows, key=lambda row: row["sha256"]), ["sha256"])


def add_block(db: Session, sha256: bytes, number: int, data: bytes) -> None:
    """Store a further block of a large content, if it is not there yet."""
    _insert_new(db, ContentBlock, [{"sha256": sha256, "number": number, "data": data}], ["sha256", "number"])


def further_blocks(db: Session, sha256: bytes) -> set[int]:
    """Which further blocks of a content are there."""
    return set(db.exec(select(ContentBlock.number).where(ContentBlock.sha256 == sha256)))


def hold_content(db: Session, sha256: bytes) -> bool:
    """Have nobody remove a content until our commit; whether it is there."""
    held = select(Content.id).where(Content.sha256 == sha256).with_for_update(read=True, key_share=True)
    return db.exec(held).first() is not None


def unused_contents(db: Session, *, limit: int) -> Sequence[bytes]:
    """Large contents that no message has: what was stored ahead of one that was never stored."""
    used = exists().where(col(Message.raw_sha256) == ContentBlock.sha256)
    return db.exec(select(ContentBlock.sha256).where(ContentBlock.number == 1, ~used).limit(limit)).all()


def remove_unused(db: Session, digests: Sequence[bytes]) -> None:
    """Remove those of these contents that no message has."""
    # Whoever stores a message of one meanwhile holds it: what is removed is seen by a statement that comes behind.
    db.exec(select(Content.id).where(col(Content.sha256).in_(sorted(digests))).with_for_update()).all()
    used = exists().where(col(Message.raw_sha256) == Content.sha256)
    db.execute(delete(Content).where(col(Content.sha256).in_(digests), ~used))


def take_places(db: Session, count: int, *, octets: int) -> int:
    """Take ``count`` places of the feed and return the first; others wait for them until our commit.

    The messages that come there, of so many octets together, are counted in the sums of all mailboxes.
    """
    last: int = _TAKE_PLACES.rows(db, {"places": count, "octets": octets}).scalar_one()
    return last - count + 1


def add_messages(db: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Store message rows in bulk, at places that were taken for them in this transaction, and count them."""
    _ADD_MESSAGES.change_each(db, rows)
    sums.add_to_mailboxes(db, [(row["mailbox_id"], row["octets"]) for row in rows])


def feed_id(db: Session) -> str:
    """The id that was made with the database, and that goes where its contents go."""
    return db.exec(select(Feed.feed_id)).one()


def last_place(db: Session) -> int:
    """The last place of the feed that was given."""
    return db.exec(select(Feed.last_seq)).one()


@dataclass(frozen=True, slots=True)
class Places:
    """The feed's id, and last places in it: of all, of those that were given to quiet messages, and of those of which
    nothing else is kept. ``are_some_removed``: something is there of mailboxes that were removed.
    """

    feed: str
    last: int
    quiet: int
    expired: int
    are_some_removed: bool


def places_of_feed(db: Session) -> Places:
    """What every look at the feed begins with."""
    feed, last, quiet, expired, are_some_removed = _PLACES_OF_FEED.rows(db, {}).one()
    return Places(feed, last, quiet, expired or 0, bool(are_some_removed))


def note_quiet(db: Session, place: int) -> None:
    """A quiet message has this place, the last that was given."""
    db.execute(update(Feed).values(quiet_seq=place))


def get(db: Session, seq: MessageSeq, *, reach: Reach) -> Message | None:
    """The message at this place, unless its mailbox was removed or is out of reach, or its contents are gone."""
    found = named(db, seq, reach=reach)
    return found[0] if found else None


def named(db: Session, seq: MessageSeq, *, reach: Reach) -> tuple[Message, MailboxNames] | None:
    """The same, and the names of its mailbox."""
    found = db.execute(_named(reach), {"seq": seq}).first()
    return None if found is None else (found[0], names(cast("Mailbox", found)))


@lru_cache(256)
def _named(reach: Reach) -> Select[Any]:
    its_names = (_MAILBOXES.c.id, _MAILBOXES.c.name, _MAILBOXES.c.external_id, _MAILBOXES.c.labels)
    has_content = col(Message.expired_sha256).is_(None)
    is_seen = (_MAILBOXES.c.removed_at.is_(None), *reach.of(MESSAGES.c.mailbox_id))
    is_its = _MAILBOXES.c.id == MESSAGES.c.mailbox_id
    asked = select_columns(Message, *its_names).join(_MAILBOXES, is_its)
    return asked.where(MESSAGES.c.seq == bindparam("seq"), has_content, *is_seen)


@dataclass(frozen=True, slots=True)
class Octets:
    """The octets of a message: their digest, how many there are, and, if they are few, the packed octets themselves."""

    sha256: bytes
    octets: int
    packed: bytes | None


def octets_of(
    db: Session, seqs: Collection[MessageSeq], *, reach: Reach, few: int
) -> dict[MessageSeq, Octets]:
    """The octets of those of these messages that ``get`` would give; ``few``: up to how many are given at once."""
    rows = _octets_of(reach).rows(db, {"seqs": seqs, "few": few})
    return {row[0]: Octets(*row[1:]) for row in rows}


@lru_cache(256)
def _octets_of(reach: Reach) -> PreparedStatement:
    few = case((_CONTENTS.c.octets <= bindparam("few"), _CONTENTS.c.data))
    asked = select_columns(MESSAGES.c.seq, MESSAGES.c.raw_sha256, MESSAGES.c.octets, few)
    of = (_MAILBOXES.c.id == MESSAGES.c.mailbox_id, _CONTENTS.c.sha256 == MESSAGES.c.raw_sha256)
    are_there = (
        MESSAGES.c.seq.in_(bindparam("seqs", expanding=True)),
        MESSAGES.c.expired_sha256.is_(None),
        _MAILBOXES.c.removed_at.is_(None),
    )
    return PreparedStatement(asked.where(*are_there, *of, *reach.of(MESSAGES.c.mailbox_id)), is_binary=True)


@dataclass(frozen=True, slots=True)
class Stored:
    """What reading a message again starts from."""

    seq: MessageSeq
    raw_sha256: bytes
    retrieved_at: datetime
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class ToReread:
    """The messages behind the place ``done`` up to ``reached``, in order."""

    messages: Sequence[Stored]
    done: int
    reached: int


def stored_at(db: Session, *, seq: MessageSeq, reach: Reach) -> Stored | None:
    """The message at this place."""
    row = get(db, seq, reach=reach)
    return None if row is None else _stored(row.seq, row.raw_sha256, row.retrieved_at, row.warnings)


def begin_rereading(db: Session, *, version: int) -> None:
    """Start from the first place if this version has not been at it. An older version changes nothing."""
    end = last_place(db)
    _insert_new(db, Rereading, [{"id": 1, "version": version, "done_seq": 0, "last_seq": end}], ["id"])
    db.execute(
        update(Rereading)
        .where(col(Rereading.version) < version)
        .values(version=version, done_seq=0, last_seq=end)
    )


def has_to_reread(db: Session, *, version: int) -> bool:
    """Whether this version has to begin, or to go on."""
    row = db.get(Rereading, 1)
    if row is None or row.version < version:
        return True
    return row.version == version and row.done_seq < last_place(db)


def to_reread(db: Session, *, version: int, limit: int) -> ToReread | None:
    """What comes next, of a bounded number of places; None: nothing is left, or another version is at it."""
    row, end = db.get(Rereading, 1), last_place(db)
    if row is None or row.version != version or row.done_seq >= end:
        return None
    end = min(end, row.done_seq + _PLACES_LOOKED_AT)
    by = col(Message.reader_version)
    query = (
        select(Message.seq, Message.raw_sha256, Message.retrieved_at, Message.warnings)
        .where(col(Message.seq) > row.done_seq, col(Message.seq) <= end, or_(by.is_(None), by < version))
        .where(col(Message.expired_sha256).is_(None))
    )
    found = db.exec(query.order_by(col(Message.seq)).limit(limit)).all()
    messages = [_stored(*row) for row in found]
    return ToReread(messages, row.done_seq, messages[-1].seq if len(messages) == limit else end)


def _stored(seq: int, raw_sha256: bytes, retrieved_at: datetime, warnings: Iterable[str]) -> Stored:
    return Stored(MessageSeq(seq), raw_sha256, retrieved_at, list(warnings))


def advance_rereading(db: Session, *, version: int, done: int, reached: int) -> bool:
    """Whether it was still at ``done``; it is at ``reached`` now."""
    statement = (
        update(Rereading)
        .where(col(Rereading.version) == version, col(Rereading.done_seq) == done)
        .values(done_seq=reached)
    )
    return bool(db.execute(statement).rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def is_rereading(db: Session, *, version: int) -> bool:
    """Whether some messages are still as a reader before this version read them."""
    row = db.get(Rereading, 1)
    if row is None or row.version < version:
        return last_place(db) > 0
    return row.done_seq < row.last_seq


def change(db: Session, seq: MessageSeq, columns: dict[str, Any]) -> None:
    """Change columns of a message, if it is there."""
    db.execute(update(Message).where(col(Message.seq) == seq).values(columns))


def warn(db: Session, seq: MessageSeq, warning: str) -> None:
    """Add a warning to a message that is there and does not have it yet."""
    row = get(db, seq, reach=ALL_MAILBOXES)
    if row is not None and warning not in row.warnings:
        row.warnings = [*row.warnings, warning]


def remove(db: Session, seq: MessageSeq, *, reach: Reach) -> bool:
    """Whether there was such a message in reach; there is none now. Its content goes too when nobody else has it."""
    return bool(_remove(db, and_(col(Message.seq) == seq, *reach.of(MESSAGES.c.mailbox_id))))


def remove_all(db: Session, seqs: Sequence[MessageSeq]) -> int:
    """The same of several, whoever reaches them; how many there were."""
    return _remove(db, col(Message.seq).in_(seqs))


def remove_some(db: Session, mailbox_id: MailboxId, *, most: int, most_octets: int) -> bool:
    """Remove the first messages of a mailbox, with at most so many octets but one at least. False: there was none."""
    ours = col(Message.mailbox_id) == mailbox_id
    first = select(Message.seq, Message.octets).where(ours).order_by(col(Message.seq)).limit(most)
    last, octets = None, 0
    for seq, size in db.exec(first):
        octets += size
        if last is not None and octets > most_octets:
            break
        last = seq
    if last is None:
        return False
    _remove(db, ours & (col(Message.seq) <= last))
    return True


def _remove(db: Session, which: ColumnElement[bool]) -> int:
    told = (col(Message.mailbox_id), col(Message.seq), col(Message.octets), col(Message.raw_sha256))
    held = sums.hold(db)
    rows = db.execute(delete(Message).where(which).returning(*told)).all()
    sums.subtract(db, [sums.Gone(*row[:3]) for row in rows if row[3] != NO_CONTENT], held)
    return len(rows)


def first_block(db: Session, sha256: bytes) -> tuple[bytes, int, int] | None:
    """Block 0 as stored, the number of blocks, and the octets of the whole content."""
    query = select(Content.data, Content.blocks, Content.octets).where(Content.sha256 == sha256)
    found = db.exec(query).first()
    return (found[0], found[1], found[2]) if found else None


def first_blocks(db: Session, *, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Block 0 of each of these contents, as stored; of those that are there."""
    query = select(Content.sha256, Content.data).where(col(Content.sha256).in_(digests))
    return {row[0]: row[1] for row in db.exec(query)}


def further_block(db: Session, sha256: bytes, number: int) -> bytes | None:
    """Block ``number`` (1 and up) as stored."""
    return db.exec(
        select(ContentBlock.data).where(ContentBlock.sha256 == sha256, ContentBlock.number == number)
    ).first()


def _insert_new(db: Session, model: type[SQLModel], rows: Sequence[dict[str, Any]], key: list[str]) -> None:
    statement = _new(db.get_bind().dialect.name, str(model.__tablename__), tuple(key))
    statement.change_each(db, rows)


@cache
def _new(dialect: str, table: str, key: tuple[str, ...]) -> PreparedStatement:
    """The statement that inserts what is not there."""
    insert_in = postgresql.insert if dialect == "postgresql" else sqlite.insert
    made = insert_in(SQLModel.metadata.tables[table]).on_conflict_do_nothing(index_elements=key)
    return PreparedStatement(made)
