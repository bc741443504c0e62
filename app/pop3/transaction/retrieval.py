"""Answers to TOP and RETR: a window of commands ahead of them, bodies in memory or in a temporary file.

An end mark alone does not end a body: what comes behind it says whether it was one. So an answer is handed on when the
status of the next one was read, the last one behind a NOOP.
"""

import contextlib
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.pop3.errors import BodyRunsOn, LimitExceeded, Pop3Error, ProtocolError
from app.pop3.limits import Limits
from app.pop3.transaction.answers import Asked, Ending, Place, Retrieved, place_of, place_of_head, refusal
from app.pop3.transaction.ends import End
from app.pop3.transaction.spool import Spool
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.protocol import Data, Expect, Status

_HOPE = 16 * 1024 * 1024  # octets over twice what a message may have, and of headers, for whose end we wait

_HABIT: Final = 3  # silences that are enough to know it

_STATUS: Final = re.compile(rb"\+OK|-ERR", re.IGNORECASE)

_RUNS_ON: Final = (
    "What follows an answer is no answer to the next command: the server may not stuff dots. It is asked for one "
    "message at a time now."
)


class Retrieval:
    """Asks for messages. ``awaited``: the message-number whose answer is due; after an error, the one within which the
    session ended, where that one is to blame.
    """

    def __init__(self, dialogue: Dialogue, limits: Limits) -> None:
        self._dialogue = dialogue
        self._limits = limits
        self.awaited: int | None = None
        self._is_draining = False  # no further command is sent
        self._silences: Counter[bool] = Counter()  # by whether header blocks were asked for
        self._is_cut_short = False

    async def answers(
        self,
        asked: deque[Asked],
        *,
        window: int,
        most_octets: int,
        cut_at: int | None = None,
        is_confirmed: bool = True,
    ) -> AsyncIterator[Retrieved]:
        """Send commands, at most ``window`` ahead of their answers, and yield the answers in order.

        What is sent is taken out of ``asked``. A body may have ``most_octets``; with ``cut_at`` no more than those are
        kept of any. When the session breaks, the answer before comes with its ``ending``, and then the error is raised.
        ``is_confirmed``: a NOOP follows the last one.
        """
        await self._dialogue.begin()
        held: Retrieved | None = None
        try:
            for one in self._due(asked, window):
                self.awaited = None if self._dialogue.is_over else one.number
                status = await self._dialogue.status()
                if held is not None:
                    whole, held = held, None
                    yield whole
                size = _Size(most_octets, cut_at)
                reply = await self._answer(one, status, size, is_alone=window == 1)
                self.awaited = None
                if reply.body is None:
                    yield reply
                else:
                    held = reply
                    if held.ending is Ending.AS_FILE or held.has_inner_end:
                        await self._confirm(held)
                        whole, held = held, None
                        yield whole
            if held is not None:
                if is_confirmed:
                    await self._confirm(held)
                whole, held = held, None
                yield whole
            if self._is_cut_short:
                raise self._dialogue.out_of_time()
        except Pop3Error as error:
            if held is None or not self._is_handed_on(
                held, error, is_whole=is_confirmed, is_ahead=window > 1
            ):
                raise
            doubtful, held = held, None
            yield doubtful
            raise
        finally:
            if held is not None:
                held.close()

    async def answers_in_place(
        self, asked: deque[Asked], *, window: int, most_octets: int, cut_at: int | None = None
    ) -> AsyncIterator[Retrieved]:
        """As ``answers``, where each answer is one to its own command.

        Where a server does not stuff dots, a sender writes an end mark into a letter, and behind it a status and a
        message: those are taken for the next one, and each answer from there on for that to a later command. So no
        command follows a message that is shorter than LIST said until those under way are answered and nothing more
        comes; what came behind it waits. BodyRunsOn is raised where something comes, or one has the size of another.
        ``cut_at``: header blocks were asked for. One is cut short if it lacks the empty line at its end.

        In lock step each of these waits costs a second. After a few in which nothing came the server is taken for one
        whose sizes say too much, or whose header blocks lack that line: what a sender brings about is not silent.
        """
        listed = {one.number: one.listed for one in asked}
        while asked:
            try:
                async for reply in self._until_cut(
                    asked, listed, window=window, most_octets=most_octets, cut_at=cut_at
                ):
                    yield reply
            finally:
                self._is_draining = False

    async def _until_cut(
        self,
        asked: deque[Asked],
        listed: Mapping[int, int | None],
        *,
        window: int,
        most_octets: int,
        cut_at: int | None,
    ) -> AsyncIterator[Retrieved]:
        """Until all were asked for, or until one was cut short and nothing came behind those under way then."""
        waiting: deque[Retrieved] = deque()
        are_heads = cut_at is not None
        try:
            async for reply in self.answers(
                asked, window=window, most_octets=most_octets, cut_at=cut_at, is_confirmed=not are_heads
            ):
                place = place_of_head(reply) if are_heads else place_of(reply, listed, waiting)
                waiting.append(reply)
                if place is Place.ANOTHER:
                    raise ProtocolError("An answer has the size of another message.")
                self._is_draining |= place is Place.CUT and (
                    window > 1 or (reply.ending is Ending.ANSWERED and self._silences[are_heads] < _HABIT)
                )
                if not self._is_draining:
                    yield waiting.popleft()
                elif sum(one.held for one in waiting) > self._limits.window_octets + most_octets:
                    raise ProtocolError("Behind a message that was cut short comes more than was announced.")
            if waiting:
                await self._dialogue.silence()
                self._silences[are_heads] += 1
            while waiting:
                yield waiting.popleft()
        except Pop3Error as error:
            if waiting and isinstance(error, ProtocolError | LimitExceeded):
                self.awaited = None
                raise BodyRunsOn(_RUNS_ON, error.reply) from error
            while waiting:
                yield waiting.popleft()
            raise
        finally:
            for one in waiting:
                one.close()

    def _is_handed_on(self, held: Retrieved, error: Pop3Error, *, is_whole: bool, is_ahead: bool) -> bool:
        """Decide whether the answer before an error is handed on: if no status follows, its end mark may be none.

        A header block is of no use then. Where commands went ahead of answers, BodyRunsOn is raised: any of the answers
        may be the one that ran on.
        """
        if not is_whole and isinstance(error, ProtocolError):
            self.awaited = None if is_ahead else held.number
            if is_ahead:
                raise BodyRunsOn(_RUNS_ON, error.reply) from error
            return False
        if held.ending is Ending.AS_FILE:
            self.awaited = held.number
            return False
        held.ending = Ending.LOST
        if isinstance(error, ProtocolError | LimitExceeded):
            held.ending, self.awaited = Ending.NONSENSE, None  # the one behind is innocent
        return True

    @property
    def _is_stopped(self) -> bool:
        return self._is_draining or self._is_cut_short

    def _due(self, asked: deque[Asked], window: int) -> Iterator[Asked]:
        """Send commands, no more octets ahead than the limit, and yield each as its answer is due.

        No command is sent once the session's time is nearly over.
        """
        under_way: deque[Asked] = deque()
        expected = 0
        while under_way or (asked and not self._is_stopped):
            lines = []
            self._is_cut_short |= bool(asked) and self._dialogue.is_out_of_time
            while asked and not self._is_stopped and len(under_way) < window:
                if under_way and expected + asked[0].octets > self._limits.window_octets:
                    break
                one = asked.popleft()
                lines.append(one.line)
                under_way.append(one)
                expected += one.octets
            if lines:
                self._dialogue.send(b"".join(lines), *[Expect.MULTILINE] * len(lines))
            # Refill in halves: a packet of many commands costs as much as one of a single command.
            low = len(under_way) // 2 if asked and not self._is_stopped else 0
            while len(under_way) > low:
                one = under_way.popleft()
                yield one
                expected -= one.octets

    async def _confirm(self, held: Retrieved) -> None:
        """NOOP, and behind an end of the server's own a second in which nothing comes."""
        status = await self._dialogue.confirm()
        if held.ending is Ending.AS_FILE:
            if not status.ok:
                raise ProtocolError(
                    "NOOP was refused, behind a message that ended in a way of the server's own."
                )
            await self._dialogue.silence()

    async def _answer(self, one: Asked, status: Status, size: "_Size", *, is_alone: bool) -> Retrieved:
        if not status.ok:
            return Retrieved(one.number, refused=refusal(self._dialogue, status))
        end = End(one.listed, is_alone=is_alone)
        data = await self._dialogue.data(is_end=end.is_here)
        if _STATUS.match(data.octets):
            if not is_alone:
                raise ProtocolError(
                    "A message begins with a status line: the server gave an answer too many."
                )
            end.is_doubtful = True
        end.passed(data)
        if not data.is_last:
            return await self._large(one.number, data, size, end)
        # The usual case: the whole message is in the buffer.
        octets = len(data.octets)
        if octets > size.kept and size.cuts:
            return end.noted(Retrieved(one.number, data.octets[: size.kept], octets=octets, is_cut=True))
        if octets > size.kept:
            return Retrieved(one.number, too_large=True, octets=octets)
        return end.noted(Retrieved(one.number, data.octets, octets=octets))

    async def _large(self, number: int, data: Data, size: "_Size", end: "End") -> Retrieved:
        """In memory up to a limit, then in a temporary file; over the next limit it is read and thrown away.

        The end of what is more than twice what a message may have is not waited for: the session is over then.
        """
        octets = 0
        with contextlib.ExitStack() as closing:
            spool = Spool(size.kept if size.cuts else self._limits.memory_octets)
            closing.callback(spool.close)
            while True:
                octets += len(data.octets)
                if octets <= size.kept:
                    spool.write(data.octets)
                elif not size.cuts:
                    spool.close()
                elif (room := size.kept + len(data.octets) - octets) > 0:
                    spool.write(data.octets[:room])
                if data.is_last:
                    break
                if octets > size.given_up:
                    await self._dialogue.abort()
                    if size.cuts:
                        raise LimitExceeded("The answer to TOP does not end.")
                    break
                data = await self._dialogue.data(is_end=end.is_here)
                end.passed(data)
            if octets > size.kept and not size.cuts:
                return Retrieved(number, too_large=True, octets=octets)
            closing.pop_all()
            is_cut = octets > size.kept
            return end.noted(Retrieved(number, spool.content(), octets=octets, is_cut=is_cut))


@dataclass(frozen=True, slots=True)
class _Size:
    """How many octets a body may have, and where it is cut, if it is."""

    most: int
    cut_at: int | None

    @property
    def cuts(self) -> bool:
        return self.cut_at is not None

    @property
    def kept(self) -> int:
        return self.most if self.cut_at is None else self.cut_at

    @property
    def given_up(self) -> int:
        return _HOPE if self.cuts else 2 * self.most + _HOPE
