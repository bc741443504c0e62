"""SQL of looking for messages of the feed: which are asked for, and how far one look goes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Text,
    UnaryExpression,
    and_,
    bindparam,
    cast,
    func,
    or_,
    true,
)
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from app.access.reach import Reach
from app.database import PreparedStatement
from app.mail.fields.comparison import in_unicode
from app.mail.mime import Automated, Kind
from app.mailboxes.models import MailboxId
from app.mailboxes.repository import with_label
from app.messages.indexed import header_rows
from app.messages.models import Message, MessageHeader
from app.messages.pages.written import written

_PLACES_AT_ONCE = 500
MESSAGES = SQLModel.metadata.tables["messages"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]


class TooManyMailboxes(Exception):
    """More are in reach than may be looked at one by one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages of the feed are asked for; None or empty means any, several values mean one of them.

    ``mailbox_id``: of one mailbox, which has an index of its own; ``mailbox_ids``: of several.
    ``automated``: one of these, None among them for what no program sent. ``kinds``: at least one of these.
    ``headers``: each of these indexed ones has one of its values, as they are kept. ``outside``: not those of these
    mailboxes.
    """

    mailbox_id: MailboxId | None = None
    mailbox_ids: tuple[MailboxId, ...] = ()
    message_id: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    from_address: tuple[str, ...] = ()  # in their canonical form
    recipient: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    has_attachments: bool | None = None
    thread_id: tuple[bytes, ...] = ()
    automated: tuple[Automated | None, ...] = ()
    kinds: tuple[Kind, ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    outside: tuple[MailboxId, ...] = ()
    labels: tuple[str, ...] = ()  # that their mailbox has now

    @property
    def is_search(self) -> bool:
        """Whether messages have to be looked into: there may be many that do not fit before one that does."""
        return self != Wanted(mailbox_id=self.mailbox_id)

    @property
    def looks_into_messages(self) -> bool:
        """Whether it asks for what only messages tell that are here, if need be with their headers alone."""
        told_of_all = Wanted(
            mailbox_id=self.mailbox_id,
            mailbox_ids=self.mailbox_ids,
            since=self.since,
            until=self.until,
            outside=self.outside,
            labels=self.labels,
        )
        return self != told_of_all

    @property
    def is_narrow(self) -> bool:
        """Whether an index of its own tells which messages may fit: few, perhaps, of a long feed."""
        return bool(self.thread_id or self.headers)

    @property
    def needs_newest_reader(self) -> bool:
        """Whether it asks for what an earlier reader of mail did not tell."""
        return bool(self.thread_id or self.automated or self.kinds or self.from_address)

    def of(self, *mailbox_ids: MailboxId) -> "Wanted":
        """The same, of these mailboxes."""
        if len(mailbox_ids) == 1:
            return replace(self, mailbox_id=mailbox_ids[0])
        return replace(self, mailbox_ids=tuple(sorted(set(mailbox_ids))))


def between(
    db: Session,
    wanted: Wanted,
    *,
    reach: Reach,
    above: int,
    below: int,
    newest: bool = False,
    with_quiet: bool = True,
    limit: int,
) -> Sequence[Message]:
    """Messages in reach whose places are above one and below another, in feed order or the newest first.

    ``with_quiet``: also those that nobody was to be told of.
    """
    if not wanted.is_narrow:
        asked = query(wanted, reach=reach, above=above, below=below, newest=newest, limit=limit)
        return db.exec(asked.where(*_heard(with_quiet=with_quiet))).all()
    found: list[Message] = []
    for within in _steps(db, wanted, above=above, below=below, newest=newest):
        some = select(Message).where(*_all_conditions(wanted, reach, within), *_heard(with_quiet=with_quiet))
        found += db.exec(some.order_by(_by_place(newest=newest)).limit(limit - len(found))).all()
        if len(found) >= limit:
            break
    return found


def _heard(*, with_quiet: bool) -> tuple[ColumnElement[bool], ...]:
    return () if with_quiet else (col(Message.is_quiet).is_not(True),)


def written_between(
    db: Session,
    wanted: Wanted,
    *,
    reach: Reach,
    above: int,
    below: int,
    newest: bool = False,
    with_quiet: bool = True,
    limit: int,
) -> Sequence[Row[Any]]:
    """The same as plain rows, for ``written.message_json``."""
    connection = db.connection()
    dialect = connection.dialect.name
    if not wanted.is_narrow:
        asked = _written(wanted, reach, dialect, newest=newest, with_quiet=with_quiet)
        return asked.rows(db, {"above": above, "below": below, "most": limit}).all()
    found: list[Row[Any]] = []
    for within in _steps(db, wanted, above=above, below=below, newest=newest):
        heard = (*_all_conditions(wanted, reach, within), *_heard(with_quiet=with_quiet))
        some = written(dialect).where(*heard)
        found += connection.execute(some.order_by(_by_place(newest=newest)).limit(limit - len(found)))
        if len(found) >= limit:
            break
    return found


@lru_cache(256)
def _written(
    wanted: Wanted, reach: Reach, dialect: str, *, newest: bool, with_quiet: bool
) -> PreparedStatement:
    """Made once: to make a statement takes longer than to execute it."""
    places = (col(Message.seq) > bindparam("above"), col(Message.seq) < bindparam("below"))
    heard = _heard(with_quiet=with_quiet)
    asked = written(dialect).where(*_all_conditions(wanted, reach, places), *heard)
    return PreparedStatement(asked.order_by(_by_place(newest=newest)).limit(bindparam("most")))


def _steps(
    db: Session, wanted: Wanted, *, above: int, below: int, newest: bool
) -> Iterator[Sequence[ColumnElement[bool]]]:
    """Some places after the other, as conditions: a planner that has to find them by itself may read the whole feed
    for the few that fit.
    """
    for places in _places(db, wanted, above=above, below=below, newest=newest):
        yield [col(Message.seq).in_(places)]


def _all_conditions(
    wanted: Wanted, reach: Reach, within: Sequence[ColumnElement[bool]]
) -> Sequence[ColumnElement[bool]]:
    return (*within, *reach.of(MESSAGES.c.mailbox_id), *_conditions(wanted))


def query(
    wanted: Wanted, *, reach: Reach, above: int, below: int, newest: bool, limit: int
) -> SelectOfScalar[Message]:
    """The question of ``between``, where no index tells which they are."""
    places = (col(Message.seq) > above, col(Message.seq) < below)
    asked = select(Message).where(*_all_conditions(wanted, reach, places))
    return asked.order_by(_by_place(newest=newest)).limit(limit)


def _places(db: Session, wanted: Wanted, *, above: int, below: int, newest: bool) -> Iterator[Sequence[int]]:
    """The places that the walks give, in order, some at a time."""
    walks = _walks(wanted)
    if len(walks) > 1:  # between bounds within which there are not many
        merged = {seq for walk in walks for seq in db.exec(walk.between(above, below, newest=newest)).all()}
        places = sorted(merged, reverse=newest)
        yield from (
            places[start : start + _PLACES_AT_ONCE] for start in range(0, len(places), _PLACES_AT_ONCE)
        )
        return
    while some := db.exec(walks[0].between(above, below, newest=newest).limit(_PLACES_AT_ONCE)).all():
        yield some
        above, below = (above, some[-1]) if newest else (some[-1], below)


def nearest(
    db: Session, among: Table, *, reach: Reach, above: int, below: int, newest: bool, most_mailboxes: int
) -> int | None:
    """The first place of a table between these, in feed order or the newest first, that is of a mailbox in reach: a
    step in an index for each of these mailboxes. None: there is none.

    Raises TooManyMailboxes where more are in reach than may be looked at.
    """
    ours = select_columns(_MAILBOXES.c.id).where(
        _MAILBOXES.c.removed_at.is_(None), *reach.among(_MAILBOXES.c.id)
    )
    some = ours.limit(most_mailboxes + 1).subquery()
    end = func.max if newest else func.min
    first = (
        select_columns(end(among.c.seq))
        .where(among.c.mailbox_id == some.c.id, among.c.seq > above, among.c.seq < below)
        .scalar_subquery()
    )
    count, place = db.execute(select_columns(func.count(), end(first)).select_from(some)).one()
    if count > most_mailboxes:
        raise TooManyMailboxes
    return None if place is None else int(place)


def bound(db: Session, wanted: Wanted, *, above: int, below: int, newest: bool, most: int) -> int | None:
    """The place of the last of ``most`` messages to be looked at, in this order; None when there are no more of them.

    Those are what an index gives: the messages of the threads that are asked for, else those with a header, else those
    of the mailbox, else all. Of several threads or values each gets its part of them.
    """
    walks = _walks(wanted)
    each = max(1, most // len(walks))
    reached: list[int] = []
    for walk in walks:
        last = db.exec(walk.between(above, below, newest=newest).offset(each - 1).limit(2)).all()
        reached += last[:1] if len(last) > 1 else ()
    if not reached:
        return None
    return max(reached) if newest else min(reached)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Messages that lie in feed order in an index: its column of places, and what its rows have in common."""

    place: Any
    common: ColumnElement[bool]

    def between(self, above: int, below: int, *, newest: bool) -> SelectOfScalar[int]:
        order = self.place.desc() if newest else self.place.asc()
        asked: SelectOfScalar[int] = select(self.place)
        return asked.where(self.common, self.place > above, self.place < below).order_by(order)


def _walks(wanted: Wanted) -> list[_Walk]:
    """What is looked at: all that is asked for lies on one of these."""
    place = col(Message.seq)
    if wanted.thread_id:
        return [_Walk(place, col(Message.thread_id) == thread) for thread in wanted.thread_id]
    if wanted.headers:
        name, values = wanted.headers[0]
        return [_Walk(col(MessageHeader.seq), header_rows.is_one_of(name, [value])) for value in values]
    if wanted.mailbox_id is not None:
        return [_Walk(place, col(Message.mailbox_id) == wanted.mailbox_id)]
    return [_Walk(place, true())]


def _by_place(*, newest: bool) -> UnaryExpression[int]:
    place = col(Message.seq)
    return place.desc() if newest else place.asc()


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions = _of_mailboxes(wanted)
    if wanted.message_id:
        conditions.append(col(Message.message_id).in_(wanted.message_id))
    if wanted.subject:
        conditions.append(_hold(wanted.subject, col(Message.subject)))
    if wanted.sender:
        conditions.append(_hold(wanted.sender, col(Message.from_name), col(Message.from_address)))
    if wanted.from_address:
        conditions.append(col(Message.from_ambiguous).is_(False))
        conditions.append(or_(*(_is_address(address) for address in wanted.from_address)))
    if wanted.recipient:
        conditions.append(_hold(wanted.recipient, cast(col(Message.to), Text), cast(col(Message.cc), Text)))
    if wanted.since is not None:
        conditions.append(col(Message.retrieved_at) >= wanted.since)
    if wanted.until is not None:
        conditions.append(col(Message.retrieved_at) < wanted.until)
    if wanted.has_attachments is not None:
        conditions.append(col(Message.has_attachments) == wanted.has_attachments)
    return conditions + _told_by_reader(wanted)


def _of_mailboxes(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.mailbox_id is not None:
        is_of = col(Message.mailbox_id) == wanted.mailbox_id
        if wanted.is_narrow:  # not every planner knows that few places are given: no index serves a sum
            is_of = col(Message.mailbox_id) + 0 == wanted.mailbox_id
        conditions.append(is_of)
    if wanted.outside:
        conditions.append(col(Message.mailbox_id).not_in(wanted.outside))
    if wanted.mailbox_ids:
        conditions.append(col(Message.mailbox_id).in_(wanted.mailbox_ids))
    if wanted.labels:
        conditions.append(with_label(col(Message.mailbox_id), wanted.labels))
    return conditions


def _told_by_reader(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.thread_id:
        conditions.append(col(Message.thread_id).in_(wanted.thread_id))
    for name, values in wanted.headers:
        conditions.append(header_rows.message_has(name, values))
    if wanted.automated:
        given = col(Message.automated).in_([what for what in wanted.automated if what is not None])
        by_nobody = and_(col(Message.automated).is_(None), col(Message.kind).is_not(None))
        conditions.append(or_(given, by_nobody) if None in wanted.automated else given)
    if wanted.kinds:
        kinds = cast(col(Message.kind), Text)  # a list of words of ours
        conditions.append(or_(*(kinds.contains(f'"{kind}"', autoescape=True) for kind in wanted.kinds)))
    return conditions


def _is_address(canonical_address: str) -> ColumnElement[bool]:
    """In ASCII letters of any case; a domain may be stored as U-labels or as A-labels."""
    written = {canonical_address, in_unicode(canonical_address)}
    is_one: ColumnElement[bool] = func.lower(col(Message.from_address)).in_(written)
    return is_one


def _hold(texts: Iterable[str], *columns: Any) -> ColumnElement[bool]:
    """One of the columns holds one of the texts."""
    return or_(*(column.icontains(text, autoescape=True) for text in texts for column in columns))
