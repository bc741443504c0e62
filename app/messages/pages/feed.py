"""Reading the feed: one bounded look at it, and waiting for what comes (long poll).

A look by filters may have to pass many messages that do not fit. It passes at most ``MOST_LOOKED_AT``, and says how far
it came; who waits goes on from there, and later looks only at what has been stored since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from sqlmodel import Session

from app.access.reach import Reach
from app.database import Database
from app.jobs.wakeups import Wakeup
from app.mail.mime import VERSION
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId
from app.mailboxes.naming import MailboxNames, names
from app.messages import repository, schemas
from app.messages.indexed import header_rows
from app.messages.models import Message
from app.messages.pages import expiry, search
from app.messages.pages.search import Wanted
from app.messages.pages.times import place_before
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
_END_HOLDS_SECONDS = 4.0  # what one of those who wait has seen of the end of the feed holds for the others
_GATHER_SECONDS = 0.05  # commits within it are looked at together by who has found nothing


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
    feed, end, quiet, are_some_removed = repository.feed_and_places(db)
    start, scope = query.start, query.scope
    newest = query.order is Order.NEWEST
    last = end + 1 if newest else end
    if start is not None and (start > last or query.feed not in {"", feed}):
        raise CursorGone(*(encode_cursor(place, scope, feed=feed) for place in (0, last)))
    above = query.floor if newest else start or 0
    below = end + 1 if start is None or not newest else min(start, end + 1)
    wanted, bound = query.wanted, None
    if are_some_removed:
        wanted = replace(wanted, outside=tuple(mailboxes.removed(db)))
    if query.is_window:
        rows, bound = _look_through_window(db, replace(query, wanted=wanted), above, below)
    else:
        if wanted.is_search or (above < quiet and not query.shows_quiet):
            bound = _bound(db, wanted, above=above, below=below, newest=newest, most=query.most_looked_at)
        if bound is not None:
            above, below = (bound - 1, below) if newest else (above, bound + 1)
        rows = _rows(db, query, wanted, above, below)
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


def _rows(db: Session, query: FeedQuery, wanted: Wanted, above: int, below: int) -> list[Any]:
    """Rows of messages in reach (objects, or plain ones to be written), and among them the places of those that
    expired, in order; one more than are asked for.
    """
    newest, limit = query.order is Order.NEWEST, query.limit + 1
    bounds: dict[str, Any] = {"above": above, "below": below, "newest": newest, "limit": limit}
    between = search.written_between if query.is_written else search.between
    heard = {"with_quiet": query.shows_quiet}
    rows: list[Any] = [*between(db, wanted, reach=query.reach, **bounds, **heard)]
    if places := expiry.between(db, wanted, reach=query.reach, **bounds):
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
    db: Session, query: FeedQuery, above: int, below: int
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
        rows = _rows(db, query, query.wanted, low, high)
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


@dataclass
class Feed:
    """Reads pages of the feed and waits for their first message.

    ``messages_stored`` fires about a mailbox's id, and about None. Those who wait for the same thing look together.
    """

    database: Database
    messages_stored: Wakeup
    monotonic: Callable[[], float]
    end_holds_seconds: float = _END_HOLDS_SECONDS
    gather_seconds: float = _GATHER_SECONDS
    _end: tuple[float, asyncio.Future[int]] | None = field(default=None, init=False)
    _under_way: dict[tuple[asyncio.Event, FeedQuery], asyncio.Task[Found]] = field(
        default_factory=dict, init=False
    )

    async def page(
        self,
        first: FeedQuery,
        *,
        wait: float,
        is_gone: Callable[[], Awaitable[bool]],
        reach_now: Callable[[], Awaitable[Reach]],
    ) -> Found:
        """The page; when it has no message, what comes within ``wait`` seconds. ``is_gone``: nobody reads it.

        ``reach_now`` is asked every few seconds, and before each look: what it raises ends the wait.
        """
        deadline = self.monotonic() + wait
        query, top = first, None
        while True:
            ticket, looked_at = self.messages_stored.ticket(first.wanted.mailbox_id), self.monotonic()
            found = await self._found(ticket, query)
            if not found.is_empty or self.monotonic() >= deadline or await is_gone():
                return found
            top = found.end if top is None else top
            if found.reached is not None:
                query = replace(query, start=found.reached)
                continue
            if first.order is Order.FEED:
                query = replace(first, start=max(found.end, first.start or 0))
            elif first.start is None:
                query, top = replace(first, floor=top), None  # down from there nothing fits
            else:
                return found  # what comes is newer than the cursor
            await self._news(ticket, deadline, end=found.end, reach_now=reach_now)
            # Many may wait with filters of their own: they look when those are answered for whom something was stored.
            begun = self.monotonic() if first.wanted.is_search else looked_at
            await asyncio.sleep(max(0.0, min(begun + self.gather_seconds, deadline) - self.monotonic()))
            first = replace(first, reach=await reach_now())
            query = replace(query, reach=first.reach)

    async def last_place(self) -> int:
        """Behind it is what will be stored from now on."""
        return await self.database.read(repository.last_place)

    async def place_before(self, moment: datetime) -> int:
        """Behind it is all that was retrieved at this time or later."""
        return await self.database.read(partial(place_before, moment=moment))

    async def _found(self, ticket: asyncio.Event, query: FeedQuery) -> Found:
        """One look for all who ask the same since the same commit: it began after that one."""
        key = ticket, query
        if (task := self._under_way.get(key)) is None:
            read = self.database.search if query.wanted.is_search else self.database.read
            task = self._under_way[key] = asyncio.ensure_future(read(partial(read_once, query=query)))
            task.add_done_callback(partial(self._has_looked, key))
        return await asyncio.shield(task)

    def _has_looked(self, key: tuple[asyncio.Event, FeedQuery], task: asyncio.Task[Found]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # all who waited for it may have gone: it is nobody's then

    async def _news(
        self,
        ticket: asyncio.Event,
        deadline: float,
        *,
        end: int,
        reach_now: Callable[[], Awaitable[Reach]],
    ) -> None:
        """Until something was stored, or the time is over. ``end``: the last place that there was.

        A wakeup may be missed, so the end of the feed is looked at now and then: once for all who wait.
        """
        while True:
            await Wakeup.wait(ticket, at_most=deadline - self.monotonic())
            now = self.monotonic()
            if ticket.is_set() or now >= deadline or await self._end_now(now) != end:
                break
            await reach_now()  # whoever's key is gone waits no longer, though nothing comes

    async def _end_now(self, now: float) -> int:
        if self._end is None or now - self._end[0] >= self.end_holds_seconds:
            look = asyncio.ensure_future(self.last_place())
            self._end = now, look
            look.add_done_callback(self._has_looked_at_end)
        return await asyncio.shield(self._end[1])

    def _has_looked_at_end(self, look: "asyncio.Future[int]") -> None:
        if look.cancelled() or look.exception() is not None:  # who comes next looks again
            self._end = None
