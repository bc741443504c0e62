"""Between the wire and the database: retrieved messages in bounded batches, prepared in threads.

While one batch is committed, others are compressed and the next one is received. One more has to wait, and the reading
from the server waits with it: a slow disk slows the server down. Memory is bounded for each sync by its batches, and
for all syncs by the memory budget that they share. The threads are shared as well, in turns of the mailboxes: a mailbox
whose messages are slow to read delays only itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from app import pop3
from app.ledger.lines import Candidate
from app.messages.indexed.indexed_headers import NO_HEADERS, IndexedHeaders
from app.messages.intake import Prepared, prepare
from app.messages.letters.contents import Packed, Packer
from app.messages.wholeness import WHOLE, Copy, Wholeness, measuring
from app.reading.shares import Owner
from app.reading.threads import FairThreads, Steps

_MOST_UNDER_WAY = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one candidate: a message to store, or the reason why there is none.

    ``copy``: what came of it; ``wholeness``: whether it is confirmed whole. ``ended_session``: nothing
    more came in this session, which may be the message's fault, or chance.
    """

    candidate: Candidate
    prepared: Prepared | None
    reason: str | None = None
    is_too_large: bool = False
    ended_session: bool = False
    unwanted: str | None = None
    copy: Copy | None = None
    wholeness: Wholeness = WHOLE


@dataclass
class MemoryBudget:
    """What all syncs of the process hold of mail that is not stored yet: octets in memory, at most about so many.

    No sync waits for the memory of another one, whose server may never send anything again. Beyond the limit each sync
    stores what it holds before it reads on, so that each adds one message at most.
    """

    most_octets: int
    held_octets: int = 0

    @property
    def is_full(self) -> bool:
        """Whether each is to store what it has."""
        return self.held_octets >= self.most_octets


class Batches:
    """Collects replies and hands them, prepared and in order, to ``commit``, one batch at a time.

    On leaving, what was collected is committed too, also when the session broke: what has arrived is not lost.
    """

    def __init__(
        self,
        *,
        commit: Callable[[Sequence[Outcome]], Awaitable[None]],
        threads: FairThreads,
        owner: Owner,
        most_messages: int,
        most_octets: int,
        judge: Callable[[Candidate, Prepared], str | None],
        memory: MemoryBudget,
        indexed: IndexedHeaders = NO_HEADERS,
    ) -> None:
        self._commit = commit
        self._threads = threads
        self._owner = owner
        self._most_messages = most_messages
        self._most_octets = most_octets
        self._judge = judge
        self._memory = memory
        self._indexed = indexed
        self._collected: list[tuple[Candidate, pop3.Retrieved]] = []
        self._octets = self._held_octets = 0
        self._under_way: deque[asyncio.Task[None]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or issubclass(kind, pop3.Pop3Error):
                await self._send()
                await self._until_under_way(0)
        finally:
            for task in self._under_way:
                task.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way)
            self._memory.held_octets -= self._held_octets
            _close(self._collected)

    async def add(self, candidate: Candidate, reply: pop3.Retrieved) -> None:
        """Take one reply; waits when too many batches are under way. Raises what a commit raised."""
        self._collected.append((candidate, reply))
        self._octets += reply.octets
        held = len(reply.body) if isinstance(reply.body, bytes) else 0
        self._held_octets += held
        self._memory.held_octets += held
        if self._memory.is_full:
            await self._send()
            await self._until_under_way(0)
        elif len(self._collected) >= self._most_messages or self._octets >= self._most_octets:
            await self._send()

    async def _send(self) -> None:
        await self._until_under_way(_MOST_UNDER_WAY - 1)
        if self._collected:
            replies, held = self._collected, self._held_octets
            self._collected, self._octets, self._held_octets = [], 0, 0
            before = self._under_way[-1] if self._under_way else None
            task = asyncio.create_task(self._prepare_and_commit(replies, before))
            task.add_done_callback(lambda _task: self._release(held))
            self._under_way.append(task)

    def _release(self, octets: int) -> None:
        self._memory.held_octets -= octets

    async def _until_under_way(self, most: int) -> None:
        while len(self._under_way) > most:
            await self._under_way[0]
            self._under_way.popleft()

    async def _prepare_and_commit(
        self, replies: Sequence[tuple[Candidate, pop3.Retrieved]], before: asyncio.Task[None] | None
    ) -> None:
        """Prepare a batch beside others, and commit it after the one before, unless that one failed."""
        try:
            outcomes = await self._threads.run(self._owner, self._prepare(replies))
            if before is not None:
                await asyncio.wait([before])
                if before.cancelled() or before.exception() is not None:
                    return
            await self._commit(outcomes)
        finally:
            _close(replies)

    def _prepare(self, replies: Sequence[tuple[Candidate, pop3.Retrieved]]) -> Steps[list[Outcome]]:
        """Make outcomes of replies, in a thread: one message is one step, a large one several."""
        bodies = [reply.body for _candidate, reply in replies if reply.body is not None]
        packed = iter((yield from Packer().packing(bodies)))
        outcomes = []
        for candidate, reply in replies:
            outcomes.append(self._judged((yield from _outcome(candidate, reply, packed, self._indexed))))
            yield
        return outcomes

    def _judged(self, outcome: Outcome) -> Outcome:
        unwanted = self._judge(outcome.candidate, outcome.prepared) if outcome.prepared else None
        return replace(outcome, unwanted=unwanted) if unwanted else outcome


def _close(replies: Sequence[tuple[Candidate, pop3.Retrieved]]) -> None:
    for _candidate, reply in replies:
        reply.close()


def _outcome(
    candidate: Candidate, reply: pop3.Retrieved, packed: Iterator[Packed], indexed: IndexedHeaders
) -> Steps[Outcome]:
    if reply.refused is not None:
        return Outcome(candidate, None, reason=f"the server refused it: {reply.refused.text}"[:1000])
    if reply.too_large:
        return Outcome(candidate, None, is_too_large=True)
    assert reply.body is not None
    message = prepare(
        next(packed), unique_id=candidate.unique_id, occurrence=candidate.occurrence, indexed=indexed
    )
    copy = yield from measuring(
        reply.body,
        listed=candidate.octets,
        digest=message.packed.sha256,
        ending=reply.ending,
        has_inner_end=reply.has_inner_end,
    )
    return Outcome(candidate, message, copy=copy)
