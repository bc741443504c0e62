"""Between the wire and the database: retrieved messages in bounded batches, prepared in a thread.

While one batch is compressed and committed the next one is received; a third has to wait, and with it the
reading from the server. So a slow disk slows the server down, and memory stays bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from app import pop3
from app.messages.contents import Packer
from app.messages.intake import Prepared, prepare
from app.sync.plan import Candidate


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one candidate: a message to store, or the reason why there is none."""

    candidate: Candidate
    prepared: Prepared | None
    reason: str | None = None
    is_too_large: bool = False
    unwanted: str | None = None


class Batches:
    """Collects replies and hands them, prepared and in order, to ``commit``, one batch at a time.

    On leaving, what was collected is committed too, also when the session broke: what has arrived is not lost.
    """

    def __init__(
        self,
        *,
        commit: Callable[[Sequence[Outcome]], Awaitable[None]],
        pool: ThreadPoolExecutor,
        most_messages: int,
        most_octets: int,
        judge: Callable[[Candidate, Prepared], str | None],
    ) -> None:
        self._commit = commit
        self._pool = pool
        self._most_messages = most_messages
        self._most_octets = most_octets
        self._judge = judge
        self._collected: list[tuple[Candidate, pop3.Retrieved]] = []
        self._octets = 0
        self._under_way: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, pop3.Pop3Error):
            await self._send()
            await self._settle()
            return
        for _candidate, reply in self._collected:
            reply.close()
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait([self._under_way])

    async def add(self, candidate: Candidate, reply: pop3.Retrieved) -> None:
        """Take one reply; waits when two batches are under way. Raises what a commit raised."""
        self._collected.append((candidate, reply))
        self._octets += reply.octets
        if len(self._collected) >= self._most_messages or self._octets >= self._most_octets:
            await self._send()

    async def _send(self) -> None:
        await self._settle()
        if self._collected:
            self._under_way = asyncio.create_task(self._prepare_and_commit(self._collected))
            self._collected, self._octets = [], 0

    async def _settle(self) -> None:
        if self._under_way is not None:
            task, self._under_way = self._under_way, None
            await task

    async def _prepare_and_commit(self, replies: Sequence[tuple[Candidate, pop3.Retrieved]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._commit(await loop.run_in_executor(self._pool, self._prepare, replies))
        finally:
            for _candidate, reply in replies:
                reply.close()

    def _prepare(self, replies: Sequence[tuple[Candidate, pop3.Retrieved]]) -> list[Outcome]:
        packer = Packer()
        outcomes = [_outcome(packer, candidate, reply) for candidate, reply in replies]
        return [self._judged(outcome) for outcome in outcomes]

    def _judged(self, outcome: Outcome) -> Outcome:
        unwanted = self._judge(outcome.candidate, outcome.prepared) if outcome.prepared else None
        return replace(outcome, unwanted=unwanted) if unwanted else outcome


def _outcome(packer: Packer, candidate: Candidate, reply: pop3.Retrieved) -> Outcome:
    if reply.refused is not None:
        return Outcome(candidate, None, reason=f"the server refused it: {reply.refused.text}"[:1000])
    if reply.too_large:
        return Outcome(candidate, None, is_too_large=True)
    assert reply.body is not None
    message = prepare(
        packer,
        unique_id=candidate.unique_id,
        occurrence=candidate.occurrence,
        body=reply.body,
        announced_octets=candidate.octets,
    )
    return Outcome(candidate, message)
