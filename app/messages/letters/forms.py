"""What is answered of a letter that was read, as JSON, and a bounded number of octets of it kept.

The same letter is often answered again: by pages, by the message alone, to several readers. To read it costs a hundred
times as much as to answer it. Kept are octets of JSON that were made once, those that were asked for last, and only in
memory: another version of the reader is another process.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import from_json, to_json

from app.mail.mime import Attachment, ParsedMessage

_NULL: Final = b"null"
_OVERHEAD: Final = 1024  # octets that a form holds beside its JSON
_ONE_OF: Final = 4  # the largest form that is kept takes such a part of all


@dataclass(slots=True)
class Form:
    """A letter that was read. ``text``, ``html``, ``headers``: JSON; ``text_octets``: of the text in UTF-8."""

    text: bytes
    text_octets: int
    html: bytes
    html_octets: int
    headers: bytes
    attachments: tuple[Attachment, ...]
    warnings: tuple[str, ...]
    _cut: tuple[int, bytes] | None = field(default=None, compare=False)

    @property
    def octets(self) -> int:
        """About what it holds in memory."""
        return len(self.text) + len(self.html) + len(self.headers) + 200 * len(self.attachments) + _OVERHEAD

    def text_up_to(self, limit: int | None) -> tuple[bytes, bool]:
        """The text with at most so many octets of UTF-8, as JSON, and whether it was cut."""
        if limit is None or self.text_octets <= limit:
            return self.text, False
        if self._cut is None or self._cut[0] != limit:
            whole: str = from_json(self.text)
            beginning = whole[:limit].encode()[:limit].decode("utf-8", "ignore")
            self._cut = limit, to_json(beginning)
        return self._cut[1], True

    def html_up_to(self, limit: int | None) -> tuple[bytes, bool]:
        """The HTML as JSON; null where it has more octets: a page that is cut somewhere is none."""
        is_cut = limit is not None and self.html_octets > limit
        return (_NULL if is_cut else self.html), is_cut


def form_of(parsed: ParsedMessage) -> Form:
    """The form of a letter that was read. For a thread: it takes a millisecond for each megabyte."""
    text, html = parsed.text, parsed.html
    return Form(
        text=_NULL if text is None else to_json(text),
        text_octets=0 if text is None else len(text.encode()),
        html=_NULL if html is None else to_json(html),
        html_octets=0 if html is None else len(html.encode()),
        headers=to_json(parsed.headers),
        attachments=parsed.attachments,
        warnings=parsed.warnings,
    )


class Forms:
    """Forms by the digest of the letter, at most so many octets; the one that was used longest ago goes first.

    Of the event loop alone.
    """

    def __init__(self, most_octets: int) -> None:
        self._most = most_octets
        self._kept: OrderedDict[bytes, Form] = OrderedDict()
        self.octets = 0

    def get(self, sha256: bytes) -> Form | None:
        """The form of a letter, if it is kept."""
        form = self._kept.get(sha256)
        if form is not None:
            self._kept.move_to_end(sha256)
        return form

    def keep(self, sha256: bytes, form: Form) -> None:
        """Keep it, unless it is so large that it would drive all others out."""
        self.forget(sha256)
        if form.octets * _ONE_OF > self._most:
            return
        self._kept[sha256] = form
        self.octets += form.octets
        while self.octets > self._most:
            _, gone = self._kept.popitem(last=False)
            self.octets -= gone.octets

    def forget(self, sha256: bytes) -> None:
        """The letter is to be read anew."""
        if (form := self._kept.pop(sha256, None)) is not None:
            self.octets -= form.octets
