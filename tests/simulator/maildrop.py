"""The simulated maildrop, and a session of it as the sync sees one. No sockets: thousands of sessions a minute."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO

from app import pop3
from app.mailboxes.models import Mailbox
from app.maildrops.causes.steps import Stage
from app.maildrops.learnt import Learnt
from app.messages.wholeness import SLACK

_SLACK = SLACK + 3  # and the end mark
_MEMORY_OCTETS = pop3.Limits().memory_octets


@dataclass
class Mail:
    """One message on the server. ``sent``: what RETR gives in its place; ``ending``: what comes behind that.
    ``varies``: each time RETR ends with another mark in place of its last octets.
    ``faults``: what goes wrong with the next retrievals, each once: ``refused``, ``short``, ``nonsense`` behind it, or
    the ``next`` message in its place.
    """

    unique_id: bytes
    content: bytes
    is_hidden: bool = False
    was_read: bool = False
    listed_octets: int | None = None
    sent: bytes | None = None
    ending: pop3.Ending = pop3.Ending.ANSWERED
    varies: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """What the feed calls it."""
        return self.content.partition(b"\r\n")[0][9:].decode()

    def served(self, *, notes_status: bool) -> bytes:
        """Its octets; an mbox server notes in the headers that it was read."""
        if notes_status and self.was_read:
            return b"Status: RO\r\n" + self.content
        return self.content


@dataclass
class Whims:
    """What the server does to the next sessions."""

    empty_sessions: int = 0
    short_by: int = 0
    sizes_short_by: int = 0
    ids_short_by: int = 0  # in each session: the latest messages have none yet
    expunges_first: int = 0  # so many behind the listing, and gives their numbers to the others
    garbles_line: bool = False
    lies_of_single_ids: bool = False  # UIDL with a number
    refuses: set[bytes] = field(default_factory=set)
    refuses_retr: set[bytes] = field(default_factory=set)  # and shows the headers
    has_top: bool = True
    has_uidl: bool = True
    cut_after_replies: int | None = None
    cuts_within: bool = False
    notes_status: bool = False
    is_reversed: bool = False
    ids_are_numbers: bool = False
    id_of_number: bytes = b"%d"
    first_number: int = 1  # as those ids have it
    uidl_failures: int = 0
    uidl_words: str = "cannot do that now"
    stat_excess: int = 0
    keeps_deleted: bool = False
    refuses_dele: set[bytes] = field(default_factory=set)
    quit_removes: int | None = None  # so many although it is refused
    refuses_quit: int = 0
    loses_quit: int = 0
    is_stale: int = 0  # so many sessions are with a replica that shows the maildrop as the last one saw it
    deletes_at_once: bool = False
    counts_lf: bool = False
    skips_number: int = 0  # as of a message that another session deleted
    answers_twice: int | None = None  # RETR of this number, once: what follows it is out of step
    ends_after: int | None = None  # so many messages or headers, with words of goodbye that nobody asked for


@dataclass
class SimulatedMaildrop:
    """What is on the server, its whims, and what clients did to it."""

    mails: list[Mail] = field(default_factory=list)
    whims: Whims = field(default_factory=Whims)
    deletions: int = 0
    deleted: list[Mail] = field(default_factory=list)
    sessions: int = 0
    tops: int = 0
    retrievals: int = 0
    seen: list[Mail] = field(default_factory=list)

    def visible(self) -> list[Mail]:
        """What a session would show, in its order."""
        mails = [mail for mail in self.mails if not mail.is_hidden]
        return mails[::-1] if self.whims.is_reversed else mails

    @asynccontextmanager
    async def session(
        self,
        mailbox: Mailbox,
        *,
        timings: dict[str, int],
        transcript: pop3.Transcript | None = None,
        learnt: Learnt | None = None,
        progress: pop3.Progress | None = None,
        stage: Stage | None = None,
    ) -> AsyncIterator["SimulatedSession"]:
        """In the place of ``Maildrop.session``."""
        self.sessions += 1
        timings["connect"] = 0
        if self.whims.is_stale:
            self.whims.is_stale -= 1
        else:
            self.seen = self.visible()
        session = SimulatedSession(self, self.seen)
        try:
            yield session
        finally:
            self.whims.cut_after_replies = None


class SimulatedSession:
    """A session: the maildrop is as it was when the session began. ``awaited`` as of a real one."""

    greeting = "simulated"
    capabilities = pop3.Capabilities({"UIDL": (), "TOP": (), "PIPELINING": ()})

    def __init__(self, maildrop: SimulatedMaildrop, mails: Sequence[Mail]) -> None:
        self._maildrop = maildrop
        self._whims = maildrop.whims
        self._mails: list[Mail | None] = list(mails)
        if 0 < self._whims.skips_number <= len(mails):
            self._mails.insert(self._whims.skips_number - 1, None)
        self._read: set[int] = set()
        self._marked: set[int] = set()
        self._shown = 0
        self._is_over = False
        self.awaited: int | None = None

    async def has_said_goodbye(self) -> bool:
        """Whether it ended as ``ends_after`` says."""
        return self._is_over

    def shown(self, text: str) -> str:
        """Its words as they may be shown: it knows no secrets."""
        return text

    async def listing(self, *, most_entries: int, took: pop3.Took) -> pop3.RawListing:
        """STAT, UIDL and LIST."""
        self._spend_reply()
        if self._whims.empty_sessions:
            self._whims.empty_sessions -= 1
            return pop3.RawListing(pop3.Stat(0, 0), b"", b"")
        shown = [(number, mail) for number, mail in enumerate(self._mails, 1) if mail is not None]
        count = len(shown) + self._whims.stat_excess
        stat = pop3.Stat(count, sum(len(self._served(mail)) for _, mail in shown))
        if self._whims.short_by:
            shown, self._whims.short_by = shown[: -self._whims.short_by], 0
        uidl = [b"%d %s\r\n" % (number, self._unique_id(number, mail)) for number, mail in shown]
        sizes = [b"%d %d\r\n" % (number, self._octets(mail)) for number, mail in shown]
        uidl = uidl[: max(len(uidl) - self._whims.ids_short_by, 0)]
        if self._whims.sizes_short_by:
            sizes, self._whims.sizes_short_by = sizes[: -self._whims.sizes_short_by], 0
        if self._whims.garbles_line and uidl:
            uidl[len(uidl) // 2], self._whims.garbles_line = b"\x00 what?\r\n", False
        if self._whims.uidl_failures or not self._whims.has_uidl:
            words = self._whims.uidl_words if self._whims.uidl_failures else "unknown command"
            self._whims.uidl_failures = max(self._whims.uidl_failures - 1, 0)
            raw = pop3.RawListing(stat, b"", b"".join(sizes))
            raise pop3.UidlUnavailable(f"no UIDL: {words}", words, without_ids=raw, words=words)
        for _ in range(min(self._whims.expunges_first, len(self._mails))):
            if (gone := self._mails.pop(0)) is not None:
                self._maildrop.mails.remove(gone)
        self._whims.expunges_first = 0
        return pop3.RawListing(stat, b"".join(uidl), b"".join(sizes))

    async def top(self, numbers: Sequence[int], *, lines: int = 0) -> AsyncIterator[pop3.Retrieved]:
        """Headers of messages."""
        for number in numbers:
            self._maildrop.tops += 1
            self.awaited = number
            self._show_one()
            self.awaited = None
            mail = self._mails[number - 1] if number <= len(self._mails) else None
            if mail is None:
                yield pop3.Retrieved(number, refused=pop3.Refusal("no such message", None))
            elif not self._whims.has_top or mail.unique_id in self._whims.refuses:
                yield pop3.Retrieved(number, refused=pop3.Refusal("no", None))
            else:
                head = self._served(mail).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
                yield pop3.Retrieved(number, head, octets=len(head))

    async def retrieve(
        self, entries: Sequence[tuple[int, int]], *, most_octets: int | None = None, alone: bool = False
    ) -> AsyncIterator[pop3.Retrieved]:
        """Whole messages, each once something came behind it."""
        held: pop3.Retrieved | None = None
        owed: pop3.Retrieved | None = None  # by a server that gave an answer too many
        try:
            for number, _octets in entries:
                self._maildrop.retrievals += 1
                self.awaited = number
                self._show_one()
                self.awaited = None
                if held is not None:
                    yield held
                held = self._retrieved(number)
                if owed is not None:
                    held, owed = replace(owed, number=number), held
                elif self._whims.answers_twice == number:
                    self._whims.answers_twice, owed = None, held
            self._spend_reply()  # of NOOP
        except pop3.ConnectionLost:
            if held is not None:
                held.ending = pop3.Ending.LOST
                yield held
            raise
        if held is not None:
            yield held
        if owed is not None:
            raise pop3.ProtocolError("an answer too many", sign=pop3.Sign.UNASKED)

    def _retrieved(self, number: int) -> pop3.Retrieved:
        mail = self._mails[number - 1] if number <= len(self._mails) else None
        if mail is None:
            return pop3.Retrieved(number, refused=pop3.Refusal("no such message", None))
        if mail.unique_id in self._whims.refuses | self._whims.refuses_retr:
            return pop3.Retrieved(
                number, refused=pop3.Refusal("[SYS/TEMP] not now", "SYS/TEMP", is_for_all=True)
            )
        fault = mail.faults.pop(0) if mail.faults else None
        cut = len(self._served(mail)) - len(self._served(mail)) // 2
        # What lacks no more than the slack counts as whole: nobody could tell that it is not.
        if fault == "refused" or (fault == "short" and cut <= _SLACK):
            return pop3.Retrieved(number, refused=pop3.Refusal("not this one now", None))
        if fault == "next":
            mail, fault = self._mails[number % len(self._mails)] or mail, None
        body = self._served(mail) if mail.sent is None else mail.sent
        if mail.varies:
            body = body[:-10] + b"%08d\r\n" % self._maildrop.retrievals
        if fault is not None:
            ending = pop3.Ending.NONSENSE if fault == "nonsense" else pop3.Ending.ANSWERED
            body = body[: len(body) // 2]
            return pop3.Retrieved(number, body, octets=len(body), ending=ending)
        mail.was_read = True
        kept = body if len(body) <= _MEMORY_OCTETS else BytesIO(body)
        return pop3.Retrieved(number, kept, octets=len(body), ending=mail.ending)

    async def confirm(self) -> None:
        """NOOP."""
        self._spend_reply()

    async def renumbered(self) -> pop3.Renumbered:
        """What is raised where a number belongs to another message."""
        return pop3.Renumbered("other numbers")

    async def unique_id(self, number: int, *, expected: bytes = b"") -> bytes | None:
        """UIDL of one message."""
        self._spend_reply()
        if self._whims.lies_of_single_ids:
            return b"another"
        mail = self._mails[number - 1] if number <= len(self._mails) else None
        return self._unique_id(number, mail) if mail is not None and self._whims.has_uidl else None

    async def leave(self) -> None:
        """QUIT."""

    async def delete(
        self, numbers: Sequence[int], *, last_id: bytes | None = None
    ) -> list[pop3.Refusal | None]:
        """Marks; only QUIT makes it real."""
        self._spend_reply()
        marked = [self._at(number).unique_id not in self._whims.refuses_dele for number in numbers]
        self._marked |= {number for number, is_marked in zip(numbers, marked, strict=True) if is_marked}
        if self._whims.deletes_at_once:
            self._remove([self._at(number) for number in sorted(self._marked)])
            self._marked.clear()
        return [None if is_marked else pop3.Refusal("not this one", None) for is_marked in marked]

    async def quit(self) -> None:
        """Deletes what is marked, unless the server is not to be trusted with that."""
        gone = [self._at(number) for number in sorted(self._marked)]
        is_refused = self._whims.refuses_quit > 0
        if is_refused:
            self._whims.refuses_quit -= 1
            gone = gone[: self._whims.quit_removes or 0]
        self._remove(gone)
        if is_refused:
            raise pop3.ServerTemporary("some deleted messages not removed")
        if self._whims.loses_quit:
            self._whims.loses_quit -= 1
            raise pop3.ConnectionLost("nothing came back")

    async def abort(self) -> None:
        """Closed without QUIT."""

    def _remove(self, gone: Sequence[Mail]) -> None:
        self._maildrop.deletions += len(gone)
        self._maildrop.deleted += [replace(mail) for mail in gone]  # as it was
        if not self._whims.keeps_deleted:
            self._maildrop.mails = [
                one for one in self._maildrop.mails if all(one is not other for other in gone)
            ]

    def _at(self, number: int) -> Mail:
        mail = self._mails[number - 1]
        assert mail is not None
        return mail

    def _unique_id(self, number: int, mail: Mail) -> bytes:
        at = number - 1 + self._whims.first_number
        return self._whims.id_of_number % at if self._whims.ids_are_numbers else mail.unique_id

    def _served(self, mail: Mail) -> bytes:
        return mail.served(notes_status=self._whims.notes_status)

    def _octets(self, mail: Mail) -> int:
        if mail.listed_octets is not None:
            return mail.listed_octets
        served = self._served(mail)
        return len(served) - served.count(b"\n") * self._whims.counts_lf

    def _show_one(self) -> None:
        """A message or its headers."""
        if self._shown == self._whims.ends_after:
            self._is_over, self.awaited = True, None
            raise pop3.ConnectionLost("session limit reached", sign=pop3.Sign.UNASKED)
        self._shown += 1
        self._spend_reply()

    def _spend_reply(self) -> None:
        if self._whims.cut_after_replies is not None:
            if self._whims.cut_after_replies == 0:
                sign = pop3.Sign.CUT if self.awaited is not None and self._whims.cuts_within else None
                raise pop3.ConnectionLost("the connection was cut", sign=sign)
            self._whims.cut_after_replies -= 1


def letter(subject: str, *, size: int = 1_000, body: str = "x", headers: str = "") -> bytes:
    """A message of just this many octets that its headers name."""
    head = f"Subject: {subject}\r\nMessage-ID: <{subject}@simulated>\r\n{headers}\r\n".encode()
    filling = size - len(head) - 2
    assert filling > 0
    return head + (body.encode() * filling)[:filling] + b"\r\n"


def letters() -> Iterator[bytes]:
    """Messages that are all different, each of a size of its own; every seventh is not named by its headers, and every
    third by no server's stamp."""
    serial = 0
    while True:
        serial += 1
        stamp = b"Received: by simulated id %d\r\n" % serial if serial % 3 else b""
        names = b"" if serial % 7 == 0 else b"Message-ID: <%d@simulated>\r\n%b" % (serial, stamp)
        yield b"Subject: letter %d\r\n%s\r\n%s\r\n" % (serial, names, b"x" * (200 * serial + serial % 3))
