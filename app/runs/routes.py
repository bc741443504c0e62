"""Syncs over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import Watching, Within, requires
from app.access.service import Scope
from app.database import Database
from app.errors import AppError, invalid_request, without_secrets
from app.idempotency.replays import MAKES_ONCE
from app.jobs.wakeups import Wakeup, Wakeups
from app.mailboxes.models import MailboxId
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.service import existing
from app.runs import repository as runs
from app.runs import schemas
from app.runs.asking import NOT_NOW, request_by_hand
from app.runs.models import ACTIVE, Sync, SyncId, SyncStatus
from app.runs.repository import WantedSyncs
from app.runs.schemas import QUEUED, STOPPED, SyncAnswer
from app.runs.waiting import WaitForEnd, until_ended
from app.telemetry import Traces
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.following import stream_of, until_done
from app.web.found import found
from app.web.ids import decode_id
from app.web.pages import ELSEWHERE, CursorScope, Page, Paged, located
from app.web.routing import Router
from app.web.times import UtcTime

_MOST_LOOKED_AT = 10_000

_EVENTS = stream_of(SyncAnswer, of_what="sync", example='{"id": "syn_12", "status": "succeeded", …}')


@dataclass(frozen=True, kw_only=True)
class SyncRoutes:
    """What the routes of syncs work with.

    ``work_is_due`` and ``sync_is_due``: see ``Core``. ``transcripts``: whether the settings have failed syncs
    keep theirs.
    """

    database: Database
    wakeups: Wakeups
    work_is_due: Callable[[], None]
    sync_is_due: Callable[[], None]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    transcripts: bool
    has_secrets: bool
    traces: Traces


Injected = Annotated[SyncRoutes, Depends(served(SyncRoutes))]

router = Router(tags=["Syncs"])


async def _found(feature: SyncRoutes, sync_id: SyncId, reach: Reach) -> Sync:
    return await found(feature.database, lambda db: runs.get(db, sync_id, reach=reach), "sync")


_SYNC_RESPONSES: dict[int | str, dict[str, Any]] = (
    documented(404, 409, s409=f"{NOT_NOW}: The mailbox is not to be synced now.")
    | answered(202, "The sync is queued or running.", "Location", example=QUEUED)
    | {200: {"model": SyncAnswer} | answered(200, "With `wait`: the sync has ended.", "Location")[200]}
)


@router.post(
    "/mailboxes/{mailbox_id}/sync",
    status_code=202,
    dependencies=[requires(Scope.SYNC), MAKES_ONCE],
    responses=_SYNC_RESPONSES,
    response_model=SyncAnswer,
    summary="Ask for a sync",
)
@router.post(
    "/mailboxes/{mailbox_id}/syncs",
    status_code=202,
    dependencies=[requires(Scope.SYNC), MAKES_ONCE],
    responses=_SYNC_RESPONSES,
    response_model=SyncAnswer,
    summary="Ask for a sync; the same as `/sync`",
    name="create_mailbox_sync",
)
async def sync_mailbox(
    feature: Injected,
    request: Request,
    mailbox_id: str,
    watch: Watching,
    wait: WaitForEnd = 0,
    force: Annotated[
        bool,
        Query(description="true: log in although a refused login waits; at most three times an hour."),
    ] = False,
) -> Response:
    """List, diff, retrieve what is new, store; in the background. Queued or running: that same sync."""
    number = mailbox_id_of(mailbox_id)
    if not feature.has_secrets:
        raise without_secrets()
    # Not flushed: a request that a power failure takes away loses no mail.
    traceparent = feature.traces.traceparent()
    ask = partial(
        request_by_hand,
        mailbox_id=number,
        reach=watch.reach,
        now=feature.clock(),
        traceparent=traceparent,
        force=force,
    )
    row = await feature.database.write(ask, durable=False)
    row = await until_ended(
        row,
        wait,
        reach_now=watch.again,
        database=feature.database,
        wakeups=feature.wakeups,
        monotonic=feature.monotonic,
        sync_is_due=feature.sync_is_due,
    )
    answer = schemas.answer(row)
    return Response(
        answer.model_dump_json(),
        status_code=202 if row.status in ACTIVE else 200,
        headers={"Location": located(request, f"/syncs/{answer.id}")},
        media_type="application/json",
    )


@router.get(
    "/mailboxes/{mailbox_id}/syncs",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 404, 410, s410=ELSEWHERE) | answered(200, "A page of the syncs.", "Link"),
    summary="List the syncs of a mailbox, the latest first",
)
async def list_mailbox_syncs(
    feature: Injected, mailbox_id: str, paging: Paged, reach: Within
) -> Page[SyncAnswer]:
    """The latest first. Ended ones are forgotten after a while, as the settings say."""
    number = mailbox_id_of(mailbox_id)
    scope = CursorScope.of("syncs", filters={"mailbox_id": number})
    place = paging.place(scope)

    def question(db: Session) -> Page[SyncAnswer]:
        existing(db, number, reach=reach)
        rows = runs.page(db, number, before=place, limit=paging.rows)
        return paging.page(rows, scope, place=lambda row: row.id, shape=schemas.answer)

    return paging.linked(await feature.database.read(question))


@router.get(
    "/syncs",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 410, s410=ELSEWHERE) | answered(200, "A page of the syncs.", "Link"),
    summary="List the syncs of all mailboxes, the latest first",
)
async def list_syncs(
    feature: Injected,
    paging: Paged,
    reach: Within,
    status: Annotated[list[SyncStatus] | None, Query(description="It is so far, or ended so.")] = None,
    mailbox_id: Annotated[list[str] | None, Query(max_length=200, description="Of this mailbox.")] = None,
    since: Annotated[UtcTime | None, Query(description="Asked for at this time or later.")] = None,
) -> Page[SyncAnswer]:
    """The latest first. One call looks at 10,000 syncs at most: then `items` may be short, or empty, and the search
    goes on with `next_cursor`. Several values of one filter mean one of them, several filters all of them.
    """
    wanted = WantedSyncs(
        statuses=tuple(sorted(set(status or ()))),
        mailbox_ids=tuple(sorted({_asked_for(each) for each in mailbox_id or ()})),
        since=since,
    )
    scope = CursorScope.of("all-syncs", filters=asdict(wanted))
    place = paging.place(scope)

    def question(db: Session) -> Page[SyncAnswer]:
        found = runs.look(db, wanted, reach=reach, before=place, limit=paging.limit, most=_MOST_LOOKED_AT)
        cursor = None if found.reached is None else paging.cursor(found.reached, scope)
        return Page.up_to([schemas.answer(row) for row in found.rows], cursor)

    return paging.linked(await feature.database.search(question))


def _asked_for(mailbox_id: str) -> MailboxId:
    try:
        return mailbox_id_of(mailbox_id)
    except AppError as error:
        raise invalid_request("/query/mailbox_id", error.detail) from error


@router.get(
    "/syncs/{sync_id}",
    dependencies=[requires(Scope.READ)],
    responses=documented(404) | answered(200, "The sync as it is now."),
    summary="Read a sync",
)
async def get_sync(feature: Injected, sync_id: str, reach: Within) -> SyncAnswer:
    """While it runs, `report` grows; once it has ended, it stays."""
    return schemas.answer(await _found(feature, SyncId(decode_id("syn", sync_id)), reach))


@router.get(
    "/syncs/{sync_id}/transcript",
    dependencies=[requires(Scope.READ)],
    responses=documented(
        404,
        s404="transcript_not_found|not_found: Transcripts are off: set MAILDELTA_TRANSCRIPTS=true and sync again.",
    )
    | answered(200, "The transcript."),
    response_class=PlainTextResponse,
    summary="Read what was said in a failed sync",
)
async def get_sync_transcript(feature: Injected, sync_id: str, reach: Within) -> str:
    """The commands (`C:`) and answers (`S:`) on the wire, for whoever has to find out what went wrong.

    No password and no mail is in it: arguments that may be secret are `***`, answers that repeat part of
    a secret are withheld, bodies are counted. At most 64 KiB;
    the middle of a longer one is left out. Only with the setting `MAILDELTA_TRANSCRIPTS`, and only of the
    latest three failed syncs of each mailbox.
    """
    row = await _found(feature, SyncId(decode_id("syn", sync_id)), reach)
    text = await feature.database.read(lambda db: runs.read_transcript(db, SyncId(row.id or 0)))
    if text is None:
        raise AppError(404, "transcript_not_found", _no_transcript(row, is_on=feature.transcripts))
    return text


async def followed(feature: Injected, sync_id: str, reach: Within) -> Sync:
    """The sync whose events are asked for: a wrong id must be answered before the stream begins."""
    return await _found(feature, SyncId(decode_id("syn", sync_id)), reach)


@router.get(
    "/syncs/{sync_id}/events",
    dependencies=[requires(Scope.READ)],
    responses=documented(404) | _EVENTS,
    response_class=EventSourceResponse,
    summary="Follow a sync",
)
async def follow_sync(
    feature: Injected, row: Annotated[Sync, Depends(followed)], watch: Watching
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events: `progress` with the sync whenever it changed, then `done`.

    The stream ends without `done` when the key may not see the sync any more.
    """
    number = SyncId(row.id or 0)

    async def look() -> tuple[SyncAnswer, bool]:
        now = await _found(feature, number, await watch.again())
        return schemas.answer(now), now.status not in ACTIVE

    def change() -> Callable[[], Awaitable[None]]:
        return partial(Wakeup.wait, feature.wakeups.syncs_changed.ticket(number))

    async for event in until_done(look, change):
        yield event


@router.post(
    "/syncs/{sync_id}/cancel",
    status_code=202,
    dependencies=[requires(Scope.SYNC)],
    responses=documented(404) | answered(202, "The sync as it is now.", example=STOPPED),
    summary="Stop a sync, keeping what is committed",
)
async def cancel_sync(feature: Injected, sync_id: str, reach: Within) -> SyncAnswer:
    """A sync that has ended stays as it is."""
    number = SyncId(decode_id("syn", sync_id))
    await _found(feature, number, reach)
    await feature.database.write(lambda db: runs.cancel(db, number, now=feature.clock()))
    feature.wakeups.sync_ended(number)
    feature.work_is_due()
    return schemas.answer(await _found(feature, number, reach))


def _no_transcript(row: Sync, *, is_on: bool) -> str:
    if row.status != SyncStatus.FAILED:
        return f"Only failed syncs have a transcript. This one is {row.status}."
    if not is_on:
        return "Transcripts are off: set MAILDELTA_TRANSCRIPTS=true, start the service again, and sync again."
    return (
        "None was kept: transcripts were off when it failed, an error of ours ended it, or the mailbox has "
        f"{runs.TRANSCRIPTS_KEPT} later ones."
    )
