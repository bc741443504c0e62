"""Answers to TOP and RETR: a window of commands ahead of them, bodies in memory or in a temporary file."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.pop3.dialogue import Dialogue
from app.pop3.errors import response_code
from app.pop3.limits import Limits
from app.pop3.protocol import Data, Expect, Status
from app.pop3.spool import Spool

_HOPE = 16 * 1024 * 1024  # octets over twice what a message may have, for which its end is waited for


@dataclass(frozen=True, slots=True)
class Refusal:
    """-ERR to one message: that message's failure only."""

    text: str
    response_code: str | None


@dataclass(slots=True)
class Retrieved:
    """The answer for one message: a body, a refusal, or word that it is over the limit.

    ``body``: bytes, or for a large one an open temporary file at its beginning, which whoever got it closes.
    """

    number: int
    body: bytes | BinaryIO | None = None
    refused: Refusal | None = None
    too_large: bool = False
    octets: int = 0

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.close()


def refusal(dialogue: Dialogue, status: Status) -> Refusal:
    """What a status of -ERR says of one message."""
    return Refusal(dialogue.shown(status.text), response_code(status.text))


class Retrieval:
    """Asks for messages. ``awaited``: the message-number whose answer is due; after an error, the one within which the
    session ended.
    """

    def __init__(self, dialogue: Dialogue, limits: Limits) -> None:
        self._dialogue = dialogue
        self._limits = limits
        self.awaited: int | None = None

    async def pipelined(
        self, asked: Sequence[tuple[int, bytes, int]], *, window: int, most_octets: int
    ) -> AsyncIterator[Retrieved]:
        """Send commands (message-number, line, octets expected), so many ahead of their answers, and no more octets
        than the limit; yield the answers in order. A body may have ``most_octets``.
        """
        await self._dialogue.begin()
        under_way: deque[tuple[int, int]] = deque()
        expected, sent = 0, 0
        while under_way or sent < len(asked):
            lines = []
            while sent < len(asked) and len(under_way) < window:
                number, line, octets = asked[sent]
                if under_way and expected + octets > self._limits.window_octets:
                    break
                lines.append(line)
                under_way.append((number, octets))
                expected += octets
                sent += 1
            if lines:
                self._dialogue.send(b"".join(lines), *[Expect.MULTILINE] * len(lines))
            # Refill in halves: a packet of many commands costs as much as one of a single command.
            low = len(under_way) // 2 if sent < len(asked) else 0
            while len(under_way) > low:
                self.awaited, octets = under_way.popleft()
                reply = await self._retrieved(self.awaited, most_octets)
                self.awaited = None
                expected -= octets
                yield reply

    async def _retrieved(self, number: int, most_octets: int) -> Retrieved:
        status = await self._dialogue.status()
        if not status.ok:
            return Retrieved(number, refused=refusal(self._dialogue, status))
        data = await self._dialogue.data()
        if data.is_last:  # the usual case: the whole message is in the buffer
            octets = len(data.octets)
            if octets > most_octets:
                return Retrieved(number, too_large=True, octets=octets)
            return Retrieved(number, data.octets, octets=octets)
        return await self._large(number, data, most_octets)

    async def _large(self, number: int, data: Data, most_octets: int) -> Retrieved:
        """In memory up to a limit, then in a temporary file; over the next limit it is read and thrown away.

        The end of what is more than twice that is not waited for: the session is over then.
        """
        octets = 0
        with contextlib.ExitStack() as closing:
            spool = Spool(self._limits.memory_octets)
            closing.callback(spool.close)
            while True:
                octets += len(data.octets)
                if octets <= most_octets:
                    spool.write(data.octets)
                else:
                    spool.close()
                if data.is_last:
                    break
                if octets > 2 * most_octets + _HOPE:
                    await self._dialogue.abort()
                    break
                data = await self._dialogue.data()
            if octets > most_octets:
                return Retrieved(number, too_large=True, octets=octets)
            closing.pop_all()
            return Retrieved(number, spool.content(), octets=octets)
