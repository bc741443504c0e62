"""The octets that answers under way hold in memory: counted, shared by the readers, and bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.reading.errors import Busy

SMALL_OCTETS = 1024 * 1024


@dataclass(eq=False)
class _Wish:
    reader: object
    octets: int
    granted: asyncio.Future[None]


class AnswerMemory:
    """So many octets for all answers together. What is wanted beyond that waits, not for long and not with many.

    One reader gets at most half of all (for what is small three quarters), so that many slow downloads of his leave
    room for others and for his own small questions. What is larger than that comes alone.
    """

    def __init__(self, most_octets: int, *, most_waiting: int = 64, patience_seconds: float = 3.0) -> None:
        self._most = most_octets
        self._most_waiting = most_waiting
        self._patience = patience_seconds
        self._held: dict[object, int] = {}
        self._wishes: list[_Wish] = []
        self.refused = 0

    @property
    def held_octets(self) -> int:
        """What is held now, by all."""
        return sum(self._held.values())

    @asynccontextmanager
    async def share(self, reader: object) -> AsyncIterator["Share"]:
        """What one answer holds. All of it is given back at the end of the block, however that comes."""
        share = Share(self, reader)
        try:
            yield share
        finally:
            share.give_back()

    async def take(self, reader: object, octets: int) -> None:
        """Hold so many octets more. Raises Busy."""
        wish = _Wish(reader, octets, asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        self._grant()
        if wish.granted.done():
            return
        try:
            if len(self._wishes) > self._most_waiting:
                raise TimeoutError
            async with asyncio.timeout(self._patience):
                await wish.granted
        except BaseException as error:
            if wish in self._wishes:
                self._wishes.remove(wish)
                self._grant()  # it may have stood before others
            else:
                self.give_back(reader, octets)
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Busy from error
            raise

    def give_back(self, reader: object, octets: int) -> None:
        """Hold so many octets less."""
        if not octets:
            return
        self._held[reader] = self._held.get(reader, 0) - octets
        if not self._held[reader]:
            del self._held[reader]
        self._grant()

    def _grant(self) -> None:
        """Who holds the least comes first. Nobody overtakes one for whom only the memory of others is missing."""
        for wish in sorted(self._wishes, key=lambda wish: self._held.get(wish.reader, 0)):
            held, mine = self.held_octets, self._held.get(wish.reader, 0)
            fraction = 0.75 if wish.octets <= SMALL_OCTETS else 0.5
            if mine and mine + wish.octets > self._most * fraction:
                continue
            if held and held + wish.octets > self._most:
                return
            self._held[wish.reader] = mine + wish.octets
            self._wishes.remove(wish)
            if not wish.granted.done():
                wish.granted.set_result(None)


@dataclass(eq=False)
class Share:
    """What one answer holds."""

    memory: AnswerMemory
    reader: object
    octets: int = 0

    async def take(self, octets: int) -> None:
        """Hold so many octets more, until the answer has ended. Raises Busy."""
        await self.memory.take(self.reader, octets)
        self.octets += octets

    def give_back(self) -> None:
        """All of it: the answer has ended."""
        self.memory.give_back(self.reader, self.octets)
        self.octets = 0
