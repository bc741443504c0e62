"""SQL of the running sums: how many messages are stored, and their octets, of each mailbox and of all.

They change in the transaction that stores or removes the messages. Whoever changes them holds the row of the feed, as
whoever takes places does, so that all sums and the place up to which is counted are of one moment. Who removes takes it
before the messages: who stores holds it when it asks for the contents that go with these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import bindparam, delete, func, or_, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from app.database import PreparedStatement
from app.mailboxes.models import MailboxId
from app.messages.models import NO_CONTENT, Feed, Message, StoredSum

_SUMS = SQLModel.metadata.tables["stored_sums"]
_FEED = SQLModel.metadata.tables["feed"]
_ADD_TO_ALL = update(_FEED).values(
    stored_messages=_FEED.c.stored_messages + bindparam("more_messages"),
    stored_octets=_FEED.c.stored_octets + bindparam("more_octets"),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """Messages that are stored with their contents, and their octets."""

    messages: int = 0
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Gone:
    """A message that was removed in this transaction."""

    mailbox_id: int
    seq: int
    octets: int


def of(db: Session, mailbox_ids: Sequence[MailboxId]) -> dict[MailboxId, Stored]:
    """The sums of some mailboxes; those that are not in it have none."""
    rows = select_columns(_SUMS).where(_SUMS.c.mailbox_id.in_(mailbox_ids))
    return {MailboxId(row[0]): Stored(row[1], row[2]) for row in db.execute(rows)}


def largest(db: Session, limit: int) -> dict[MailboxId, Stored]:
    """The sums of the mailboxes with the most octets, the largest first."""
    rows = (
        select_columns(_SUMS)
        .where(_SUMS.c.octets > 0)
        .order_by(_SUMS.c.octets.desc(), _SUMS.c.mailbox_id.desc())
    )
    return {MailboxId(row[0]): Stored(row[1], row[2]) for row in db.execute(rows.limit(limit))}


def overall(db: Session) -> Stored:
    """The sums of all mailboxes."""
    row = db.execute(select_columns(col(Feed.stored_messages), col(Feed.stored_octets))).one()
    return Stored(row[0], row[1])


def add_to_mailboxes(db: Session, messages: Iterable[tuple[int, int]]) -> None:
    """Count messages, each with its mailbox and its octets, that were stored in this transaction. In the sums of all
    they are since their places were taken."""
    _change_each(db, _by_mailbox(messages), sign=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """How far is counted, of how much."""

    done: int
    end: int


def hold(db: Session) -> Counted:
    """Keep others from storing and removing until the transaction ends. To be said before messages are removed."""
    return Counted(*_counted(db))


def subtract(db: Session, gone: Sequence[Gone], held: Counted) -> None:
    """Count messages no more, unless they were not counted yet."""
    done, end = held.done, held.end
    counted = ((one.mailbox_id, one.octets) for one in gone if one.seq <= done or one.seq > end)
    _change(db, _by_mailbox(counted), sign=-1)


def count_some(db: Session, *, most: int) -> bool:
    """Count the next messages of those that are not counted yet. False: there are none."""
    done, end = _counted(db)
    if done >= end:
        return False
    some = (
        select_columns(col(Message.seq), col(Message.mailbox_id), col(Message.octets))
        .add_columns(col(Message.raw_sha256) != NO_CONTENT)
        .where(col(Message.seq) > done, col(Message.seq) <= end)
        .order_by(col(Message.seq))
        .limit(most)
    )
    rows = db.execute(some).all()
    reached = rows[-1][0] if len(rows) == most else end
    _change(db, _by_mailbox((row[1], row[2]) for row in rows if row[3]), sign=1)
    db.execute(update(Feed).values(counted_to=reached))
    return True


def is_counting(db: Session) -> bool:
    """Whether some messages are not counted yet."""
    done, end = db.execute(select_columns(col(Feed.counted_to), col(Feed.to_count))).one()
    return bool(done < end)


def count_anew(db: Session) -> None:
    """Forget all sums: what is stored by now is to be counted again, in steps."""
    _counted(db)
    db.execute(delete(StoredSum))
    nothing = {"stored_messages": 0, "stored_octets": 0, "counted_to": 0}
    db.execute(update(Feed).values(**nothing, to_count=col(Feed.last_seq)))


def wrong(db: Session, *, limit: int) -> dict[MailboxId, tuple[Stored, Stored]]:
    """Mailboxes whose sums are not what is stored: what the sums say, and what there is. A look at every message."""
    has_content = col(Message.raw_sha256) != NO_CONTENT
    count, octets = func.count().label("messages"), func.sum(col(Message.octets)).label("octets")
    by_mailbox = (
        select_columns(col(Message.mailbox_id), count, octets)
        .where(has_content)
        .group_by(col(Message.mailbox_id))
    )
    counted = by_mailbox.subquery()
    told_messages, told_octets = func.coalesce(_SUMS.c.messages, 0), func.coalesce(_SUMS.c.octets, 0)
    there_messages, there_octets = func.coalesce(counted.c.messages, 0), func.coalesce(counted.c.octets, 0)
    mailboxes = SQLModel.metadata.tables["mailboxes"]
    rows = (
        select_columns(mailboxes.c.id, told_messages, told_octets, there_messages, there_octets)
        .join(_SUMS, _SUMS.c.mailbox_id == mailboxes.c.id, isouter=True)
        .join(counted, counted.c.mailbox_id == mailboxes.c.id, isouter=True)
        .where(or_(told_messages != there_messages, told_octets != there_octets))
        .order_by(mailboxes.c.id)
        .limit(limit)
    )
    return {
        MailboxId(row[0]): (Stored(row[1], row[2]), Stored(row[3], int(row[4]))) for row in db.execute(rows)
    }


def _counted(db: Session) -> tuple[int, int]:
    """How far is counted, of how much; nobody changes it until the transaction ends."""
    places = select_columns(col(Feed.counted_to), col(Feed.to_count)).with_for_update()
    done, end = db.execute(places).one()
    return done, end


def _by_mailbox(messages: Iterable[tuple[int, int]]) -> dict[int, Stored]:
    found: dict[int, list[int]] = {}
    for mailbox_id, octets in messages:
        found.setdefault(mailbox_id, []).append(octets)
    return {mailbox_id: Stored(len(each), sum(each)) for mailbox_id, each in found.items()}


def _change(db: Session, changes: Mapping[int, Stored], *, sign: int) -> None:
    if not changes:
        return
    all_of_it = {
        "more_messages": sign * sum(each.messages for each in changes.values()),
        "more_octets": sign * sum(each.octets for each in changes.values()),
    }
    db.connection().execute(_ADD_TO_ALL, all_of_it)
    _change_each(db, changes, sign=sign)


def _change_each(db: Session, changes: Mapping[int, Stored], *, sign: int) -> None:
    rows = [
        {"mailbox_id": mailbox_id, "messages": sign * each.messages, "octets": sign * each.octets}
        for mailbox_id, each in sorted(changes.items())
    ]
    _add_to_each(db.get_bind().dialect.name).change_each(db, rows)


@cache
def _add_to_each(dialect: str) -> PreparedStatement:
    """The statement that adds to the sums of mailboxes."""
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(_SUMS)
    return PreparedStatement(
        statement.on_conflict_do_update(
            index_elements=["mailbox_id"],
            set_={name: _SUMS.c[name] + statement.excluded[name] for name in ("messages", "octets")},
        )
    )
