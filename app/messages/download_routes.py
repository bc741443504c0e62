"""The octets of messages and of their attachments over HTTP."""

import re
from urllib.parse import quote

from fastapi import Response

from app.access.linked import Linked, requires_or_link
from app.access.reach import Reach
from app.access.routes import Within
from app.access.service import Scope
from app.database import Batchable
from app.errors import not_found
from app.mail.mime import Attachment
from app.mail.names import name_by_type
from app.messages import schemas
from app.messages.injected import Injected, Memory, MessageRoutes
from app.messages.letters.contents import BLOCK_OCTETS
from app.messages.letters.octets import FoundOctets, blocks, found_octets
from app.messages.models import MessageSeq
from app.messages.routes import BUSY, EXPIRED, found, refuse_expired
from app.web.errors.problems import answered_file, documented
from app.web.ids import decode_id
from app.web.requests.ranges import Asked, streamed, whole
from app.web.routing import Router

# Mail is hostile: whatever it claims to be, a browser must not run it in our origin.
_NEVER_CHANGES = {"Cache-Control": "private, max-age=31536000, immutable"}
_READ_ANEW_AT_TIMES = {"Cache-Control": "private, max-age=3600"}  # by another version of the service
_OPENED_BY_LINK = {"Cache-Control": "private, no-store"}  # the address is a key: nobody keeps what it opens
LINKED = "unauthorized|link_not_valid: The API key is missing or not valid; or the link is not."
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}", re.ASCII)  # RFC 9110 §5.6.2
_DOWNLOAD = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Referrer-Policy": "no-referrer",
}

router = Router(tags=["Messages"])


@router.get(
    "/messages/{message_id}/raw",
    dependencies=[requires_or_link(Scope.READ)],
    responses=documented(404, 410, 412, 416, s401=LINKED, s410=EXPIRED, s503=BUSY)
    | answered_file(("message/rfc822",), "The message, octet for octet.", "ETag", "Content-Disposition"),
    response_class=Response,
    summary="Download the message as the server sent it",
)
async def download_message(
    feature: Injected,
    message_id: str,
    asked: Asked,
    share: Memory,
    linked: Linked,
    reach: Within,
) -> Response:
    """Octet for octet, as it was stored; or a part of it, by `Range`. Large ones are streamed."""
    stored = await _octets_of(feature, message_id, reach)
    etag = f'"{stored.sha256.hex()}"'
    headers = {"ETag": etag} | (_OPENED_BY_LINK if linked else _NEVER_CHANGES) | _DOWNLOAD
    if asked.is_met_by(etag):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Content-Type": "message/rfc822",
        "Content-Disposition": f'attachment; filename="{message_id}.eml"',
    }
    part = asked.part_of(stored.octets, etag)
    await share.take(_streamed(stored.octets))
    if stored.few is not None:
        return whole(stored.few, part, headers=headers)
    first = part.start // BLOCK_OCTETS if part else 0
    pieces = blocks(feature.database, stored.sha256, begin=first)
    return streamed(pieces, part, octets=stored.octets, begin=first * BLOCK_OCTETS, headers=headers)


@router.get(
    "/messages/{message_id}/attachments/{index}",
    dependencies=[requires_or_link(Scope.READ)],
    responses=documented(404, 410, 412, 416, s401=LINKED, s410=EXPIRED, s503=BUSY)
    | answered_file(
        ("application/octet-stream", "*/*"),
        "The decoded part, as the media type that its `content_type` says.",
        "ETag",
        "Content-Disposition",
    ),
    response_class=Response,
    summary="Download an attachment",
)
async def download_attachment(
    feature: Injected,
    message_id: str,
    index: int,
    asked: Asked,
    share: Memory,
    linked: Linked,
    reach: Within,
) -> Response:
    """Decoded and streamed, or a part of it, by `Range`. It is named and typed as the sender did; a browser is told to
    run none of it.
    """
    row = await found(feature, message_id, reach)
    etag = schemas.etag_of_attachment(row, index)
    headers = {"ETag": etag} | (_OPENED_BY_LINK if linked else _READ_ANEW_AT_TIMES) | _DOWNLOAD
    if asked.is_met_by(etag):
        return Response(status_code=304, headers=headers)
    await share.take(_streamed(row.octets))
    part = await feature.letters.attachment(row, index, owner=(share.reader, row.mailbox_id))
    if part is None:
        raise not_found("attachment")
    facts, pieces = part
    name = facts.filename or name_by_type(facts.content_type, index) or _unnamed(facts)
    headers |= {
        "Content-Type": _typed(facts),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return streamed(pieces, asked.part_of(facts.octets, etag), octets=facts.octets, headers=headers)


async def _octets_of(feature: MessageRoutes, message_id: str, reach: Reach) -> FoundOctets:
    """The octets of the message that an id in a path names, or 404 or 410, as ``found``."""
    seq = MessageSeq(decode_id("msg", message_id))
    found: FoundOctets | None = await feature.database.read(Batchable(found_octets, (seq, reach)))
    if found is None:
        await feature.database.read(lambda db: refuse_expired(db, seq, reach))
        raise not_found("message")
    return found


def _typed(part: Attachment) -> str:
    """With the charset that the sender names, where it is one; the framework would say that every text is UTF-8."""
    if part.content_type.startswith("text/") and _TOKEN.fullmatch(part.charset):
        return f"{part.content_type}; charset={part.charset}"
    return part.content_type


def _unnamed(part: Attachment) -> str:
    return f"attachment-{part.index}.{'txt' if part.content_type.startswith('text/') else 'bin'}"


def _streamed(octets: int) -> int:
    """A block as it is stored, the same unpacked, and what of it is on its way."""
    return 3 * min(octets, BLOCK_OCTETS)
