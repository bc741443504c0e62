"""Answers to TOP and RETR: a window of commands ahead of them, bodies in memory or in a temporary file.

An end mark alone does not end a body: what comes behind it says whether it was one. So an answer is handed on when the
status of the next one was read, the last one behind a NOOP.
"""

import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO, Final

from app.pop3.dialogue import Dialogue
from app.pop3.errors import BodyRunsOn, LimitExceeded, Pop3Error, ProtocolError, response_code
from app.pop3.limits import Limits
from app.pop3.protocol import FILE_END, Data, Expect, Status
from app.pop3.sizes import Meter, size_of
from app.pop3.spool import Spool

_HOPE = 16 * 1024 * 1024  # octets over twice what a message may have, and of headers, for whose end we wait

# The end of a file with LF, and the next answer behind it, or nothing yet. Whoever gets bare LF into a letter can forge
# it: so it is never an end by itself.
_INNER_END: Final = re.compile(rb"(?<!\r)\n\.\r\n(?:\+OK|-ERR)", re.IGNORECASE)
_STATUS: Final = re.compile(rb"\+OK|-ERR", re.IGNORECASE)
_CARRIED: Final = 16
_END_MARK: Final = 3

_RUNS_ON: Final = (
    "What follows an answer is no answer to the next command: the server may not stuff dots. It is asked for one "
    "message at a time now."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """-ERR to one message: that message's failure only."""

    text: str
    response_code: str | None


class Ending(Enum):
    """What came behind a body."""

    ANSWERED = auto()  # the status of the next answer
    AS_FILE = (
        auto()
    )  # the same, and a second of silence before and after: the body ended as a file with LF does
    NONSENSE = auto()  # no status: where it ended is not known
    LOST = auto()  # nothing: the connection ended, or went silent


@dataclass(slots=True)
class Retrieved:
    """The answer for one message: a body, a refusal, or word that it is over the limit.

    ``body``: bytes, or for a large one an open temporary file at its beginning, which whoever got it closes.
    ``has_inner_end``: it holds what may be the end of a file and a status line, and was asked for alone. ``octets``:
    how many came; ``is_cut``: the body holds the first of them only.
    """

    number: int
    body: bytes | BinaryIO | None = None
    refused: Refusal | None = None
    too_large: bool = False
    octets: int = 0
    ending: Ending = Ending.ANSWERED
    has_inner_end: bool = False
    is_cut: bool = False

    @property
    def held(self) -> int:
        """Octets in memory or on disk."""
        return len(self.body) if isinstance(self.body, bytes) else self.octets

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """A command for one message. ``octets`` that are expected; ``listed``: what LIST said of the whole message."""

    number: int
    line: bytes
    octets: int
    listed: int | None = None


def refusal(dialogue: Dialogue, status: Status) -> Refusal:
    """What a status of -ERR says of one message."""
    return Refusal(dialogue.shown(status.text), response_code(status.text))


class Retrieval:
    """Asks for messages. ``awaited``: the message-number whose answer is due; after an error, the one within which the
    session ended, where that one is to blame.
    """

    def __init__(self, dialogue: Dialogue, limits: Limits) -> None:
        self._dialogue = dialogue
        self._limits = limits
        self.awaited: int | None = None
        self._is_draining = False  # no further command is sent
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
                place = _place_of_head(reply) if are_heads else _place_of(reply, listed, waiting)
                waiting.append(reply)
                if place is _Place.ANOTHER:
                    raise ProtocolError("An answer has the size of another message.")
                self._is_draining |= place is _Place.CUT
                if not self._is_draining:
                    yield waiting.popleft()
                elif sum(one.held for one in waiting) > self._limits.window_octets + most_octets:
                    raise ProtocolError("Behind a message that was cut short comes more than was announced.")
            if waiting:
                await self._dialogue.silence()
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
        """Nobody knows whether the end mark of the answer before was one, if what followed is no status.

        Headers are of no use then: where commands went ahead of answers BodyRunsOn is raised, for it may have begun in
        any of them.
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
        """Whose answer is due next, once it was asked for; no more octets ahead than the limit.

        Nothing more is asked for once the session's time is nearly over.
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
        """NOOP, and for the end of a file a second in which nothing comes."""
        status = await self._dialogue.confirm()
        if held.ending is Ending.AS_FILE:
            if not status.ok:
                raise ProtocolError("NOOP was refused, behind a message that ended as a file does.")
            await self._dialogue.silence()

    async def _answer(self, one: Asked, status: Status, size: "_Size", *, is_alone: bool) -> Retrieved:
        if not status.ok:
            return Retrieved(one.number, refused=refusal(self._dialogue, status))
        end = _End(one.listed, is_alone=is_alone)
        data = await self._dialogue.data(is_end=end.is_here)
        if not is_alone and _STATUS.match(data.octets):
            raise ProtocolError("A message begins with a status line: the server gave an answer too many.")
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

    async def _large(self, number: int, data: Data, size: "_Size", end: "_End") -> Retrieved:
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


class _Place(Enum):
    """What an answer's size says of the command that it belongs to."""

    OWN = auto()  # its own
    ANOTHER = auto()  # an earlier one
    CUT = auto()  # it is shorter than LIST said, whichever way a server counts
    OPEN = auto()


def _place_of(reply: Retrieved, listed: Mapping[int, int | None], waiting: Iterable[Retrieved]) -> _Place:
    said, others = listed[reply.number], {listed[one.number] for one in waiting}
    if said is None or not isinstance(reply.body, bytes):
        return _Place.OPEN
    if reply.octets == said and not others:
        return _Place.OWN  # the usual case, without a look at the body
    size = size_of(reply.body)
    if size.is_exactly(said):
        return _Place.OPEN if said in others else _Place.OWN
    if any(size.is_exactly(other) for other in others):
        return _Place.ANOTHER
    # Some count the dots that they stuff, some the end mark. What a sender hides behind a forged one is longer.
    is_counted = said - size.octets in {_END_MARK, size.dots, size.dots + _END_MARK}
    return _Place.CUT if size.octets < said and not is_counted else _Place.OPEN


def _place_of_head(reply: Retrieved) -> _Place:
    if reply.is_cut:
        return _Place.CUT
    if not isinstance(reply.body, bytes) or reply.body.endswith((b"\n\r\n", b"\n\n")):
        return _Place.OPEN
    return _Place.OPEN if reply.body in {b"\r\n", b"\n"} else _Place.CUT


class _End:
    """Where a body ends that may end as a file with LF does: LF ``.`` CRLF.

    Behind it, the next answers would be read as a part of this message. Whoever gets bare LF into a letter can forge
    such an end; so it is one only where the message was asked for alone, and is exactly as long as LIST said.
    """

    def __init__(self, listed: int | None, *, is_alone: bool) -> None:
        self._listed = listed
        self._is_alone = is_alone
        self._meter = Meter()
        self._tail = b""
        self._is_as_file = self._has_inner_end = False

    def passed(self, data: Data) -> None:
        """So much of the body has come. Raises BodyRunsOn where it holds what may be the answers to other commands."""
        if self._is_alone:
            self._meter.add(data.octets)
        else:
            self._meter.octets += len(data.octets)
        if self._meter.octets > (self._listed or 0) and FILE_END in (held := self._tail + data.octets):
            self._has_inner_end |= _INNER_END.search(held) is not None
        self._tail = data.octets[-_CARRIED:]
        if self._has_inner_end and not self._is_alone:
            raise self._runs_on()

    def is_here(self, held: bytes) -> bool:
        """Nothing has come for a second, and what is held ends with LF ``.`` CRLF."""
        rest = held[: 1 - len(FILE_END)]
        if (
            not self._is_alone
            and self._meter.octets + len(held) > (self._listed or 0)
            and _INNER_END.search(held)
        ):
            raise self._runs_on()
        size = self._meter.with_more(rest)
        if not size.is_exactly(self._listed):
            return False
        if not self._is_alone:
            raise self._runs_on()
        self._is_as_file = True
        return True

    def noted(self, reply: Retrieved) -> Retrieved:
        """The reply, with what was found out about its end."""
        reply.has_inner_end = self._has_inner_end
        if self._is_as_file:
            reply.ending = Ending.AS_FILE
        return reply

    @staticmethod
    def _runs_on() -> BodyRunsOn:
        return BodyRunsOn(
            "A message runs on into the next answers: the server may end it as its file lies on disk, with LF. It is "
            "asked for one message at a time now."
        )
