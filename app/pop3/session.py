"""A POP3 session: login to QUIT, pipelined where the server allows it (RFC 1939, RFC 2449)."""

import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Self

from app.pop3.auth.authorization import Authorization
from app.pop3.endpoint import Endpoint
from app.pop3.errors import (
    ArgumentIgnored,
    LimitExceeded,
    Pop3Error,
    ProtocolError,
    Renumbered,
    UidlUnavailable,
    response_code,
)
from app.pop3.limits import Limits
from app.pop3.lines import RawListing, Stat
from app.pop3.transaction.answers import Asked, Refusal, Retrieved, refusal
from app.pop3.transaction.listing import parse_stat
from app.pop3.transaction.retrieval import Retrieval
from app.pop3.wire.capabilities import Capabilities
from app.pop3.wire.commands import LISTING, STAT, ask, require
from app.pop3.wire.dialogue import Dialogue, Took, nobody_counts
from app.pop3.wire.protocol import Expect, Status, command

_OCTETS_PER_ENTRY = 256  # on the average; RFC 1939 §7 has unique-ids of 70
_LEAST_LISTING = 16 * 1024 * 1024  # octets
_LISTED = re.compile(r"\d+\s")  # how a line of UIDL begins


class Pop3Session:
    """One session; ``connect`` makes it. As a context manager it ends with QUIT when it is in order, else it is closed.

    ``greeting``: the server's, without +OK. ``capabilities``: as announced last. ``known``: what the next session with
    the same endpoint may presume; None: nothing. ``refused_ways``: in which ways to log in that were refused another
    one was tried.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        limits: Limits,
        *,
        endpoint: Endpoint,
        allow_cleartext_password: bool,
        new_nonce: Callable[[], str],
        without_capa: bool = False,
    ) -> None:
        self.authorization = Authorization(
            dialogue,
            limits,
            endpoint=endpoint,
            allow_cleartext_password=allow_cleartext_password,
            new_nonce=new_nonce,
            without_capa=without_capa,
        )
        self._dialogue = dialogue
        self._limits = limits
        self._retrieval = Retrieval(dialogue, limits)
        self._is_one_at_a_time = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._dialogue.is_in_order:
                with contextlib.suppress(Pop3Error):
                    await self.quit()
        finally:
            await self.abort()

    @property
    def awaited(self) -> int | None:
        """The message-number whose answer to TOP or RETR is due; after an error, within which the session ended."""
        return self._retrieval.awaited

    def shown(self, text: str) -> str:
        """Words of the server as they may be shown: whole (and not too many), or not at all."""
        return self._dialogue.shown(text)

    @property
    def greeting(self) -> str:
        """What the server said first, without +OK."""
        return self.authorization.greeting

    @property
    def capabilities(self) -> Capabilities:
        """What the server announced last."""
        return self.authorization.capabilities

    @property
    def known(self) -> Capabilities | None:
        """What the next session with the same endpoint may presume; None: nothing."""
        return self.authorization.known

    @property
    def refused_ways(self) -> tuple[str, ...]:
        """In which ways to log in that were refused another one was tried."""
        return self.authorization.refused_ways

    def list_with_login(self) -> None:
        """Before ``login``: what is called right after it is ``listing``.

        Its commands then go out with CAPA behind the login where the server pipelines (RFC 2449 §6.6), which spares
        a round trip. Not with those of the login: Courier, which announces PIPELINING, hands the connection to
        another process there, and what came behind the password is lost.
        """
        self.authorization.is_listing_wanted = True

    async def login(
        self,
        username: str,
        password: str,
        *,
        allow_apop: bool = False,
        mechanism: str | None = None,
        avoided: Collection[str] = (),
    ) -> None:
        """By USER and PASS (RFC 1939 §7) or by AUTH (RFC 5034), as is safest and works; then CAPA again.

        ``allow_apop``: by APOP where USER and PASS would be sent and the greeting has a timestamp. Off unless asked
        for: its MD5 is broken, and somebody between can learn the beginning of the password by it (CVE-2007-1558).
        ``mechanism``: in this way and no other. ``avoided``: ways that did not work before.

        A way that is announced and refused is no verdict on the password: one other way is tried, and ``refused_ways``
        has the first.

        Raises InvalidArgument, CleartextRefused before anything is sent; AuthFailed, MaildropInUse, LoginDelay,
        ServerTemporary, ServerPermanent as the server's answer means; WayRefused where the connection ended with the
        first way: the other one needs another session.
        """
        await self.authorization.login(
            username, password, allow_apop=allow_apop, mechanism=mechanism, avoided=avoided
        )

    async def login_with_token(
        self, username: str, token: str, *, mechanism: str | None = None, avoided: Collection[str] = ()
    ) -> None:
        """By an OAuth2 access token. Raises as ``login`` does, ServerPermanent when the server has no such login."""
        await self.authorization.login_with_token(username, token, mechanism=mechanism, avoided=avoided)

    async def stat(self) -> Stat:
        """How many messages there are, and how many octets."""
        return self._stat_of(await ask(self._dialogue, "STAT"))

    async def listing(self, *, most_entries: int | None = None, took: Took = nobody_counts) -> RawListing:
        """STAT, UIDL and LIST, in one go where the server pipelines.

        ``most_entries``: another limit than that of the session. ``took`` is told of the lines and octets of UIDL as
        they come, and may have the rest wait.

        Raises UidlUnavailable when the server does not know UIDL; a UIDL that is announced and fails is temporary.
        """
        dialogue = self._dialogue
        was_asked, self.authorization.is_listing_asked = self.authorization.is_listing_asked, False
        is_asked = was_asked or self.authorization.pipelines
        if not was_asked:
            await dialogue.begin()
            (LISTING if is_asked else STAT).send(dialogue)
        stat = await dialogue.status()
        uidl, unique_ids = await self._list_answer("UIDL", most_entries, took, is_asked=is_asked)
        sizes, octets = await self._list_answer("LIST", most_entries, nobody_counts, is_asked=is_asked)
        announced = self._stat_of(stat)
        if announced.count == 0 and not any(_bears_code(status) for status in (uidl, sizes)):
            return RawListing(
                announced, unique_ids, octets
            )  # servers say -ERR to UIDL and LIST of an empty maildrop
        if not uidl.ok and not self.capabilities.uidl and response_code(uidl.text) is None:
            shown = dialogue.shown(uidl.text)
            require(self._dialogue, "LIST", sizes)
            without_ids = RawListing(announced, b"", octets)
            raise UidlUnavailable(
                f"The server has no UIDL: {shown}", shown, without_ids=without_ids, words=uidl.text
            )
        require(self._dialogue, "UIDL", uidl)
        require(self._dialogue, "LIST", sizes)
        return RawListing(announced, unique_ids, octets)

    async def _list_answer(
        self, word: str, most_entries: int | None, took: Took, *, is_asked: bool
    ) -> tuple[Status, bytearray]:
        if not is_asked:
            self._dialogue.send(command(word), Expect.MULTILINE)
        most = most_entries or self._limits.listing_entries
        octets = min(self._limits.listing_octets, max(_LEAST_LISTING, most * _OCTETS_PER_ENTRY))
        return await self._dialogue.reply(most_octets=octets, most_lines=most, took=took)

    def top(self, numbers: Sequence[int], *, lines: int = 0) -> AsyncIterator[Retrieved]:
        """The headers of messages and ``lines`` lines of their bodies (RFC 1939 §7), in order.

        Each is cut at ``Limits.head_octets``, for senders make headers as long as they like. Raises LimitExceeded, and
        then the session is over, for one that does not end.
        """
        asked = deque(Asked(number, command("TOP", str(number), str(lines)), 4096) for number in numbers)
        limits = {"most_octets": self._limits.message_octets, "cut_at": self._limits.head_octets}
        if lines:
            return self._retrieval.answers(asked, window=self._window, is_confirmed=False, **limits)
        return self._retrieval.answers_in_place(asked, window=self._window, **limits)

    def retrieve(
        self, entries: Sequence[tuple[int, int]], *, most_octets: int | None = None, alone: bool = False
    ) -> AsyncIterator[Retrieved]:
        """RETR each (message-number, octets as LIST said or 0), in order. -ERR to one is that one's refusal.

        A message is yielded once the status of the next answer was read, the last one behind a NOOP. If the session
        breaks there, the message comes with its ``ending`` first, and then the error is raised.
        ``most_octets``: another limit for these messages than that of the session. ``alone``: each one by itself, with
        a NOOP behind it.
        Nothing is read while the caller is busy, so that a slow caller slows the server down. A caller that stops
        half-way leaves the session unusable: it is then closed without QUIT.
        """
        asked = deque(
            Asked(number, command("RETR", str(number)), octets, octets or None) for number, octets in entries
        )
        most_octets = self._limits.message_octets if most_octets is None else most_octets
        if alone or self._is_one_at_a_time:
            return self._one_by_one(asked, most_octets)
        return self._retrieval.answers_in_place(asked, window=self._window, most_octets=most_octets)

    async def _one_by_one(self, asked: Iterable[Asked], most_octets: int) -> AsyncIterator[Retrieved]:
        for one in asked:
            async for reply in self._retrieval.answers(deque([one]), window=1, most_octets=most_octets):
                yield reply

    @property
    def _window(self) -> int:
        """How many commands go ahead of their answers."""
        return self._limits.window_commands if self.authorization.pipelines else 1

    @property
    def answers(self) -> int:
        """How many the server has given."""
        return self._dialogue.answers

    def ask_in_lock_step(self) -> None:
        """Whatever the server announces, no command goes ahead of an answer."""
        self.authorization.is_in_lock_step = True

    def ask_one_at_a_time(self) -> None:
        """Whatever the server announces, no command goes ahead of an answer, and each message is retrieved alone."""
        self._is_one_at_a_time = self.authorization.is_in_lock_step = True

    async def delete(self, numbers: Sequence[int], *, last_id: bytes | None = None) -> list[Refusal | None]:
        """DELE each, in order: it is marked, and goes at QUIT. The refusal of each, None when it was marked.

        ``last_id``: the unique-id of the last one, which has the highest number. Raises Renumbered where ``unique_id``
        tells another one right before that is marked: then the session is over, and nothing is deleted.
        """
        await self._dialogue.begin()
        outcomes: list[Refusal | None] = []
        rest = numbers if last_id is None else numbers[:-1]
        for start in range(0, len(rest), self._window):
            chunk = rest[start : start + self._window]
            lines = [command("DELE", str(number)) for number in chunk]
            self._dialogue.send(b"".join(lines), *[Expect.STATUS] * len(chunk))
            outcomes += [await self._marked() for _ in chunk]
        if numbers and last_id is not None:
            outcomes.append(await self._mark_last(numbers[-1], last_id))
        return outcomes

    async def _mark_last(self, number: int, unique_id: bytes) -> Refusal | None:
        if await self.unique_id(number, expected=unique_id) != unique_id:
            raise await self.renumbered()
        self._dialogue.send(command("DELE", str(number)), Expect.STATUS)
        return await self._marked()

    async def _marked(self) -> Refusal | None:
        status = await self._dialogue.status()
        return None if status.ok else refusal(self._dialogue, status)

    async def unique_id(self, number: int, *, expected: bytes = b"") -> bytes | None:
        """UIDL of one message (RFC 1939 §7): the first word behind its number, for an id holds no blank. None where the
        server does not say it, or not in ASCII. Raises ArgumentIgnored where it tells those of all, as may be seen
        where it is not the one that is ``expected``: then the session is over."""
        await self._dialogue.begin()
        self._dialogue.send(command("UIDL", str(number)), Expect.STATUS)
        status = await self._dialogue.status()
        said, *words = status.text.split(maxsplit=2) or [""]
        is_said = status.ok and said == str(number) and words and words[0].isascii()
        unique_id = words[0].encode() if is_said else None
        if status.ok and unique_id != expected:
            await self._refuse_listing()
        return unique_id

    async def _refuse_listing(self) -> None:
        try:
            await self._dialogue.silence()
        except ProtocolError as error:
            if not _LISTED.match(error.reply or ""):
                raise
            await self.abort()
            raise ArgumentIgnored("UIDL of one message was answered with those of all.") from error

    async def renumbered(self) -> Renumbered:
        """The error to raise where a number belongs to another message by now; the session is over."""
        await self.abort()
        return Renumbered("The server numbered its messages anew within the session: nothing was deleted.")

    async def reset(self) -> None:
        """RSET: no message is marked any more."""
        require(self._dialogue, "RSET", await ask(self._dialogue, "RSET"))

    async def noop(self) -> None:
        """NOOP."""
        require(self._dialogue, "NOOP", await ask(self._dialogue, "NOOP"))

    async def confirm(self) -> None:
        """Make sure that the last answer is over: read a status behind it, that of NOOP if nothing else follows."""
        if self._dialogue.is_unconfirmed:
            await self._dialogue.confirm()

    async def has_said_goodbye(self) -> bool:
        """Whether what came unasked was a last refusal, behind which the server closes the connection."""
        return await self._dialogue.has_said_goodbye()

    async def leave(self) -> None:
        """QUIT. Its answer matters only where it shows that the answer before was not whole: then ProtocolError or
        LimitExceeded is raised."""
        is_unconfirmed = self._dialogue.is_unconfirmed
        if self._dialogue.is_over:
            return
        try:
            await self.quit()
        except (ProtocolError, LimitExceeded):
            if is_unconfirmed:
                raise
        except Pop3Error:
            pass

    async def quit(self) -> None:
        """QUIT: only now do marked messages go. Raises when the server says that it could not remove them.

        A session that was left inside a reply is closed without QUIT, and ConnectionLost raised.
        """
        try:
            self._dialogue.allow(self._limits.quit_timeout)
            status = await ask(self._dialogue, "QUIT", within=self._limits.quit_timeout)
            await self._dialogue.close()
        finally:
            await self.abort()
        require(self._dialogue, "QUIT", status)

    async def abort(self) -> None:
        """Close without QUIT: nothing is deleted."""
        await self._dialogue.abort()

    def _stat_of(self, status: Status) -> Stat:
        require(self._dialogue, "STAT", status)
        try:
            return parse_stat(status.text)
        except ProtocolError as error:
            error.reply = self._dialogue.shown(status.text)
            raise


def _bears_code(status: Status) -> bool:
    return not status.ok and response_code(status.text) is not None
