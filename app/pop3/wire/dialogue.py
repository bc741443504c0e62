"""Commands out, replies in: the framing on the stream, with the time-outs, and whether the session is still sound."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from time import thread_time
from typing import Final

from app.pop3.errors import (
    ConnectionLost,
    LimitExceeded,
    OutOfTime,
    Pop3Error,
    ProtocolError,
    Sign,
    Timeout,
    TlsFailed,
    TooSlow,
    closing_error,
)
from app.pop3.limits import Limits
from app.pop3.wire.milestones import Protected
from app.pop3.wire.progress import Progress
from app.pop3.wire.protocol import Challenge, Data, Event, Expect, Framer, NeedData, Status, command
from app.pop3.wire.redaction import Redaction
from app.pop3.wire.stream import Stream
from app.pop3.wire.transcript import Transcript
from app.pop3.words.refusals import meaning_of

_NOOP: Final = command("NOOP")

Took = Callable[[int, int], Awaitable[None]]
"""Called with the lines and octets of a part of a listing."""


async def nobody_counts(_lines: int, _octets: int) -> None:
    """Whatever comes is taken."""


class Dialogue:
    """One connection's exchange. Interrupted inside a reply it is broken, and never used again.

    ``transcript``, when there is one, is told of all that is sent and received. ``redaction`` judges what is shown of
    the server's words. ``progress`` is told how the session moves, and may call it back.

    ``refusal``: what stood behind the last -ERR, if no +OK has come since: as it came, to be judged, not to be shown.
    Where the connection ends behind it, with answers outstanding, its words say why; within a login (``is_logging_in``)
    to whoever logs in, else here. ``capa_refused_at``: how many answers there were when CAPA was refused last, for some
    hang up behind a command that they do not know. ``refusals_read``: which words to one message were meant for all;
    ``refusals_shown``: as what such words may be shown.
    """

    def __init__(
        self,
        stream: Stream,
        limits: Limits,
        *,
        transcript: Transcript | None = None,
        redaction: Redaction | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._progress = progress or Progress()
        self._progress.interrupt = stream.interrupt
        self._stream = stream
        self._limits = limits
        self._transcript = transcript
        self._framer = Framer(stream.inbox, line_octets=limits.line_octets)
        self._framer.expect(Expect.STATUS)  # the greeting
        self._deadline = asyncio.get_running_loop().time() + limits.session_timeout
        self.redaction = redaction or Redaction()
        self._is_broken = False
        self._framing = 0.0  # seconds of processor time that the framer took and nobody was told of
        self._is_closed = False
        self._is_unconfirmed = False
        self.refusal: str | None = None
        self.is_logging_in = False
        self.refusals_read: dict[str, bool] = {}
        self.refusals_shown: dict[str, str] = {}
        self.answers = 0
        self.capa_refused_at: int | None = None
        self._are_ahead: deque[bool] = deque(
            (False,)
        )  # of each answer that is owed: its command did not wait

    @property
    def is_over(self) -> bool:
        """It was closed."""
        return self._is_closed

    @property
    def is_out_of_time(self) -> bool:
        """The session's time is nearly over: what is owed may still come, and nothing more is asked for."""
        spare = min(self._limits.reply_timeout, self._limits.session_timeout / 50)
        return asyncio.get_running_loop().time() >= self._deadline - spare

    def out_of_time(self) -> OutOfTime:
        """What is to be raised then."""
        return OutOfTime(
            f"The session took nearly {self._limits.session_timeout:g} s, and was ended in order."
        )

    @property
    def banner(self) -> str | None:
        """What stood before the greeting."""
        return self._framer.banner

    @property
    def is_unconfirmed(self) -> bool:
        """What was read last is a body: whether its end mark was one shows what comes next."""
        return self._is_unconfirmed

    @property
    def is_in_order(self) -> bool:
        """Nothing is owed, nothing is over, nothing went wrong: a command may be sent."""
        return not self._is_broken and not self._is_closed and self._framer.is_between_replies

    def keep_secret(self, secret: str) -> None:
        """From now on the server's words are not shown where they repeat this either."""
        self.redaction.add(secret)

    def shown(self, text: str) -> str:
        """A server's words as they may be shown: whole (and not too many), or not at all."""
        return self.redaction.shown(text)

    def allow(self, seconds: float) -> None:
        """At least so many seconds more, though the session's time may be over."""
        self._deadline = max(self._deadline, asyncio.get_running_loop().time() + seconds)

    async def begin(self) -> None:
        """To be called before a new exchange. Raises ConnectionLost when the dialogue can bear none.

        What came unasked would be taken for the answer: a server that says "-ERR idle for too long" and closes
        would seem to refuse the message that is asked for next.
        """
        if self._is_broken or self._is_closed or self._framer.is_owed:
            raise ConnectionLost("The session is over, or was left inside a reply.")
        self._refuse_what_came_unasked()

    def _refuse_what_came_unasked(self) -> None:
        if self._framer.leftover and not self._framer.is_owed:
            self._is_broken = True
            error = self._unasked()
            error.sign = Sign.UNASKED
            raise self._noted(error)

    def _unasked(self) -> Pop3Error:
        try:
            self._framer.next_event()
        except ProtocolError as error:
            words = error.reply or ""
            if words.upper().startswith("-ERR"):
                shown = self.shown(words[4:].strip())
                lost = ConnectionLost(f"The server ended the session: -ERR {shown}", shown)
                return closing_error(words[4:], shown=shown) or lost
            return ProtocolError(error.detail, self.shown(words))
        except LimitExceeded as error:
            return error
        return ProtocolError("The server spoke without being asked.")

    def send(self, octets: bytes, *expected: Expect) -> None:
        """Send commands whose answers are of these kinds. What came unasked is refused as by ``begin``, for within an
        exchange too it would be taken for their answer: two answers to USER would judge the password unseen."""
        if self._is_broken or self._is_closed:
            raise ConnectionLost("The session is over.")
        self._refuse_what_came_unasked()
        is_owed = self._framer.is_owed
        for number, kind in enumerate(expected):
            self._are_ahead.append(is_owed or number > 0)
            self._framer.expect(kind)
        if self._transcript is not None:
            self._transcript.sent(octets)
        self._stream.write(octets)

    async def answer(self, octets: bytes) -> None:
        """Send the answer to a challenge: a line that is no command. Raises like ``begin``."""
        await self.begin()
        self._are_ahead.append(False)
        self._framer.expect(Expect.CHALLENGE)
        if self._transcript is not None:
            self._transcript.answered()
        self._stream.write(octets + b"\r\n")

    async def status(self, *, within: float | None = None) -> Status:
        """The next status line. ``within`` seconds, else the limit's."""
        event = await self._event(within)
        if not isinstance(event, Status):
            raise ProtocolError("A status line was due.")
        return event

    async def challenge(self) -> Challenge | Status:
        """What comes next within AUTH: a challenge, or the status that ends it."""
        event = await self._event(None)
        if isinstance(event, Data):
            raise ProtocolError("A status line was due.")
        return event

    async def data(self, *, is_end: Callable[[bytes], bool] | None = None) -> Data:
        """The next part of a multi-line reply.

        ``is_end`` is asked whenever nothing has come for ``silence``: whether what is held before a dot with which it
        ends is the whole rest, although RFC 1939 §3 ends no reply so.
        """
        event = await self._event(None, is_end=is_end)
        if not isinstance(event, Data):
            raise ProtocolError("The body of a reply was due.")
        return event

    async def reply(
        self, *, most_octets: int, most_lines: int | None = None, took: Took = nobody_counts
    ) -> tuple[Status, bytearray]:
        """A status and, when it is +OK, the whole body behind it. Raises LimitExceeded; then it is over.

        ``took`` is told of the lines and octets of each part, and may have the rest wait.
        """
        body, lines = bytearray(), 0
        status = await self.status()
        if not status.ok:
            return status, body
        while True:
            data = await self.data()
            body += (
                data.octets
            )  # joined in the end, a long listing would hold the interpreter for a tenth of a second
            if len(body) > most_octets:
                self._is_broken = True
                raise LimitExceeded(f"A reply has more than {most_octets} octets.")
            if most_lines is not None:
                more = data.octets.count(b"\n")
                lines += more
                if lines > most_lines:
                    self._is_broken = True
                    raise LimitExceeded(f"A listing has more than {most_lines} entries.")
                await self._taken(took, more, len(data.octets))
            if data.is_last:
                return status, body

    async def _taken(self, took: Took, lines: int, octets: int) -> None:
        try:
            await took(lines, octets)
        except BaseException:  # inside a reply
            self._is_broken = True
            raise

    async def start_tls(self, context: ssl.SSLContext, *, server_name: str) -> Protected:
        """Go over to TLS, behind the +OK to STLS; what it is like. Raises TlsFailed and Timeout; then it is over."""
        try:
            if self._framer.leftover:
                raise TlsFailed(
                    "The server sent something behind its answer to STLS: somebody may be injecting."
                )
            within = self._limits.connect_timeout
            return await self._stream.start_tls(context, server_name=server_name, within=within)
        except BaseException:
            self._is_broken = True
            raise

    async def close(self) -> None:
        """Close in order, after QUIT."""
        if not self._is_closed:
            self._is_closed = True
            await self._stream.close()

    async def abort(self) -> None:
        """Close at once, wherever we are."""
        if not self._is_closed:
            self._is_closed = True
            await self._stream.abort()

    async def confirm(self) -> Status:
        """NOOP: what was read last is over, for a status comes next. A refusal is an answer too."""
        await self.begin()
        self.send(_NOOP, Expect.STATUS)
        return await self.status()

    async def silence(self) -> None:
        """Wait for nothing. Raises ProtocolError when something comes all the same."""
        with contextlib.suppress(TimeoutError):
            silence = min(self._limits.silence, self._limits.reply_timeout / 2)
            await self._stream.more(asyncio.get_running_loop().time() + silence)
        try:
            self._refuse_what_came_unasked()
        except (ProtocolError, LimitExceeded):
            raise
        except Pop3Error as error:  # words of goodbye, or what a sender wrote
            raise ProtocolError("The server spoke without being asked.", error.reply) from error

    async def has_said_goodbye(self) -> bool:
        """Whether what is left unasked is one refusal, and the connection ends behind it: that answers no command."""
        soon = asyncio.get_running_loop().time() + min(self._limits.silence, self._limits.reply_timeout / 2)
        try:
            while self._framer.is_refusal_left:
                await self._stream.more(soon)
        except ConnectionLost:
            return self._framer.is_refusal_left
        except TimeoutError:
            pass
        return False

    async def _event(
        self, within: float | None, *, is_end: Callable[[bytes], bool] | None = None
    ) -> Status | Data | Challenge:
        """The next event, reading as much as it needs."""
        if self._is_closed:
            raise ConnectionLost("The session is over.")
        try:
            event = self._next_event()
            if isinstance(event, NeedData):
                event = await self._event_from_stream(within or self._limits.reply_timeout, is_end)
        except BaseException as error:
            self._is_broken = True
            if isinstance(error, ConnectionLost) and (why := self._said_before_the_end()) is not None:
                raise why from error
            if isinstance(error, ConnectionLost | Timeout):
                self._note_signs(error)
            if isinstance(error, Pop3Error):
                if error.reply is not None:
                    error.meaning = meaning_of(error.reply)
                    error.reply = self.shown(error.reply)
                self._noted(error)
            raise
        self._is_unconfirmed = isinstance(event, Data)
        if not isinstance(event, Data):
            self.answers += 1
            self._are_ahead.popleft()
        if isinstance(event, Status):
            self._progress.replies += 1
            self.refusal = None if event.ok else event.text
        if self._transcript is not None:
            self._transcript.received(event)
        return event

    def _note_signs(self, error: Pop3Error) -> None:
        """The server hung or closed, not within an answer, and a command that was sent ahead, or a login, had none."""
        error.answers = self.answers
        if self.capa_refused_at == self.answers:
            error.sign = Sign.CAPA
        elif self._framer.is_inside_reply:
            error.sign = Sign.CUT if isinstance(error, ConnectionLost) else None
        elif any(self._are_ahead):
            error.sign = Sign.PIPELINING
        elif self.is_logging_in:
            error.sign = Sign.LOGIN

    def _said_before_the_end(self) -> Pop3Error | None:
        """What the last refusal says of the session, though its line may have no end; a login judges it itself."""
        if (words := self._framer.last_words) is not None:
            self.refusal = words
            if self._transcript is not None:
                self._transcript.received_amiss(f"-ERR {words}")
        if self.refusal is None or self.is_logging_in:
            return None
        return closing_error(self.refusal, shown=self.shown(self.refusal))

    def _noted(self, error: Pop3Error) -> Pop3Error:
        """The error, once the transcript has the words that no event carried."""
        if self._transcript is not None and error.reply is not None:
            self._transcript.received_amiss(error.reply)
        return error

    async def _event_from_stream(
        self, within: float, is_end: Callable[[bytes], bool] | None
    ) -> Status | Data | Challenge:
        loop = asyncio.get_running_loop()
        progress, until = 0, loop.time() + within
        while True:
            if is_end is not None and await self._may_be_ended(within) and is_end(self._framer.unended):
                return self._framer.end_as_a_file()
            octets = await self._more(min(until, self._deadline), within)
            event = self._next_event()
            if not isinstance(event, NeedData):
                return event
            progress += octets
            if progress >= self._limits.progress_octets:
                progress, until = 0, loop.time() + within

    def _next_event(self) -> Event:
        """What it takes depends on what the octets are: lines that are dots take ten times as much as others."""
        began = thread_time()
        try:
            return self._framer.next_event()
        finally:
            self._framing += thread_time() - began

    async def _may_be_ended(self, within: float) -> bool:
        """What is held looks like an end of its own, and nothing more comes for ``silence`` (or half of ``within``)."""
        if not self._framer.may_be_ended:
            return False
        soon = asyncio.get_running_loop().time() + min(self._limits.silence, within / 2)
        return await self._stream.is_silent(min(soon, self._deadline))

    async def _more(self, until: float, within: float) -> int:
        now, progress = asyncio.get_running_loop().time, self._progress
        if progress.is_called_back:
            raise _called_back()
        began = now()
        bored = began + progress.may_wait(
            patience=2 * self._limits.reply_timeout, octets_per_second=self._limits.octets_per_second
        )
        until = min(until, bored)
        if began >= until:  # octets that are there already must not outrun the clock
            raise self._too_slow(until, within, is_drip=until == bored)
        progress.begins_to_wait(began)
        try:
            octets = await self._stream.more(until)
        except TimeoutError as error:
            raise self._too_slow(until, within, is_drip=until == bored) from error
        except ConnectionLost as error:
            if progress.is_called_back:
                raise _called_back() from error
            if self._framer.is_inside_reply:
                error.detail += " in the middle of an answer"
            raise
        finally:
            progress.has_waited(now())
        progress.octets += octets
        cost, self._framing = self._stream.cost() + self._framing, 0.0
        if rest := progress.rest(octets, cost):
            await self._stream.rest(rest)
        return octets

    def _too_slow(self, until: float, within: float, *, is_drip: bool) -> Timeout:
        if until >= self._deadline:
            return Timeout(f"The session took more than {self._limits.session_timeout:g} s.")
        if is_drip:
            octets, waited = self._progress.octets, self._progress.waited
            return Timeout(f"The server sent no more than {octets} octets in {waited:.0f} s of waiting.")
        return Timeout(f"The server made no progress within {within:g} s.")


def _called_back() -> TooSlow:
    return TooSlow("The server hardly moved while other mailboxes waited for a place.")
