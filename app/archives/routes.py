"""Mail in files over HTTP: out of a mailbox or the feed, and into a mailbox."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Send

from app.access.routes import Watch, Watching, requires
from app.access.service import Scope
from app.archives.exporting import EXPORT_MEMORY, ROWS, Exporter
from app.archives.formats import MEDIA_TYPES, SUFFIXES, ArchiveFormat
from app.archives.importing import IMPORT_MEMORY, ImportBroken, Importer, Into
from app.database import Database
from app.errors import AppError, invalid_request
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.service import existing
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.messages.filter_parameters import Filters
from app.messages.injected import Memory
from app.messages.injected import MessageRoutes as Messages
from app.messages.pages.feed import CursorGone, FeedQuery, Order
from app.messages.pages.search import Wanted
from app.messages.routes import BUSY, Begin, OfMailboxes, gone, refuse_unknown
from app.reading.memory import Share
from app.web.errors.problems import answered, described_headers, documented
from app.web.features import served
from app.web.ids import decode_id
from app.web.requests.bodies import BodyLimits, blocks
from app.web.routing import Router

Format = Annotated[
    ArchiveFormat,
    Query(
        alias="format",
        description="`mbox` (the variant mboxrd), `zip` (a file `.eml` for each message), or `maildir-tar` (a Maildir "
        "in a tar).",
    ),
]
After = Annotated[
    str | None,
    Query(
        max_length=200,
        description="A cursor: `next_cursor` of the manifest at the end of an export, or of the feed with the same "
        "filters.",
    ),
]
AfterMessage = Annotated[
    str | None,
    Query(
        max_length=40,
        examples=["msg_34"],
        description="Instead: behind this message. Its id is in the postmark of an mbox, and in the name of each file.",
    ),
]
Most = Annotated[
    int | None, Query(ge=1, le=10_000_000, description="How many messages at most. Default: all.")
]


@dataclass(frozen=True, kw_only=True)
class ArchiveRoutes:
    """What the routes of archives work with."""

    database: Database
    exporter: Exporter
    importer: Importer
    limits: BodyLimits
    clock: Callable[[], datetime]


Injected = Annotated[ArchiveRoutes, Depends(served(ArchiveRoutes))]

router = Router(tags=["Archives"])

_ANY_FILE = {
    "required": True,
    "description": "An mbox, a zip of `.eml` files, or a tar of a Maildir. What is compressed beside (`.mbox.gz`) is "
    "unpacked before.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


class ImportAnswer(BaseModel):
    """What came of a file."""

    format: ArchiveFormat = Field(description="What it was, as it was asked for or found out.")
    imported: int = Field(examples=[4012], description="Messages that are stored now, and were not before.")
    already_known: int = Field(
        examples=[12],
        description="Messages that the mailbox has already, or that the file has several times.",
    )
    octets: int = Field(examples=[209391616], description="Of the imported ones.")
    passed_over: dict[str, int] = Field(
        examples=[{"its name does not end in .eml": 1}],
        description="Entries that are no messages, or none that are stored: why, and how many.",
    )


_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, made while it is sent. One that breaks off lacks its end.",
        "headers": described_headers("Content-Disposition"),
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in MEDIA_TYPES.values()
        },
    }
}


@router.get(
    "/messages/export",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 410, s503=BUSY) | _FILE,
    response_class=Response,
    summary="Export messages of the feed into one file",
)
async def export_messages(
    feature: Injected,
    messages: Annotated[Messages, Depends(served(Messages))],
    wanted: Filters,
    mailbox_ids: OfMailboxes,
    share: Memory,
    watch: Watching,
    archive_format: Format = ArchiveFormat.ZIP,
    after: After = None,
    after_message: AfterMessage = None,
    limit: Most = None,
) -> Response:
    """Oldest first, octet for octet, what there is now: with the filters of the feed.

    A zip and a tar end with `maildelta-export.json`: `messages`, `is_complete`, and `next_cursor` for the export that
    goes on there. One that was cut off goes on behind the last message that came whole, by `after_message`.
    """
    if mailbox_ids:
        await feature.database.read(lambda db: refuse_unknown(db, mailbox_ids, watch.reach))
        wanted = wanted.of(*mailbox_ids)
    begin = await _begin(messages, wanted, after, after_message)
    return await _export(feature, wanted, begin, archive_format, limit, share, watch, name="messages")


@router.get(
    "/mailboxes/{mailbox_id}/export",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 404, 410, s503=BUSY) | _FILE,
    response_class=Response,
    summary="Export a mailbox into one file",
)
async def export_mailbox(
    feature: Injected,
    messages: Annotated[Messages, Depends(served(Messages))],
    mailbox_id: str,
    wanted: Filters,
    share: Memory,
    watch: Watching,
    archive_format: Format = ArchiveFormat.ZIP,
    after: After = None,
    after_message: AfterMessage = None,
    limit: Most = None,
) -> Response:
    """The same as `/messages/export?mailbox_id=…`, of one mailbox."""
    number = mailbox_id_of(mailbox_id)
    await feature.database.read(lambda db: existing(db, number, reach=watch.reach))
    wanted = wanted.of(number)
    begin = await _begin(messages, wanted, after, after_message)
    return await _export(feature, wanted, begin, archive_format, limit, share, watch, name=mailbox_id)


async def _begin(
    messages: Messages, wanted: Wanted, after: str | None, after_message: str | None
) -> tuple[int | None, str]:
    """The place behind which it begins, and of which feed that is."""
    if after is not None and after_message is not None:
        raise invalid_request("/query/after_message", "either after or after_message, not both")
    if after_message is not None:
        return decode_id("msg", after_message), ""
    cursor = await Begin(after=after).cursor(wanted, messages.reader)
    return (cursor.position, cursor.feed) if cursor else (None, "")


async def _export(
    feature: ArchiveRoutes,
    wanted: Wanted,
    begin: tuple[int | None, str],
    archive_format: ArchiveFormat,
    limit: int | None,
    share: Share,
    watch: Watch,
    *,
    name: str,
) -> Response:
    place, feed = begin
    at_once = ROWS if limit is None else min(ROWS, limit)
    query = FeedQuery(wanted, watch.reach, Order.FEED, place, at_once, feed=feed, is_export=True)
    await share.take(EXPORT_MEMORY)
    try:
        found = await feature.exporter.first(query)
    except CursorGone as error:
        raise gone(error) from error
    pieces = feature.exporter.pieces(
        query,
        found,
        archive_format,
        limit=limit,
        owner=(share.reader, wanted.mailbox_id),
        now=feature.clock(),
        reach_now=watch.again,
    )
    disposition = f'attachment; filename="{name}.{SUFFIXES[archive_format]}"'
    headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
    return _File(pieces, media_type=MEDIA_TYPES[archive_format], headers=headers)


class _File(StreamingResponse):
    """What makes the file is closed as soon as nobody reads on: it may hold a file of its own."""

    def __init__(self, pieces: AsyncGenerator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces):
            await super().stream_response(send)


@router.post(
    "/mailboxes/{mailbox_id}/import",
    dependencies=[requires(Scope.WRITE)],
    responses=documented(
        404,
        409,
        413,
        s409="quota_exceeded: As much is stored as may be; what came before that stays.",
        s503=BUSY,
    )
    | answered(200, "What came of it."),
    openapi_extra={"requestBody": _ANY_FILE},
    summary="Import mail from a file into a mailbox",
)
async def import_mail(
    feature: Injected,
    request: Request,
    mailbox_id: str,
    share: Memory,
    watch: Watching,
    archive_format: Annotated[
        ArchiveFormat | None, Query(alias="format", description="Default: found out from the file.")
    ] = None,
    quiet: Annotated[
        bool,
        Query(
            description="`true`: no reader of the feed is told. The messages are there by id, in threads, exports and "
            "`order=newest`."
        ),
    ] = False,
) -> ImportAnswer:
    """Each message once: what the mailbox has already is left out, so that a file that was cut off is sent again whole.

    Octets are stored as they are in the file. A sync that meets one of these messages on the mail server recognises it,
    and does not store it again. A key that is revoked meanwhile, or loses the mailbox, ends it: what came before stays.
    """
    number = mailbox_id_of(mailbox_id)
    await feature.database.read(lambda db: existing(db, number, reach=watch.reach))
    await share.take(IMPORT_MEMORY)
    file = blocks(request, feature.limits)
    try:
        into = Into(number, watch.reach, quiet)
        report = await feature.importer.run(into, file, archive_format, reach_now=watch.again)
    except SyncFailed as full:
        status = 409 if full.code is SyncErrorCode.QUOTA_EXCEEDED else 503
        raise AppError(status, full.code.value, full.detail) from full
    except ImportBroken as broken:
        there = broken.report
        told = "" if there is None else f"; {there.imported} messages before that were imported"
        raise invalid_request("", f"{broken}{told}") from broken
    return ImportAnswer(
        format=report.archive_format,
        imported=report.imported,
        already_known=report.already_known,
        octets=report.octets,
        passed_over=report.passed,
    )
