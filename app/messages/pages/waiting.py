"""Waiting for what comes into the feed (long poll).

Who waits goes on from where a look ended, and later looks only at what has been stored since. Who waits with filters
of their own look each for themselves; together they get a share of the processor, however many they are.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from app.access.reach import Reach
from app.database import Database
from app.jobs.wakeups import Wakeup
from app.messages import repository
from app.messages.pages.feed import FeedQuery, Found, Order, read_once
from app.messages.pages.times import place_before
from app.reading.allowance import Allowance
from app.reading.cost import Timed
from app.web.requests.turns import end_turn

_END_HOLDS_SECONDS = 4.0  # what one of those who wait has seen of the end of the feed holds for the others
_GATHER_SECONDS = 0.05  # commits within it are looked at together by who has found nothing
_SHARE_OF_LOOKS = 0.1  # of one core, for all who wait with filters
_FREE_SECONDS = 0.1  # after a rest: one who waits goes through 100,000 messages at once
_LONGEST_REST_SECONDS = 2.0


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
    longest_rest_seconds: float = _LONGEST_REST_SECONDS
    _looks: Allowance = field(init=False)
    _end: tuple[float, asyncio.Future[int]] | None = field(default=None, init=False)
    _under_way: dict[tuple[asyncio.Event, FeedQuery], asyncio.Task[Found]] = field(
        default_factory=dict, init=False
    )

    def __post_init__(self) -> None:
        self._looks = Allowance(self.monotonic, _SHARE_OF_LOOKS, free=_FREE_SECONDS)

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
        is_first = True
        while True:
            ticket, looked_at = self.messages_stored.ticket(first.wanted.mailbox_id), self.monotonic()
            found = await self._found(ticket, query, is_first=is_first)
            is_first = False
            if not found.is_empty or self.monotonic() >= deadline or await is_gone():
                return found
            top = found.end if top is None else top
            if found.reached is not None:
                query = replace(query, start=found.reached)
                if first.wanted.is_search:
                    await self._rest(deadline, at_least=0.0)
                continue
            if first.order is Order.FEED:
                query = replace(first, start=max(found.end, first.start or 0))
            elif first.start is None:
                query, top = replace(first, floor=top), None  # down from there nothing fits
            else:
                return found  # what comes is newer than the cursor
            await self._news(ticket, deadline, end=found.end, reach_now=reach_now)
            await self._gather(first, deadline, looked_at)
            first = replace(first, reach=await reach_now())
            query = replace(query, reach=first.reach)

    async def last_place(self) -> int:
        """Behind it is what will be stored from now on."""
        return await self.database.read(repository.last_place)

    async def place_before(self, moment: datetime) -> int:
        """Behind it is all that was retrieved at this time or later."""
        return await self.database.read(partial(place_before, moment=moment))

    async def _found(self, ticket: asyncio.Event, query: FeedQuery, *, is_first: bool) -> Found:
        """One look for all who ask the same since the same commit: it began after that one."""
        key = ticket, query
        if (task := self._under_way.get(key)) is None:
            task = self._under_way[key] = asyncio.ensure_future(self._look(query, is_first=is_first))
            task.add_done_callback(partial(self._has_looked, key))
        return await asyncio.shield(task)

    async def _look(self, query: FeedQuery, *, is_first: bool) -> Found:
        look = partial(read_once, query=query)
        if not query.wanted.is_search:
            return await self.database.read(look)
        found, cost = await self.database.search(Timed(look, is_elsewhere=not self.database.is_sqlite))
        if not is_first:
            self._looks.took(cost)
        return found

    async def _gather(self, query: FeedQuery, deadline: float, looked_at: float) -> None:
        """Let more come before the next look at news.

        Many may wait with filters of their own, and each of them looks. So they look when those are answered for whom
        something was stored, and the longer after it the more their looks cost.
        """
        if query.wanted.is_search:
            await self._rest(deadline, at_least=self.gather_seconds)
        else:
            until = min(looked_at + self.gather_seconds, deadline)
            await asyncio.sleep(max(0.0, until - self.monotonic()))

    async def _rest(self, deadline: float, *, at_least: float) -> None:
        """Let others work before the next look by filters, the longer the more such looks cost."""
        seconds = max(at_least, min(self._looks.rest, self.longest_rest_seconds))
        await asyncio.sleep(max(0.0, min(seconds, deadline - self.monotonic())))

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
        end_turn()
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
