"""The feed, messages, their raw octets and their attachments over HTTP."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from app.access.routes import By, requires
from app.access.service import Gate, Scope
from app.database import Database
from app.errors import not_found
from app.jobs.wakeups import Wakeup
from app.mail.mime import Automated, Kind
from app.mail.people import canonical
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.service import existing
from app.messages import repository, schemas
from app.messages.contents import BLOCK_OCTETS
from app.messages.feed import Feed, FeedQuery, Order
from app.messages.models import Message, MessageSeq
from app.messages.octets import blocks
from app.messages.reader import SMALL_OCTETS, MessageReader
from app.messages.repository import Wanted
from app.messages.rereading import Rereader
from app.messages.schemas import FeedPage, MessageWhole
from app.reading.memory import Share
from app.web.ids import THREAD_PATTERN, decode_id, decode_thread_id
from app.web.pages import After, Limit, decode_cursor, link_next
from app.web.problems import answered, answered_file, documented
from app.web.routing import Router
from app.web.times import UtcTime

LONGEST_WAIT_SECONDS = 60

Wait = Annotated[
    int,
    Query(
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="Seconds to wait for a first message when there is none (long poll). With filters, the search goes "
        "on within them beyond what one call looks at.",
    ),
]


InOrder = Annotated[
    Order, Query(description="`feed`: oldest first, the order in which they came. `newest`: newest first.")
]


_NOBODY = "none"


def _some_of(*names: str) -> str:
    """A pattern: one or more of these words, with commas between them."""
    one = f"(?:{'|'.join(names)})"
    return f"^{one}(?:,{one})*$"


_SOME_AUTOMATED = _some_of(*Automated, _NOBODY)
_SOME_KINDS = _some_of(*Kind)


def _wanted(
    subject: Annotated[str | None, Query(max_length=500, description="Holds this text.")] = None,
    sender: Annotated[
        str | None, Query(alias="from", max_length=500, description="Name or address holds this text.")
    ] = None,
    from_address: Annotated[
        str | None,
        Query(
            max_length=500,
            description="The sender's address is this one, exactly (ASCII letters in any case). Messages whose "
            "sender is uncertain (`from_ambiguous`) never match.",
        ),
    ] = None,
    to: Annotated[str | None, Query(max_length=500, description="To or Cc holds this text.")] = None,
    since: Annotated[UtcTime | None, Query(description="Retrieved at or after this time.")] = None,
    until: Annotated[UtcTime | None, Query(description="Retrieved before this time.")] = None,
    has_attachments: Annotated[bool | None, Query(description="Whether there is a part to download.")] = None,
    thread_id: Annotated[
        str | None, Query(pattern=THREAD_PATTERN, description="All messages of this thread.")
    ] = None,
    automated: Annotated[
        list[Annotated[str, StringConstraints(pattern=_SOME_AUTOMATED)]] | None,
        Query(
            description="Sent by a program as this; `none`: no header says so. Several, repeated or with commas "
            "between them: any of them."
        ),
    ] = None,
    kind: Annotated[
        list[Annotated[str, StringConstraints(pattern=_SOME_KINDS)]] | None,
        Query(
            description="It is this, maybe among others. Several, repeated or with commas between them: any of them."
        ),
    ] = None,
) -> Wanted:
    return Wanted(
        subject=subject,
        sender=sender,
        from_address=canonical(from_address) if from_address is not None else None,
        recipient=to,
        since=since,
        until=until,
        has_attachments=has_attachments,
        thread_id=decode_thread_id(thread_id) if thread_id is not None else None,
        automated=tuple(None if name == _NOBODY else Automated(name) for name in _names(automated)),
        kinds=tuple(Kind(name) for name in _names(kind)),
    )


def _names(given: list[str] | None) -> Iterator[str]:
    """Each once: those that came repeated, and those with commas between them."""
    yield from dict.fromkeys(name for some in given or () for name in some.split(","))


Filters = Annotated[Wanted, Depends(_wanted)]


def build_router(
    *,
    database: Database,
    gate: Gate,
    letters: MessageReader,
    messages_stored: Wakeup,
    monotonic: Callable[[], float],
) -> APIRouter:
    """The routes of the messages. ``monotonic`` is in seconds."""
    router = Router(tags=["Messages"], lifespan=letters.running)
    may_read, may_admin = requires(gate, Scope.READ), requires(gate, Scope.ADMIN)
    rereader = Rereader(database=database, threads=letters.threads, monotonic=monotonic)

    async def memory_of_answer(by: By) -> AsyncIterator[Share]:
        """Given back when the answer has been sent, or cannot be any more."""
        async with letters.memory.share(by.key) as share:
            yield share

    Memory = Annotated[Share, Depends(memory_of_answer)]  # noqa: N806
    reader = Feed(database=database, messages_stored=messages_stored, monotonic=monotonic)

    async def page(
        request: Request,
        response: Response,
        wanted: Wanted,
        after: str | None,
        limit: int,
        wait: int,
        order: Order,
    ) -> FeedPage:
        query = FeedQuery(wanted, order, decode_cursor(after), limit)
        found = await reader.page(query, wait=wait, is_gone=request.is_disconnected)
        link_next(request, response, found.next_cursor)
        return found

    @router.get(
        "/messages",
        dependencies=[may_read],
        responses=documented(400) | answered(200, "A page of the feed.", "Link"),
        summary="Read the feed: new messages of all mailboxes, each once",
    )
    async def list_messages(
        request: Request,
        response: Response,
        wanted: Filters,
        after: After = None,
        limit: Limit = 50,
        wait: Wait = 0,
        order: InOrder = Order.FEED,
    ) -> FeedPage:
        """Oldest first. Pass `next_cursor` as `after` next time: no message is skipped, none comes twice."""
        return await page(request, response, wanted, after, limit, wait, order)

    @router.get(
        "/mailboxes/{mailbox_id}/messages",
        dependencies=[may_read],
        responses=documented(400, 404) | answered(200, "A page of the feed.", "Link"),
        summary="Read the feed of one mailbox",
    )
    async def list_mailbox_messages(
        request: Request,
        response: Response,
        mailbox_id: str,
        wanted: Filters,
        after: After = None,
        limit: Limit = 50,
        wait: Wait = 0,
        order: InOrder = Order.FEED,
    ) -> FeedPage:
        """The same as `/messages`, of one mailbox. Cursors of one are not meant for the other."""
        number = mailbox_id_of(mailbox_id)
        await database.read(lambda db: existing(db, number))
        return await page(request, response, wanted.of(number), after, limit, wait, order)

    async def found(message_id: str) -> Message:
        seq = MessageSeq(decode_id("msg", message_id))
        row = await database.read(lambda db: repository.get(db, seq))
        if row is None:
            raise not_found("message")
        return row

    @router.get(
        "/messages/{message_id}",
        dependencies=[may_read],
        responses=documented(404, s503=_BUSY) | answered(200, "The message with its parts."),
        summary="Read one message",
    )
    async def get_message(message_id: str, share: Memory) -> MessageWhole:
        """Its text, its sanitised HTML, its headers, and what hangs on it."""
        row = await found(message_id)
        await share.take(_SMALL_ANSWER if row.octets <= SMALL_OCTETS else _LARGE_ANSWER)
        return schemas.whole(row, await letters.parsed(row, owner=(share.reader, row.mailbox_id)))

    @router.get(
        "/messages/{message_id}/raw",
        dependencies=[may_read],
        responses=documented(404, s503=_BUSY)
        | answered_file("message/rfc822", "The message, octet for octet.", "ETag", "Content-Disposition"),
        response_class=Response,
        summary="Download the message as the server sent it",
    )
    async def download_message(message_id: str, request: Request, share: Memory) -> Response:
        """Octet for octet, as it was stored. Streamed."""
        row = await found(message_id)
        headers = {"ETag": f'"{row.raw_sha256.hex()}"', "Cache-Control": "no-store"} | _DOWNLOAD
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        headers["Content-Disposition"] = f'attachment; filename="{message_id}.eml"'
        headers["Content-Length"] = str(row.octets)
        await share.take(_streamed(row))
        stored = blocks(database, row.raw_sha256)
        return StreamingResponse(stored, media_type="message/rfc822", headers=headers)

    @router.get(
        "/messages/{message_id}/attachments/{index}",
        dependencies=[may_read],
        responses=documented(404, s503=_BUSY)
        | answered_file("application/octet-stream", "The decoded part.", "Content-Disposition"),
        response_class=Response,
        summary="Download an attachment",
    )
    async def download_attachment(message_id: str, index: int, share: Memory) -> Response:
        """Decoded and streamed. It is named and typed as the sender did; a browser is told to run none of it."""
        row = await found(message_id)
        await share.take(_streamed(row))
        part = await letters.attachment(row, index, owner=(share.reader, row.mailbox_id))
        if part is None:
            raise not_found("attachment")
        facts, pieces = part
        name = facts.filename or f"attachment-{index}"
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {"Content-Disposition": disposition, "Content-Length": str(facts.octets)} | _DOWNLOAD
        return StreamingResponse(pieces, media_type=facts.content_type, headers=headers)

    @router.post(
        "/messages/{message_id}/reparse",
        dependencies=[may_admin],
        responses=documented(404) | answered(200, "The message as it is read now."),
        summary="Read a stored message again",
    )
    async def reparse_message(message_id: str, share: Memory) -> MessageWhole:
        """By the reader of this version, as happens by itself after an upgrade. Its place, id and raw octets stay."""
        seq = MessageSeq(decode_id("msg", message_id))
        if not await rereader.one(seq, owner=(share.reader, seq)):
            raise not_found("message")
        return await get_message(message_id, share)

    @router.delete(
        "/messages/{message_id}",
        status_code=204,
        dependencies=[may_admin],
        responses=documented(404) | answered(204, "The local copy is deleted."),
        summary="Delete the local copy",
    )
    async def delete_message(message_id: str) -> None:
        """The unique-id stays known: the message never comes again. Nothing is deleted on the mail server."""
        seq = MessageSeq(decode_id("msg", message_id))
        if not await database.write(lambda db: repository.remove(db, seq)):
            raise not_found("message")

    return router


_BUSY = (
    "busy: Others are being answered, and their mail takes all the memory or time that there is for answers."
)
# What an answer holds at most, in octets: a letter with what is made of it, in its several forms on the way.
_SMALL_ANSWER = 1024 * 1024
_LARGE_ANSWER = 32 * 1024 * 1024
# Mail is hostile: whatever it claims to be, a browser must not run it in our origin.
_DOWNLOAD = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


def _streamed(row: Message) -> int:
    """A block as it is stored, the same unpacked, and what of it is on its way."""
    return 3 * min(row.octets, BLOCK_OCTETS)
