"""PURE  A message as JSON, with what was selected of it and of the letter that was read."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pydantic_core import to_json

from app.mail.mime import Attachment
from app.messages.forms import Form
from app.messages.schemas import AttachmentAnswer, MessageAnswer
from app.messages.selection import PLAIN, Include, Selection

_NAMES: Final = {
    (field.serialization_alias or name): name
    for name, field in MessageAnswer.model_fields.items()
    if (field.serialization_alias or name) in PLAIN
}
UrlOf = Callable[[int | None], str]
"""The signed link of an attachment by its index; None: of the whole message."""


def item_json(
    item: MessageAnswer, form: Form | None, selection: Selection, url_of: UrlOf | None = None
) -> bytes:
    """The object. ``form``: where the selection needs one; ``url_of``: where it has links."""
    if form is not None and (new := [each for each in form.warnings if each not in item.warnings]):
        item = item.model_copy(update={"warnings": [*item.warnings, *dict.fromkeys(new)]})
    fields = None if selection.fields is None else {_NAMES[name] for name in selection.fields}
    plain = item.model_dump_json(by_alias=True, exclude_unset=True, include=fields).encode()
    members = [plain[1:-1]] if len(plain) > 2 else []
    if form is not None:
        members += _read(form, selection, url_of)
    if url_of is not None:
        members.append(b'"raw_url":' + to_json(url_of(None)))
    return b"{" + b",".join(members) + b"}"


def _read(form: Form, selection: Selection, url_of: UrlOf | None) -> Iterator[bytes]:
    include, limit = selection.include, selection.text_limit
    if Include.TEXT in include:
        text, is_cut = form.text_up_to(limit)
        yield b'"text":' + text
        if limit is not None:
            yield b'"text_truncated":' + (b"true" if is_cut else b"false")
    if Include.HTML in include:
        html, is_cut = form.html_up_to(limit)
        yield b'"html":' + html
        if limit is not None:
            yield b'"html_truncated":' + (b"true" if is_cut else b"false")
    if Include.HEADERS in include:
        yield b'"headers":' + form.headers
    if Include.ATTACHMENTS in include:
        parts = b",".join(_attachment(part, url_of) for part in form.attachments)
        yield b'"attachments":[' + parts + b"]"


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
    rest = {"next_cursor": next_cursor, "has_more": has_more, "warnings": warnings}
    return b'{"items":[' + b",".join(items) + b"]," + to_json(rest)[1:]
