"""PURE  Raw octets -> what the feed shows of a message, from its first 512 KiB."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.mail import defects
from app.mail.automation import Automated, automation_of, looks_bounced
from app.mail.bounces import Bounce, bounce_in
from app.mail.budget import Budget, never
from app.mail.envelope import Envelope, envelope_of, fields_of
from app.mail.fields.people import addresses
from app.mail.kinds import Kind, KindsSeen, is_wrapping
from app.mail.markup.html import first_words
from app.mail.octets.decoding import decoded_text, printable, with_line_feeds, without_invisible
from app.mail.octets.embedded import may_hold_file, split
from app.mail.octets.scanner import Scanner
from app.mail.parts import Part, leaves
from app.mail.roles import Role, is_inline, role_of

SUMMARY_OCTETS = 512 * 1024  # of a message, looked at for its summary
_SNIPPET_OCTETS = (
    2 * 1024,
    16 * 1024,
)  # of the text, as few as do; of HTML four times that, for style sheets
_SNIPPET_LENGTH = 200
# Of so many characters, or more where that is not enough: newsletters pad what mail programs show with hundreds of
# invisible ones.
_SNIPPET_OF = (240, 600, 8_000)
_FIRST_LINES = 300  # characters of a text whose lines flow
_ENOUGH = 190  # characters: blanks at the end go
_BOUNCE_OCTETS = 16 * 1024  # of the text of a bounce without a report
_KINDS = tuple(Kind)


@dataclass(slots=True)
class Summary(Envelope):
    """What a row of the feed shows: the envelope, and what the parts of the message tell.

    ``snippet`` has at most 200 characters.

    ``automated_by``: the header that says so. ``kinds`` in the order of ``Kind``. ``bounce`` where that is one of them.
    """

    has_attachments: bool = False
    snippet: str = ""
    automated: Automated | None = None
    automated_by: str | None = None
    kinds: tuple[Kind, ...] = ()
    bounce: Bounce | None = None
    warnings: tuple[str, ...] = ()


UNREADABLE = Summary(
    message_id=None,
    subject="",
    from_=None,
    authors=(),
    from_ambiguous=False,
    to=(),
    cc=(),
    bcc=(),
    reply_to=(),
    sender=None,
    date=None,
    received=(),
    in_reply_to=None,
    references=(),
    thread=None,
    delivered_to=(),
    list_id=None,
    warnings=(defects.UNREADABLE,),
)
"""Of a message that only a mistake of ours keeps from being read."""


def summarise(raw: bytes, *, is_late: Callable[[], bool] = never) -> Summary:
    """The feed's view of a message, from its first 512 KiB at most. Never raises."""
    found: list[str] = []
    budget = Budget(found, is_late)
    scanner = Scanner(raw[:SUMMARY_OCTETS], budget, found)
    block = scanner.block()
    is_cut = defects.HEADERS_CUT in found
    headers = fields_of(block, found)
    bounced = looks_bounced(headers)
    glimpse = _Glimpse(wants_text=bounced is not None)
    glimpse.look(leaves(scanner, block, budget, found), budget, found)
    kinds = glimpse.seen.kinds
    automation = automation_of(headers, kinds, bounced)
    if automation.what is Automated.BOUNCE:
        kinds.add(Kind.BOUNCE)
    charset = glimpse.last.text_charset if glimpse.last and not block.is_ascii else ""
    summary = envelope_of(headers, found, charset=charset, is_cut=is_cut, made=Summary)
    summary.has_attachments = glimpse.has_attachments
    summary.snippet = glimpse.snippet
    summary.automated, summary.automated_by = automation
    if kinds:
        summary.kinds = tuple([kind for kind in _KINDS if kind in kinds])
        summary.bounce = _bounce(headers, summary, glimpse) if Kind.BOUNCE in kinds else None
    summary.warnings = warnings_of(found, is_cut=len(raw) >= SUMMARY_OCTETS)
    return summary


def warnings_of(found: list[str], *, is_cut: bool) -> tuple[str, ...]:
    """Each once. That a message we look at the start of is not closed is no defect of its own."""
    if not found:
        return ()
    return tuple(
        warning for warning in dict.fromkeys(found) if not (is_cut and warning == defects.NOT_CLOSED)
    )


@dataclass(slots=True)
class _Glimpse:
    """Whether something is attached, what is told by the parts, the first words, and the last part.

    ``wants_text``: of a bounce, whose text may be all that says what bounced.
    """

    wants_text: bool
    has_attachments: bool = False
    snippet: str = ""
    last: Part | None = None
    text: str = ""
    seen: KindsSeen = field(default_factory=KindsSeen)
    _of_html: str = ""  # the first words of the first HTML
    _alternative: int = -1  # of that

    def look(self, parts: Iterable[Part], budget: Budget, found: list[str]) -> None:
        """At the parts, one after the other; at what they hold only as far as it takes."""
        for part in parts:
            self.seen.part(part, budget, found)
            self.last = part
            if self.has_attachments and self.snippet:
                continue
            role = role_of(part)
            if role is Role.ATTACHMENT:
                self.has_attachments = self.has_attachments or not (is_inline(part) or is_wrapping(part))
            else:
                self._body(part, role, budget, found)
        self.snippet = self.snippet or self._of_html

    def _body(self, part: Part, role: Role, budget: Budget, found: list[str]) -> None:
        if role is Role.TEXT:
            if (
                not self.snippet
                and self._of_html
                and (part.alternative < 0 or part.alternative != self._alternative)
            ):
                self.snippet = self._of_html  # what comes now stands below that
            # Asked first: what is decoded for it need not be decoded again for the first words.
            may_hold_files = not self.has_attachments and part.may_hold_files()
            self.snippet = self.snippet or self._first_words(part, budget, found)
            if may_hold_files:
                self.has_attachments = any(
                    isinstance(each, Part) for each in part.texts_and_files(budget, [])
                )
        elif role is Role.HTML and not self._of_html and not self.snippet:
            self._of_html, self._alternative = self._first_words(part, budget, found), part.alternative

    def _first_words(self, part: Part, budget: Budget, found: list[str]) -> str:
        """The snippet of a text part, from its start if that has enough of them."""
        snippet, is_html = "", part.content_type == "text/html"
        for octets in _SNIPPET_OCTETS:
            data, is_cut = part.beginning(4 * octets if is_html else octets, budget, found)
            has_file = not is_html and may_hold_file(data)
            if has_file:
                data = _without_files(data, budget)
            text = decoded_text(data, part.charset_for(data), found, cut=is_cut)
            if is_html:
                text = first_words(text, budget, characters=_SNIPPET_LENGTH)
            else:
                self.seen.text(text)
            snippet = _snippet_of_flowing(text, part) if not is_html and part.is_flowed else _snippet(text)
            if len(snippet) >= _ENOUGH or not is_cut:
                break
        if self.wants_text and not is_html and not self.text:
            if is_cut or has_file:
                data, is_cut = part.beginning(_BOUNCE_OCTETS, budget, found)
                text = decoded_text(data, part.charset, [], cut=is_cut)
            self.text = text
        return snippet


def _bounce(headers: Mapping[str, Sequence[bytes]], envelope: Envelope, glimpse: _Glimpse) -> Bounce:
    """What the report says, else the headers, else the text."""
    status, original = glimpse.seen.status, glimpse.seen.returned_id
    recipient, code = (status.recipient, status.status) if status else (None, None)
    if recipient is None and (failed := addresses(headers.get("x-failed-recipients", ()), [])):
        recipient = failed[0].address or None
    if not (recipient and code and original):
        told = bounce_in(with_line_feeds(glimpse.text))
        recipient, code = recipient or told.recipient, code or told.status
        original = original or told.original_message_id
    if original is None:
        original = envelope.in_reply_to or (envelope.references[-1] if envelope.references else None)
    return Bounce(recipient, code, original)


def _without_files(data: bytes, budget: Budget) -> bytes:
    """The beginning of a text, without the files in it."""
    return b"".join(each for each in split(iter((data,)), budget, []) if isinstance(each, bytes))


def _snippet_of_flowing(text: str, part: Part) -> str:
    """That of a text whose lines flow: the first of them are enough, most often.

    Blanks alone tell it from any other text, where nothing is quoted and no blank goes with its line end.
    """
    quoted = text.find(">", 0, _SNIPPET_OF[1])
    line = "" if part.has_delsp else _line_of(text[: quoted if quoted >= 0 else _SNIPPET_OF[1]])
    if len(line) < _SNIPPET_LENGTH:
        end = text.find("\n", _FIRST_LINES) + 1
        first = text[:end].replace("\r\n", "\n")
        line = _line_of(part.unflowed(first)) if end and "\r" not in first else ""
    if len(line) < _SNIPPET_LENGTH:
        line = _line_of(part.unflowed(with_line_feeds(text)))
    return line.rstrip()


def _snippet(text: str) -> str:
    return _line_of(text).rstrip()


def _line_of(text: str) -> str:
    """The first words as one line of 200 characters, fewer where there are no more."""
    line = ""
    for length in _SNIPPET_OF:
        line = _one_line(text[:length])
        if len(line) >= _SNIPPET_LENGTH or len(text) <= length:
            break
    return line[:_SNIPPET_LENGTH]


def _one_line(text: str) -> str:
    line = " ".join(without_invisible(text).split())
    return line if line.isprintable() else " ".join(printable(line).split())
