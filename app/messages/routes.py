"""The feed, messages, their raw octets and their attachments over HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlmodel import Session

from app.access.linked import LinkMaker, MakesLinks
from app.access.reach import Reach
from app.access.routes import Watch, Watching, Within, requires
from app.access.service import Scope
from app.errors import AppError, invalid_request, not_found
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId
from app.mailboxes.naming import MailboxNames
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.service import existing
from app.messages import repository, schemas
from app.messages.composing import Links
from app.messages.filter_parameters import Filters, Text
from app.messages.injected import Injected, Memory, MessageRoutes, Tell
from app.messages.models import Message, MessageSeq
from app.messages.pages import expiry
from app.messages.pages.feed import CursorGone, FeedQuery, Order, cut_at, scope_of
from app.messages.pages.items import listed_item, page_json
from app.messages.pages.search import Wanted
from app.messages.pages.selecting import InList, OfOne
from app.messages.pages.selection import WHOLE, Selection
from app.messages.pages.waiting import Feed
from app.messages.schemas import FeedPage, MessageWhole
from app.reading.memory import Share
from app.web.errors.problems import answered, documented, not_modified
from app.web.found import found as found_row
from app.web.ids import decode_id, encode_id
from app.web.pages import Cursor, Limit, decode_cursor, link_next
from app.web.requests.ranges import Known
from app.web.routing import Router
from app.web.times import UtcTime

LONGEST_WAIT_SECONDS = 60

Place = Annotated[
    str | None,
    Query(
        description="The `next_cursor` of the page before; opaque, and never expires. Or `earliest`, the beginning of "
        "the feed; or `latest`, its end: only what is stored from now on.",
    ),
]
PlaceInTime = Annotated[
    UtcTime | None,
    Query(description="Instead of `after`: begin with what was retrieved at this time or later."),
]

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


async def _of_mailboxes(
    mailbox_id: Annotated[
        list[Text] | None, Query(description="Of this mailbox; of one of these, when there are several.")
    ] = None,
) -> tuple[MailboxId, ...]:
    try:
        return tuple(mailbox_id_of(each) for each in mailbox_id or ())
    except AppError as error:
        several = (
            " Several are repeated: mailbox_id=mbx_1&mailbox_id=mbx_2." if "," in str(mailbox_id) else ""
        )
        raise invalid_request("/query/mailbox_id", f"{error.detail}{several}") from error


OfMailboxes = Annotated[tuple[MailboxId, ...], Depends(_of_mailboxes)]


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a read of the feed begins, and which way it goes."""

    after: str | None = None
    after_time: datetime | None = None
    order: Order = Order.FEED

    async def cursor(self, wanted: Wanted, reader: Feed) -> Cursor | None:
        """None: at the beginning. Raises AppError."""
        is_named = self.after in {"earliest", "latest"}
        if self.after_time and self.after is not None:
            raise invalid_request("/query/after_time", "either after or after_time, not both")
        if self.order is Order.NEWEST and (is_named or self.after_time):
            name = "after" if is_named else "after_time"
            raise invalid_request(
                f"/query/{name}", "goes with order=feed; order=newest begins with the latest"
            )
        if self.after_time:
            return Cursor(await reader.place_before(self.after_time))
        if self.after == "latest":
            return Cursor(await reader.last_place())
        if self.after == "earliest":
            return None
        return decode_cursor(self.after, scope_of(wanted, self.order))


async def _begin(after: Place = None, after_time: PlaceInTime = None, order: InOrder = Order.FEED) -> Begin:
    return Begin(after, after_time, order)


Beginning = Annotated[Begin, Depends(_begin)]


def gone(error: CursorGone) -> AppError:
    """410: with cursors to begin anew with."""
    detail = (
        "The cursor is of another feed, or of a place that this one does not have: the database is another one than "
        "the cursor was got from. Begin anew with 'earliest' (what you have comes again) or 'latest'."
    )
    return AppError(410, "cursor_gone", detail, members={"earliest": error.earliest, "latest": error.latest})


def refuse_unknown(db: Session, mailbox_ids: Sequence[MailboxId], reach: Reach) -> None:
    if unknown := mailboxes.unknown(db, mailbox_ids, reach=reach):
        raise invalid_request("/query/mailbox_id", f"there is no mailbox {encode_id('mbx', unknown[0])}")


EXPIRED = "message_expired: The message was here; its contents were kept as long as `local_retention` says."
NO_LINKS = "without_secrets: The service runs without its secret key, and can sign no links."
BUSY = (
    "busy: Others are being answered, and their mail takes all the memory or time that there is for answers."
)


router = Router(tags=["Messages"])


async def _page(
    feature: MessageRoutes,
    request: Request,
    wanted: Wanted,
    begin: Begin,
    limit: int,
    wait: int,
    chosen: Selection,
    share: Share,
    links: Links | None,
    watch: Watch,
) -> Response:
    cursor = await begin.cursor(wanted, feature.reader)
    start, feed = (cursor.position, cursor.feed) if cursor else (None, "")
    query = FeedQuery(wanted, watch.reach, begin.order, start, limit, feed=feed, is_written=True)
    try:
        found = await feature.reader.page(
            query, wait=wait, is_gone=request.is_disconnected, reach_now=watch.again
        )
    except CursorGone as error:
        raise gone(error) from error
    told, items = found.page, found.written
    if not chosen.is_plain:
        listed = [listed_item(each) for each in items]
        made = await feature.composer.page(listed, chosen, share, links)
        items = made.items
        if made.passed < len(listed):
            told = cut_at(told, listed[made.passed - 1].seq, query.scope)
    octets = page_json(items, next_cursor=told.next_cursor, has_more=told.has_more, warnings=told.warnings)
    answer = Response(octets, media_type="application/json")
    link_next(request, answer, told.next_cursor if told.has_more else None)
    return answer


def _links_if_wanted(chosen: Selection, links: Callable[[], LinkMaker]) -> Links | None:
    return links().to if chosen.has_links else None


@router.get(
    "/messages",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 409, 410, s409=NO_LINKS, s503=BUSY)
    | answered(200, "A page of the feed.", "Link"),
    response_model=FeedPage,
    response_model_exclude_unset=True,
    summary="Read the feed: new messages of all mailboxes, each once",
)
async def list_messages(
    feature: Injected,
    request: Request,
    wanted: Filters,
    mailbox_ids: OfMailboxes,
    begin: Beginning,
    chosen: InList,
    share: Memory,
    links: MakesLinks,
    watch: Watching,
    limit: Limit = 50,
    wait: Wait = 0,
) -> Response:
    """Oldest first. Pass `next_cursor` as `after` next time: no message is skipped, none comes twice.

    Several values of one filter mean one of them, several filters all of them. `header:<name>=…` is a filter for each
    header that the setting `MAILDELTA_INDEXED_HEADERS` names: `header:list-id=…` where it names `List-Id`. With
    `include` a page ends where it has 8 MiB, or has taken 5 seconds to read: then it has fewer messages than `limit`,
    and `has_more`.
    """
    if mailbox_ids:
        await feature.database.read(lambda db: refuse_unknown(db, mailbox_ids, watch.reach))
        wanted = wanted.of(*mailbox_ids)
    made_by = _links_if_wanted(chosen, links)
    return await _page(feature, request, wanted, begin, limit, wait, chosen, share, made_by, watch)


@router.get(
    "/mailboxes/{mailbox_id}/messages",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 404, 409, 410, s409=NO_LINKS, s503=BUSY)
    | answered(200, "A page of the feed.", "Link"),
    response_model=FeedPage,
    response_model_exclude_unset=True,
    summary="Read the feed of one mailbox",
)
async def list_mailbox_messages(
    feature: Injected,
    request: Request,
    mailbox_id: str,
    wanted: Filters,
    begin: Beginning,
    chosen: InList,
    share: Memory,
    links: MakesLinks,
    watch: Watching,
    limit: Limit = 50,
    wait: Wait = 0,
) -> Response:
    """The same as `/messages?mailbox_id=…`, of one mailbox."""
    number = mailbox_id_of(mailbox_id)
    await feature.database.read(lambda db: existing(db, number, reach=watch.reach))
    made_by, wanted = _links_if_wanted(chosen, links), wanted.of(number)
    return await _page(feature, request, wanted, begin, limit, wait, chosen, share, made_by, watch)


async def found(feature: MessageRoutes, message_id: str, reach: Reach) -> Message:
    """The message that an id in a path names, or 404, also where it is out of reach; 410 where it has expired."""
    return (await _found_with_names(feature, message_id, reach))[0]


async def _found_with_names(
    feature: MessageRoutes, message_id: str, reach: Reach
) -> tuple[Message, MailboxNames]:
    """The same, and the names of its mailbox."""
    seq = MessageSeq(decode_id("msg", message_id))

    def question(db: Session) -> tuple[Message, MailboxNames] | None:
        if (named := repository.named(db, seq, reach=reach)) is None:
            refuse_expired(db, seq, reach)
        return named

    return await found_row(feature.database, question, "message")


def refuse_expired(db: Session, seq: MessageSeq, reach: Reach) -> None:
    """Raises 410 for a message that was there, and whose contents are gone."""
    if expiry.is_expired(db, seq, reach=reach):
        detail = (
            "The message was here, and its contents were removed: they are kept for as long as local_retention of "
            "its mailbox says."
        )
        raise AppError(410, "message_expired", detail)


@router.get(
    "/messages/{message_id}",
    dependencies=[requires(Scope.READ)],
    responses=documented(404, 409, 410, s409=NO_LINKS, s410=EXPIRED, s503=BUSY)
    | answered(200, "The message with its parts.", "ETag")
    | not_modified(),
    response_model=MessageWhole,
    summary="Read one message",
)
async def get_message(
    feature: Injected,
    message_id: str,
    known: Known,
    share: Memory,
    chosen: OfOne,
    links: MakesLinks,
    reach: Within,
) -> Response:
    """Its text, its sanitised HTML, its headers, and what hangs on it; with `fields` only what that names."""
    row, mailbox = await _found_with_names(feature, message_id, reach)
    told = schemas.answer(row, mailbox)
    headers = {"ETag": schemas.etag(told, chosen.words)}
    if known.is_met_by(headers["ETag"]):
        return Response(status_code=304, headers=headers)
    made_by = _links_if_wanted(chosen, links)
    octets = await feature.composer.one(told, chosen, share, made_by)
    return Response(octets, headers=headers, media_type="application/json")


@router.post(
    "/messages/{message_id}/reparse",
    dependencies=[requires(Scope.WRITE)],
    responses=documented(404, 410, s410=EXPIRED, s503=BUSY) | answered(200, "The message as it is read now."),
    response_model=MessageWhole,
    summary="Read a stored message again",
)
async def reparse_message(feature: Injected, message_id: str, share: Memory, reach: Within) -> Response:
    """By the reader of this version, as happens by itself after an upgrade. Its place, id and raw octets stay."""
    seq = MessageSeq((await found(feature, message_id, reach)).seq)
    await feature.rereader.one(seq, reach=reach, owner=(share.reader, seq))
    row, mailbox = await _found_with_names(feature, message_id, reach)
    feature.letters.forms.forget(row.raw_sha256)
    octets = await feature.composer.one(schemas.answer(row, mailbox), WHOLE, share)
    return Response(octets, media_type="application/json")


@router.delete(
    "/messages/{message_id}",
    status_code=204,
    dependencies=[requires(Scope.WRITE)],
    responses=documented(404) | answered(204, "The local copy is deleted."),
    summary="Delete the local copy",
)
async def delete_message(feature: Injected, message_id: str, reach: Within) -> None:
    """The unique-id stays known: the message never comes again. Nothing is deleted on the mail server.

    Of one that has expired, what is left goes: feeds tell of it no more.
    """
    seq = MessageSeq(decode_id("msg", message_id))

    def change(tell: Tell, db: Session) -> bool:
        if repository.get(db, seq, reach=reach) is not None:
            tell(db, [seq])
        return repository.remove(db, seq, reach=reach) or expiry.forget(db, seq, reach=reach)

    if not await feature.let_go(feature.database, change):
        raise not_found("message")
