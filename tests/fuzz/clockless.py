"""A server in memory and a clock that jumps: limits of minutes and of octets are tried exactly, and in no time."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, TypeVar, TypeVarTuple

from app.pop3.errors import ConnectionLost
from app.pop3.wire.inbox import Inbox
from app.pop3.wire.stream import Stream

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: what it was to wait is added to ``now``."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the session hangs: it waits, and no time-out runs"
        self.now += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """At once: a clock that jumps cannot wait for a thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(played: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it on a clock of its own that begins at 0."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(played())


@dataclass(frozen=True)
class Answer:
    """What the server says to one sending of commands: octets, then others without end; or it closes after them."""

    octets: bytes = b""
    endless: bytes = b""
    closes: bool = False


class PlayedServer(Stream):
    """A stream whose other side is played: ``chunk`` octets come every ``pace`` seconds.

    Each sending of commands gets the next answer, the greeting is the first. ``taken``: what was read of it;
    that is never more than ``most_taken``. ``sendings``: what the client sent.
    """

    def __init__(
        self, answers: list[Answer], *, chunk: int, pace: float = 0.0, most_taken: int | None = None
    ) -> None:
        self._inbox = Inbox()
        self._answers = deque(answers)
        self._chunk = chunk
        self._pace = pace
        self._most_taken = most_taken
        self._coming = bytearray()
        self._endless: cycle[int] | None = None
        self._closes = False
        self.taken = 0
        self.largest_inbox = 0
        self.sendings: list[bytes] = []
        self._begin_answer()

    @property
    def inbox(self) -> Inbox:
        return self._inbox

    def write(self, octets: bytes) -> None:
        self.sendings.append(octets)
        self._begin_answer()

    async def more(self, until: float) -> int:
        async with asyncio.timeout_at(until):
            return await self._more()

    def cost(self) -> float:
        return 0.0

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def is_silent(self, until: float) -> bool:
        if self._coming or self._endless is not None or self._closes:
            return False
        await asyncio.sleep(until - asyncio.get_running_loop().time())
        return True

    async def _more(self) -> int:
        await asyncio.sleep(self._pace)
        octets = self._next_octets()
        if not octets:
            if self._closes:
                raise ConnectionLost("the server closed the connection")
            await asyncio.Event().wait()  # silence, which the time-out ends
        self._inbox.append(octets)
        self.taken += len(octets)
        self.largest_inbox = max(self.largest_inbox, len(self._inbox.data))
        assert self._most_taken is None or self.taken <= self._most_taken, (
            "more was read than the limits allow"
        )
        return len(octets)

    async def close(self) -> None:
        pass

    async def abort(self) -> None:
        pass

    def _begin_answer(self) -> None:
        if not self._answers:
            return
        answer = self._answers.popleft()
        self._coming += answer.octets
        self._endless = cycle(answer.endless) if answer.endless else None
        self._closes = answer.closes

    def _next_octets(self) -> bytes:
        octets = bytes(self._coming[: self._chunk])
        del self._coming[: self._chunk]
        if self._endless is not None:
            octets += bytes(islice(self._endless, self._chunk - len(octets)))
        return octets
