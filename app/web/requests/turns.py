"""Requests begin a few at a time, those of each client in turn.

All are answered by one event loop. When hundreds come at once, each goes on a little in every turn of the loop, and
whoever comes then waits for all of them at each of his steps. Those who begin later are answered no later on the whole.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from app.reading.shares import Shares
from app.reading.short_work import ShortWork

AT_ONCE: Final = 8
_SECONDS: Final = (
    0.1  # who has not begun with the answer by then waits for something else: a body, a server, room
)


_turn: ContextVar["Turn | None"] = ContextVar("turn", default=None)


def end_turn() -> None:
    """The request of this context waits for news, maybe for long: others may begin."""
    if (turn := _turn.get()) is not None:
        turn.end()


@dataclass(eq=False)
class Turns:
    """Turns of at most ``seconds`` for all requests, ``at_once`` of them at the same time; ``short_work`` is told."""

    short_work: ShortWork
    at_once: int = AT_ONCE
    seconds: float = _SECONDS
    _shares: "Shares[Turn]" = field(default_factory=Shares, init=False)
    _under_way: int = field(default=0, init=False)

    async def begin(self, client: str) -> "Turn":
        """Wait for a turn of this client's, which is the context's then. It ends by ``Turn.end``, or by itself."""
        turn = Turn(self, (client,), asyncio.get_running_loop())
        self._shares.add(turn.client, turn)
        self._let_begin()
        if not turn.has_begun:
            turn.begins = turn.loop.create_future()
            try:
                await turn.begins
            except asyncio.CancelledError:
                self._gives_up(turn)
                raise
        _turn.set(turn)
        return turn

    def waiting(self, client: str) -> int:
        """How many requests of a client have not begun."""
        return self._shares.waiting((client,))

    def _let_begin(self) -> None:
        while self._under_way < self.at_once and (next_one := self._shares.take()):
            self._under_way += 1
            self.short_work.begins()
            next_one[1].begin()

    def ended(self, turn: "Turn") -> None:
        """One of those that began is over."""
        self._under_way -= 1
        self.short_work.ends()
        self._shares.done(turn.client, cost=1.0)
        self._let_begin()

    def _gives_up(self, turn: "Turn") -> None:
        if not self._shares.remove(turn.client, turn):
            turn.end()


@dataclass(eq=False, slots=True)
class Turn:
    """A request's. ``begins``: set while it waits."""

    turns: Turns
    client: tuple[str]
    loop: asyncio.AbstractEventLoop
    begins: asyncio.Future[None] | None = None
    has_begun: bool = False
    _end: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """It begins, and ends soon."""
        self.has_begun = True
        self._end = self.loop.call_later(self.turns.seconds, self.end)
        if self.begins is not None and not self.begins.done():
            self.begins.set_result(None)

    def end(self) -> None:
        """Another one may begin; once is enough."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
            self.turns.ended(self)
