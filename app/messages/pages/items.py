"""PURE  A message as JSON, with what was selected of it and of the letter that was read."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json, to_json

from app.mail.mime import Attachment
from app.messages.letters.forms import Form
from app.messages.pages.selection import PLAIN, Include, Selection
from app.messages.schemas import AttachmentAnswer, MessageAnswer

_NAMES: Final = {
    (field.serialization_alias or name): name
    for name, field in MessageAnswer.model_fields.items()
    if (field.serialization_alias or name) in PLAIN
}
_IDS: Final = re.compile(rb'\{"id":"(msg_[0-9]+)"(?:,"mailbox_id":"(mbx_[0-9]+)")?')
_FACTS: Final = re.compile(rb',"expired":(true|false),"octets":([0-9]+),"raw_sha256":"([0-9a-f]{64})"')
_WARNINGS: Final = b',"warnings":'
UrlOf = Callable[[int | None], str]
"""The signed link of an attachment by its index; None: of the whole message."""


@dataclass(frozen=True, slots=True)
class ListedItem:
    """A message of a page as the database writes it. ``is_place``: it expired, and nothing else of it is kept."""

    written: bytes
    id: str
    seq: int
    mailbox_id: str = ""
    octets: int = 0
    sha256: bytes = b""
    has_content: bool = False

    @property
    def is_place(self) -> bool:
        """It expired, and nothing of it is kept but its place."""
        return not self.sha256


def listed_item(written: bytes) -> ListedItem:
    """What a page has to know of a message. No text within JSON has a bare quote: what is found is a member."""
    of = _IDS.match(written)
    assert of is not None
    told = _FACTS.search(written)
    seq = int(of[1].partition(b"_")[2])
    if told is None:
        return ListedItem(written, of[1].decode(), seq)
    digest = bytes.fromhex(told[3].decode())
    mailbox_id = (of[2] or b"").decode()
    return ListedItem(written, of[1].decode(), seq, mailbox_id, int(told[2]), digest, told[1] == b"false")


def listed_json(
    item: ListedItem, form: Form | None, selection: Selection, url_of: UrlOf | None = None
) -> bytes:
    """The object, of a page. ``form``: where the selection needs one; ``url_of``: where it has links."""
    written = item.written
    if form is not None and form.warnings:
        before, name, given = written.rpartition(_WARNINGS)
        warnings = list(dict.fromkeys([*from_json(given[:-1]), *form.warnings]))
        written = before + name + to_json(warnings) + b"}"
    if selection.fields is not None:
        # Who asks for a text of one that expired has to learn why there is none.
        named = selection.fields if item.has_content else selection.fields | {"expired"}
        members = from_json(written)
        written = to_json({name: members[name] for name in members if name in named})
    return _put_together(written, form, selection, url_of)


def item_json(
    item: MessageAnswer, form: Form | None, selection: Selection, url_of: UrlOf | None = None
) -> bytes:
    """The object, of one message by itself."""
    if form is not None and (new := [each for each in form.warnings if each not in item.warnings]):
        item = item.model_copy(update={"warnings": [*item.warnings, *dict.fromkeys(new)]})
    fields = None if selection.fields is None else {_NAMES[name] for name in selection.fields}
    written = item.model_dump_json(by_alias=True, exclude_unset=True, include=fields).encode()
    return _put_together(written, form, selection, url_of)


def _put_together(written: bytes, form: Form | None, selection: Selection, url_of: UrlOf | None) -> bytes:
    """Joined once: texts are long, and each copy of a page of them is a page of new memory."""
    pieces = [written[:-1]]
    if form is not None:
        pieces += _read(form, selection, url_of)
    if url_of is not None:
        pieces += b',"raw_url":', to_json(url_of(None))
    if len(pieces) > 1 and len(written) == len(b"{}"):
        pieces[1] = pieces[1].removeprefix(b",")
    return b"".join((*pieces, b"}"))


def _read(form: Form, selection: Selection, url_of: UrlOf | None) -> Iterator[bytes]:
    """Members, in pieces; each begins with the comma before it."""
    include, limit = selection.include, selection.text_limit
    if Include.TEXT in include:
        text, is_cut = form.text_up_to(limit)
        yield from (b',"text":', text)
        if limit is not None:
            yield b',"text_truncated":true' if is_cut else b',"text_truncated":false'
    if Include.HTML in include:
        html, is_cut = form.html_up_to(limit)
        yield from (b',"html":', html)
        if limit is not None:
            yield b',"html_truncated":true' if is_cut else b',"html_truncated":false'
    if Include.HEADERS in include:
        yield from (b',"headers":', form.headers)
    if Include.ATTACHMENTS in include:
        parts = b",".join(_attachment(part, url_of) for part in form.attachments)
        yield from (b',"attachments":[', parts, b"]")


def _attachment(part: Attachment, url_of: UrlOf | None) -> bytes:
    answer = AttachmentAnswer(
        index=part.index,
        filename=part.filename,
        content_type=part.content_type,
        octets=part.octets,
        inline=part.inline,
        content_id=part.content_id,
    )
    if url_of is not None:
        answer.url = url_of(part.index)
    return answer.model_dump_json(exclude_unset=True).encode()


def page_json(
    items: Sequence[bytes], *, next_cursor: str | None, has_more: bool, warnings: list[str]
) -> bytes:
    """A page of the feed."""
    rest = to_json({"next_cursor": next_cursor, "has_more": has_more, "warnings": warnings})
    return b"".join((b'{"items":[', b",".join(items), b"],", rest[1:]))
