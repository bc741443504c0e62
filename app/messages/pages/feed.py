"""Reading the feed: one bounded look at it.

A look by filters may have to pass many messages that do not fit. It passes at most ``MOST_LOOKED_AT``, and says how far
it came.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlmodel import Session

from app.access.reach import Reach
from app.mail.mime import VERSION
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId
from app.mailboxes.naming import MailboxNames, names
from app.messages import repository, schemas
from app.messages.indexed import header_rows
from app.messages.models import Message
from app.messages.pages import expiry, search
from app.messages.pages.search import Wanted
from app.messages.pages.written import message_json
from app.messages.schemas import ExpiredAnswer, FeedPage, MessageAnswer
from app.web.pages import CursorScope, decode_cursor, encode_cursor

MOST_LOOKED_AT = 10_000
STILL_READING = (
    "Messages that an earlier version stored are still being read again: some that fit may be missing."
)
STILL_INDEXING = (
    "Messages that were stored before a header was named in MAILDELTA_INDEXED_HEADERS are still being read for "
    "it: some that fit may be missing."
)
EXPIRED_PASSED = (
    "Messages that expired were passed: nothing tells any more whether they are what is asked for. Without filters on "
    "what messages hold, each comes as expired."
)


class Order(StrEnum):
    """Feed order, or the other way round for people who look at the latest mail."""

    FEED = "feed"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """What is asked for, within whose reach, and where: from the place ``start`` on in this order (None: from its
    beginning).

    ``floor``, newest first: nothing at this place or before it, for that was looked at already.
    """

    wanted: Wanted
    reach: Reach
    order: Order
    start: int | None
    limit: int
    floor: int = 0
    most_looked_at: int = MOST_LOOKED_AT
    feed: str = ""  # whose place ``start`` is, where that is known
    is_written: bool = False  # the page is wanted as JSON
    is_export: bool = False

    @property
    def shows_quiet(self) -> bool:
        """Whether it has messages too that programs were not to be told of: what is no reading of news."""
        return self.is_export or self.order is Order.NEWEST

    @property
    def is_window(self) -> bool:
        """Whether it goes through places of which no index says which are wanted: those of some mailboxes in reach."""
        wanted = self.wanted
        return not self.reach.is_all and wanted.mailbox_id is None and not wanted.is_narrow

    @property
    def scope(self) -> CursorScope:
        """What its cursors are cursors of."""
        return scope_of(self.wanted, self.order)


@lru_cache(256)
def scope_of(wanted: Wanted, order: Order) -> CursorScope:
    """What cursors of such a read are cursors of."""
    return CursorScope.of("messages", order=order, filters=asdict(wanted))


class CursorGone(Exception):
    """The cursor's place is none of this feed. ``earliest`` and ``latest``: cursors to go on from."""

    def __init__(self, earliest: str, latest: str) -> None:
        super().__init__("the cursor is of another feed, or beyond the end of this one")
        self.earliest, self.latest = earliest, latest


@dataclass(frozen=True, slots=True)
class Found:
    """A page, the place up to which the look came (None: over everything), and the last place that there was.

    ``written``: the messages as JSON, where that was asked for; the page has none then.
    """

    page: FeedPage
    reached: int | None
    end: int
    written: Sequence[bytes] = ()

    @property
    def is_empty(self) -> bool:
        """There is no message."""
        return not (self.page.items or self.written)


def read_once(db: Session, query: FeedQuery) -> Found:
    """One bounded look at the feed."""
    # The end is read first: all places up to it are committed and visible to what is read after it.
    places = repository.places_of_feed(db)
    feed, end = places.feed, places.last
    start, scope = query.start, query.scope
    newest = query.order is Order.NEWEST
    last = end + 1 if newest else end
    if start is not None and (start > last or query.feed not in {"", feed}):
        raise CursorGone(*(encode_cursor(place, scope, feed=feed) for place in (0, last)))
    above = query.floor if newest else start or 0
    below = end + 1 if start is None or not newest else min(start, end + 1)
    wanted, bound = query.wanted, None
    if places.are_some_removed:
        wanted = replace(wanted, outside=tuple(mailboxes.removed(db)))
    if query.is_window:
        rows, bound = _look_through_window(
            db, replace(query, wanted=wanted), above, below, expired=places.expired
        )
    else:
        if wanted.is_search or (above < places.quiet and not query.shows_quiet):
            bound = _bound(db, wanted, above=above, below=below, newest=newest, most=query.most_looked_at)
        if bound is not None:
            above, below = (bound - 1, below) if newest else (above, bound + 1)
        rows = _rows(db, query, wanted, above, below, expired=places.expired)
    is_full = len(rows) > query.limit
    reached = rows[query.limit - 1].seq if is_full else bound
    if reached is not None:
        above, below = (reached - 1, below) if newest else (above, reached + 1)
    place = reached if reached is not None or newest else max(end, start or 0)
    items = rows[: query.limit]
    page = FeedPage(
        items=[] if query.is_written else _answers(db, items),
        next_cursor=None if place is None else encode_cursor(place, scope, feed=feed),
        has_more=reached is not None,
        warnings=list(_warnings(db, query, wanted, above=above, below=below)),
    )
    return Found(page, reached, end, _written(items) if query.is_written else ())


def _written(rows: Sequence[Any]) -> list[bytes]:
    return [
        schemas.expired(row.seq).model_dump_json().encode() if isinstance(row, _Place) else message_json(row)
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """A place of which nothing else is kept."""

    seq: int


def _rows(
    db: Session, query: FeedQuery, wanted: Wanted, above: int, below: int, *, expired: int
) -> list[Any]:
    """Rows of messages in reach (objects, or plain ones to be written), and among them the places of those that
    expired, in order; one more than are asked for. ``expired``: the last of these places, mostly of none that is read.
    """
    newest, limit = query.order is Order.NEWEST, query.limit + 1
    bounds: dict[str, Any] = {"above": above, "below": below, "newest": newest, "limit": limit}
    between = search.written_between if query.is_written else search.between
    heard = {"with_quiet": query.shows_quiet}
    rows: list[Any] = [*between(db, wanted, reach=query.reach, **bounds, **heard)]
    if expired > above and (places := expiry.between(db, wanted, reach=query.reach, **bounds)):
        rows += map(_Place, places)
        rows.sort(key=lambda row: row.seq, reverse=newest)
    return rows[:limit]


def _bound(db: Session, wanted: Wanted, *, above: int, below: int, newest: bool, most: int) -> int | None:
    """How far one look goes: so many messages, or so many places of expired ones."""
    if not wanted.is_narrow and below - above - 1 <= most:
        return None  # whoever waits for what comes looks at few places each time, and need not ask how many there are
    bounds: dict[str, Any] = {"above": above, "below": below, "newest": newest, "most": most}
    found = [search.bound(db, wanted, **bounds), expiry.bound(db, wanted, **bounds)]
    places = [place for place in found if place is not None]
    return (max(places) if newest else min(places)) if places else None


def _answers(db: Session, rows: Sequence[Any]) -> list[MessageAnswer | ExpiredAnswer]:
    ids = {MailboxId(row.mailbox_id) for row in rows if not isinstance(row, _Place)}
    by_mailbox = names_of(db, ids) if ids else {}
    return [
        schemas.answer(row, by_mailbox[MailboxId(row.mailbox_id)])
        if isinstance(row, Message)
        else schemas.expired(row.seq)
        for row in rows
    ]


def names_of(db: Session, mailbox_ids: Iterable[MailboxId]) -> dict[MailboxId, MailboxNames]:
    """The names of these mailboxes, by one question."""
    return {MailboxId(row.id or 0): names(row) for row in mailboxes.names_of(db, mailbox_ids)}


def cut_at(page: FeedPage, seq: int, scope: CursorScope) -> FeedPage:
    """The same up to this place, and with more behind it."""
    of = decode_cursor(page.next_cursor, scope)
    cursor = encode_cursor(seq, scope, feed=of.feed if of else "")
    return page.model_copy(update={"next_cursor": cursor, "has_more": True})


def _look_through_window(
    db: Session, query: FeedQuery, above: int, below: int, *, expired: int
) -> tuple[Sequence[Any], int | None]:
    """What is found within so many places as may be looked at, and the last of these (None: there are no more).

    Most of them may be others'. Where none of the first is in reach, the look begins anew where one is: so a reader
    with few mailboxes among many does not go through what is stored for others page by page.
    """
    newest, most = query.order is Order.NEWEST, query.most_looked_at
    for is_first in (True, False):
        bound = None
        if below - above - 1 > most:
            bound = below - most if newest else above + most
        low, high = (above, below) if bound is None else (bound - 1, below) if newest else (above, bound + 1)
        rows = _rows(db, query, query.wanted, low, high, expired=expired)
        if rows or bound is None or not is_first:
            break
        low, high = (above, bound) if newest else (bound, below)
        try:
            first = _nearest(db, query, low, high)
        except search.TooManyMailboxes:
            break
        if first is None:
            return (), None
        above, below = (above, first + 1) if newest else (first - 1, below)
    return rows, bound


def _nearest(db: Session, query: FeedQuery, above: int, below: int) -> int | None:
    """The first place in reach, whether its message is here or has expired. Raises TooManyMailboxes."""
    newest = query.order is Order.NEWEST
    bounds: dict[str, Any] = {"above": above, "below": below, "newest": newest}
    found = [
        search.nearest(db, among, reach=query.reach, most_mailboxes=query.most_looked_at, **bounds)
        for among in (search.MESSAGES, expiry.EXPIRED)
    ]
    places = [place for place in found if place is not None]
    return (max(places) if newest else min(places)) if places else None


def _warnings(db: Session, query: FeedQuery, wanted: Wanted, *, above: int, below: int) -> Iterator[str]:
    if wanted.needs_newest_reader and repository.is_rereading(db, version=VERSION):
        yield STILL_READING
    if wanted.headers and header_rows.is_indexing(db, [name for name, _ in wanted.headers]):
        yield STILL_INDEXING
    if expiry.are_passed(db, wanted, reach=query.reach, above=above, below=below):
        yield EXPIRED_PASSED
