"""Syncs of many mailboxes over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

import structlog
from fastapi import Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import By, Watching, Within, requires
from app.access.service import Scope
from app.database import Database
from app.errors import AppError, InputFault, invalid_request, without_secrets
from app.idempotency.replays import MAKES_ONCE
from app.mailboxes import repository as mailboxes
from app.mailboxes.finding import HealthAt, WantedMailboxes
from app.mailboxes.health import HealthState, Thresholds
from app.mailboxes.naming import Labels
from app.mailboxes.routes import mailbox_id_of
from app.runs.many import batches
from app.runs.many.batches import REMOVED, BatchStatus, Progress
from app.runs.models import BatchId, SyncStatus
from app.telemetry import Traces
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.following import stream_of, until_done
from app.web.found import found
from app.web.ids import decode_id, encode_id
from app.web.pages import located
from app.web.routing import Router
from app.web.sent import Sent
from app.web.times import UtcTime

_log = structlog.get_logger()

_MOST_IDS = 1_000
_LOOK_AGAIN_SECONDS = 1.0


class SyncsWanted(Sent):
    """Which mailboxes to sync: those that fit with all that is named; or all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"labels": ["acme"]}]})

    mailbox_ids: list[str] = Field(
        default_factory=list, max_length=_MOST_IDS, examples=[["mbx_7"]], description="These."
    )
    labels: Labels = Field(default_factory=list, description="Those with one of these labels.")
    health: list[HealthState] = Field(
        default_factory=list,
        max_length=len(HealthState),
        examples=[["failing"]],
        description="Those that fare so.",
    )
    all: bool = Field(False, description="true, and nothing else: every mailbox in reach.")


class SyncBatchAnswer(BaseModel):
    """Syncs of many mailboxes, and how far they are."""

    id: str = Field(examples=["bat_3"], description="The id of the batch.")
    status: BatchStatus = Field(
        examples=["running"], description="`cancelled`: it was stopped, and what ran has ended."
    )
    mailboxes: int = Field(
        examples=[12],
        description="How many fitted when it was asked for. Who fits is looked at again as it goes on.",
    )
    queued: int = Field(examples=[2], description="Syncs that wait for a worker; some hundred at a time.")
    running: int = Field(examples=[1], description="Syncs that run.")
    succeeded: int = Field(examples=[8], description="Syncs that ended so.")
    partial: int = Field(examples=[0], description="Syncs that were cut after something was stored.")
    failed: int = Field(examples=[1], description="Syncs that failed.")
    cancelled: int = Field(examples=[0], description="Syncs that were stopped.")
    removed: int = Field(examples=[0], description="Syncs that went with their mailbox.")
    refused: dict[str, int] = Field(
        examples=[{"mailbox_paused": 1}],
        description="How many mailboxes are not to be synced now, by the code that asking for one sync would have.",
    )
    created_at: UtcTime = Field(description="When it was asked for.")
    ended_at: UtcTime | None = Field(examples=[None], description="When all of it had ended; null: not yet.")


_EVENTS = stream_of(SyncBatchAnswer, of_what="batch", example='{"id": "bat_3", "status": "done", …}')


@dataclass(frozen=True, kw_only=True)
class SyncBatchRoutes:
    """What the routes of batches work with."""

    database: Database
    work_is_due: Callable[[], None]
    clock: Callable[[], datetime]
    thresholds: Thresholds
    has_secrets: bool
    traces: Traces

    @property
    def health(self) -> HealthAt:
        """Judging health now."""
        return HealthAt(self.thresholds, self.clock())


Injected = Annotated[SyncBatchRoutes, Depends(served(SyncBatchRoutes))]

router = Router(tags=["Syncs"])


@router.post(
    "/syncs",
    status_code=202,
    dependencies=[requires(Scope.SYNC), MAKES_ONCE],
    responses=documented(
        409, s409="without_secrets: The service runs without its secret key, and syncs nothing."
    )
    | answered(202, "The batch; its first syncs are queued.", "Location"),
    summary="Ask for syncs of many mailboxes",
)
async def create_sync_batch(
    feature: Injected, request: Request, body: SyncsWanted, response: Response, by: By
) -> SyncBatchAnswer:
    """Some hundred are queued at a time, and the limits for each mail server hold as always. A mailbox that has a
    queued or running sync gets no other one. It goes on although the service is stopped or dies meanwhile.
    """
    if not feature.has_secrets:
        raise without_secrets()
    wanted = _wanted(body)
    health, traceparent = feature.health, feature.traces.traceparent()

    def change(db: Session) -> Progress | None:
        if unknown := mailboxes.unknown(db, wanted.mailbox_ids, reach=by.reach):
            told = f"there is no mailbox {encode_id('mbx', unknown[0])}"
            raise invalid_request("/mailbox_ids", told)
        batch = batches.begin(db, wanted, reach=by.reach, by=by.key, health=health, traceparent=traceparent)
        return batches.get(db, BatchId(batch.id or 0), reach=by.reach)

    begun = await feature.database.write(change)
    assert begun is not None
    feature.work_is_due()
    told = answer(begun)
    _log.info("sync_batch_begun", batch=told.id, mailboxes=told.mailboxes, **by.trail)
    response.headers["Location"] = located(request, f"/sync-batches/{told.id}")
    return told


def _wanted(body: SyncsWanted) -> WantedMailboxes:
    is_narrow = bool(body.mailbox_ids or body.labels or body.health)
    if body.all == is_narrow:
        detail = "say which ones: mailbox_ids, labels, health; or all: true, and nothing else"
        raise AppError(422, "invalid_request", "The request is not valid.", (InputFault("", detail),))
    try:
        ids = tuple(sorted({mailbox_id_of(each) for each in body.mailbox_ids}))
    except AppError as error:
        raise invalid_request("/mailbox_ids", error.detail) from error
    return WantedMailboxes(mailbox_ids=ids, labels=tuple(body.labels), health=tuple(sorted(set(body.health))))


async def _found(feature: SyncBatchRoutes, batch_id: str, reach: Reach) -> Progress:
    number = BatchId(decode_id("bat", batch_id))
    return await found(feature.database, partial(batches.get, batch_id=number, reach=reach), "sync batch")


@router.get(
    "/sync-batches/{batch_id}",
    dependencies=[requires(Scope.READ)],
    responses=documented(404) | answered(200, "The batch as it is now."),
    summary="Read how far a batch of syncs is",
)
async def get_sync_batch(feature: Injected, batch_id: str, reach: Within) -> SyncBatchAnswer:
    """Forgotten a month after it ended. It is for keys that reach all that it was asked for with."""
    return answer(await _found(feature, batch_id, reach))


async def followed(feature: Injected, batch_id: str, reach: Within) -> str:
    """The batch whose events are asked for: a wrong id must be answered before the stream begins."""
    await _found(feature, batch_id, reach)
    return batch_id


@router.get(
    "/sync-batches/{batch_id}/events",
    dependencies=[requires(Scope.READ)],
    responses=documented(404) | _EVENTS,
    response_class=EventSourceResponse,
    summary="Follow a batch of syncs",
)
async def follow_sync_batch(
    feature: Injected, batch: Annotated[str, Depends(followed)], watch: Watching
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events: `progress` with the batch when it changed, once a second at most, then `done`.

    The stream ends without `done` when the key may not see the batch any more.
    """

    async def look() -> tuple[SyncBatchAnswer, bool]:
        now = answer(await _found(feature, batch, await watch.again()))
        return now, now.status is not BatchStatus.RUNNING

    async for event in until_done(look, lambda: partial(asyncio.sleep, _LOOK_AGAIN_SECONDS)):
        yield event


@router.post(
    "/sync-batches/{batch_id}/cancel",
    status_code=202,
    dependencies=[requires(Scope.SYNC)],
    responses=documented(404) | answered(202, "The batch as it is now."),
    summary="Stop a batch of syncs, keeping what is committed",
)
async def cancel_sync_batch(feature: Injected, batch_id: str, reach: Within) -> SyncBatchAnswer:
    """No more is asked for. Its queued syncs end, and its running ones stop soon; but not those that somebody else had
    asked for before. A batch that has ended stays as it is.
    """
    await _found(feature, batch_id, reach)
    number, health = BatchId(decode_id("bat", batch_id)), feature.health

    def change(db: Session) -> None:
        batches.cancel(db, number, now=health.now)
        batches.step(db, number, health=health)

    await feature.database.write(change)
    feature.work_is_due()
    return answer(await _found(feature, batch_id, reach))


def answer(progress: Progress) -> SyncBatchAnswer:
    """Shape a batch for the API."""
    batch, counts = progress.batch, progress.counts
    ended = (SyncStatus.SUCCEEDED, SyncStatus.PARTIAL, SyncStatus.FAILED, SyncStatus.CANCELLED)
    return SyncBatchAnswer(
        id=encode_id("bat", batch.id or 0),
        status=progress.status,
        mailboxes=batch.mailboxes,
        queued=progress.open.get(SyncStatus.QUEUED.value, 0),
        running=progress.open.get(SyncStatus.RUNNING.value, 0),
        removed=counts.get(REMOVED, 0),
        refused=dict(sorted(progress.refused.items())),
        created_at=batch.created_at,
        ended_at=batch.ended_at,
        **{status.value: counts.get(status.value, 0) for status in ended},
    )
