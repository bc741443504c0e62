"""The ledger over HTTP: what is known, what to do about it, and what would happen."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Annotated

from fastapi import Body, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import Watching, Within, requires
from app.access.service import Scope
from app.errors import AppError, invalid_request, not_found, without_secrets
from app.idempotency.replays import MAKES_ONCE
from app.ledger import import_state
from app.ledger import repository as ledger
from app.ledger import schemas as ledger_schemas
from app.ledger.import_state import StateFormat, StateReading, StateRefused
from app.ledger.lines import MaildropId, ledger_key
from app.ledger.models import EntryId, EntryState, UniqueIdEntry
from app.ledger.schemas import UniqueIdAnswer
from app.mailboxes.models import MailboxId
from app.mailboxes.routes import mailbox_id_of
from app.mailboxes.service import existing
from app.mailboxes.wanted.criteria import Criteria
from app.runs import schemas
from app.runs.asking import NOT_NOW, request_by_hand
from app.runs.models import ACTIVE, Sync
from app.runs.schemas import QUEUED, SyncAnswer
from app.runs.waiting import WaitForEnd, until_ended
from app.sync import inspection
from app.sync.context import SyncTools
from app.sync.inspection import Preview, Rebaseline, RetentionPreview, Unknown
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.ids import decode_id
from app.web.pages import ELSEWHERE, CursorScope, Page, Paged, located
from app.web.requests.bodies import BodyLimits, blocks
from app.web.routing import Router
from app.web.sent import Sent

_IN_MEMORY = 1024 * 1024  # octets of a state file that is coming; more wait in a temporary file
_ENTRIES_AT_ONCE = 2000  # of a state file: a transaction
_OTHERS_TOLD = 10
_STATE_FILE = {
    "required": True,
    "description": "The file as the other client left it.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_OF_THE_SERVER = "connect_failed: The mail server could not be asked; `code` is one of a sync's error codes."


class Decision(Sent):
    """What to do with messages that nothing can recognise after all unique-ids changed."""

    unknown: Unknown = Field(description="`known`: old mail, not retrieved. `new`: retrieved and announced.")


class CriteriaToTry(Sent):
    """Criteria as in a mailbox; null: all."""

    criteria: Criteria | None = Field(description="Which messages are wanted; null: all.")


class Imported(BaseModel):
    """What another client's file taught us."""

    format: StateFormat = Field(description="Of which program the file is.")
    imported: int = Field(
        examples=[118], description="Unique-ids that are known now: they will not be retrieved."
    )
    already_known: int = Field(examples=[2], description="Unique-ids that the ledger had already.")
    warnings: list[str] = Field(examples=[[]], description="What of the file could not be used.")


@dataclass(frozen=True, kw_only=True)
class LedgerRoutes:
    """What the routes of the ledger work with. ``one_import``: many at once need no more memory than one."""

    tools: SyncTools
    sync_is_due: Callable[[], None]
    clock: Callable[[], datetime]
    has_secrets: bool
    import_limits: BodyLimits
    one_import: asyncio.Lock = field(default_factory=asyncio.Lock)


Injected = Annotated[LedgerRoutes, Depends(served(LedgerRoutes))]

router = Router(tags=["Ledger"])


@router.get(
    "/mailboxes/{mailbox_id}/unique-ids",
    dependencies=[requires(Scope.READ)],
    responses=documented(400, 404, 410, s410=ELSEWHERE) | answered(200, "A page of the ledger.", "Link"),
    summary="Read the ledger: every unique-id ever seen",
)
async def list_unique_ids(
    feature: Injected,
    mailbox_id: str,
    paging: Paged,
    reach: Within,
    state: Annotated[EntryState | None, Query(description="Only those in this state.")] = None,
) -> Page[UniqueIdAnswer]:
    """Oldest first. Entries stay when the message is gone, here or on the server."""
    number = mailbox_id_of(mailbox_id)
    scope = CursorScope.of("unique-ids", filters={"mailbox_id": number, "state": state})
    place = paging.place(scope) or 0

    def question(db: Session) -> Page[UniqueIdAnswer]:
        listed_at = existing(db, number, reach=reach).listed_at
        rows = ledger.entries(db, number, state=state, after=place, limit=paging.rows)

        def shape(row: tuple[UniqueIdEntry, bool]) -> UniqueIdAnswer:
            return ledger_schemas.entry_answer(row[0], listed_at=listed_at, has_message=row[1])

        return paging.page(rows, scope, place=lambda row: row[0].id, shape=shape)

    return paging.linked(await feature.tools.database.read(question))


@router.post(
    "/mailboxes/{mailbox_id}/unique-ids/{entry_id}/retrieve",
    status_code=202,
    dependencies=[requires(Scope.SYNC), MAKES_ONCE],
    responses=documented(
        404,
        409,
        s409=f"not_retrievable|{NOT_NOW}: It is stored already, or not on the server now; or the mailbox "
        "is not to be synced now.",
    )
    | answered(202, "The sync that retrieves it is queued or running.", "Location", example=QUEUED)
    | {200: {"model": SyncAnswer} | answered(200, "With `wait`: that sync has ended.", "Location")[200]},
    summary="Retrieve a filtered, failed or too large message now",
)
async def retrieve_unique_id(
    feature: Injected,
    request: Request,
    response: Response,
    mailbox_id: str,
    entry_id: str,
    watch: Watching,
    wait: WaitForEnd = 0,
) -> SyncAnswer:
    """Neither criteria nor the size limit stand against it. The answer is the sync that does it."""
    number, entry = mailbox_id_of(mailbox_id), EntryId(decode_id("uid", entry_id))
    if not feature.has_secrets:
        raise without_secrets()
    traceparent = feature.tools.traces.traceparent()
    want = partial(
        _want,
        mailbox_id=number,
        entry_id=entry,
        reach=watch.reach,
        now=feature.clock(),
        traceparent=traceparent,
    )
    tools = feature.tools
    row = await until_ended(
        await tools.database.write(want),
        wait,
        reach_now=watch.again,
        database=tools.database,
        wakeups=tools.wakeups,
        monotonic=tools.monotonic,
        sync_is_due=feature.sync_is_due,
    )
    response.status_code = 202 if row.status in ACTIVE else 200
    answer = schemas.answer(row)
    response.headers["Location"] = located(request, f"/syncs/{answer.id}")
    return answer


@router.post(
    "/mailboxes/{mailbox_id}/unique-ids/import",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404, 413) | answered(200, "What is known now."),
    openapi_extra={"requestBody": _STATE_FILE},
    summary="Import what another client has seen",
)
async def import_unique_ids(
    feature: Injected,
    request: Request,
    mailbox_id: str,
    reach: Within,
    file_format: Annotated[
        StateFormat | None, Query(alias="format", description="Default: found out from the file.")
    ] = None,
) -> Imported:
    """The body is getmail6's oldmail file, fetchmail's .fetchids, mpop's uidls or Thunderbird's popstate.dat.

    Its unique-ids become known: changing to Maildelta downloads nothing again.
    """
    number = mailbox_id_of(mailbox_id)
    await feature.tools.database.read(partial(existing, mailbox_id=number, reach=reach))
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        async for block in blocks(request, feature.import_limits):
            file.write(block)
        file.seek(0)
        async with feature.one_import:  # many at once need no more memory than one
            data = file.read()
            return await import_file(
                number,
                data,
                reach=reach,
                file_format=file_format,
                tools=feature.tools,
                now=feature.clock(),
            )


@router.post(
    "/mailboxes/{mailbox_id}/rebaseline",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(
        404,
        409,
        424,
        s409="sync_under_way|maildrop_changed: A sync of the mailbox runs, or ran meanwhile: ask again.",
        s424=_OF_THE_SERVER,
    )
    | answered(200, "What was found, and what became of it."),
    summary="Decide what a wholesale change of unique-ids means",
)
async def rebaseline_mailbox(
    feature: Injected,
    mailbox_id: str,
    reach: Within,
    dry_run: Annotated[bool, Query(description="Only tell what would happen.")] = False,
    decision: Annotated[Decision | None, Body()] = None,
) -> Rebaseline:
    """For a mailbox that is held in `needs_review`: compares the maildrop with the ledger by headers.

    What is recognised is carried over; `unknown` says what the rest is. A sync follows.
    """
    number = mailbox_id_of(mailbox_id)
    if decision is None and not dry_run:
        raise invalid_request("/unknown", "say what unknown messages are, or ask with dry_run=true")
    unknown = decision.unknown if decision and not dry_run else None
    told = await inspection.rebaseline(number, reach=reach, decision=unknown, tools=feature.tools)
    feature.sync_is_due()
    return told


@router.post(
    "/mailboxes/{mailbox_id}/criteria/preview",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404, 424, s424=_OF_THE_SERVER)
    | answered(200, "What the criteria say to the latest messages."),
    summary="Try criteria on the maildrop as it is now",
)
async def preview_criteria(feature: Injected, mailbox_id: str, body: CriteriaToTry, reach: Within) -> Preview:
    """Asks the server for headers only; retrieves nothing and changes nothing."""
    number = mailbox_id_of(mailbox_id)
    return await inspection.preview(number, body.criteria, reach=reach, tools=feature.tools)


@router.post(
    "/mailboxes/{mailbox_id}/server-retention/preview",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented(404, 424, s424=_OF_THE_SERVER) | answered(200, "What the next sync would delete."),
    summary="See what the next sync would delete on the server",
)
async def preview_server_retention(feature: Injected, mailbox_id: str, reach: Within) -> RetentionPreview:
    """Deletes nothing."""
    return await inspection.retention_preview(mailbox_id_of(mailbox_id), reach=reach, tools=feature.tools)


async def import_file(
    mailbox_id: MailboxId,
    data: bytes,
    *,
    reach: Reach,
    file_format: StateFormat | None,
    tools: SyncTools,
    now: datetime,
) -> Imported:
    """Read a state file and make its unique-ids known. Raises AppError for a file that says nothing of the mailbox.

    Part by part, each committed by itself: others write in between, and whoever was interrupted does it again.
    """
    mailbox = await tools.database.read(partial(existing, mailbox_id=mailbox_id, reach=reach))
    try:
        state = import_state.open_state(data, file_format=file_format)
    except StateRefused as error:
        raise invalid_request("", str(error)) from error
    others: dict[str, None] = {}
    parts = _parts_of(state, host=mailbox.host, username=mailbox.username, others=others)
    import_part = partial(
        _import_part,
        mailbox_id=mailbox_id,
        reach=reach,
        reason=f"imported from {state.file_format.value}",
        now=now,
    )
    found = imported = 0
    while (ids := await asyncio.to_thread(next, parts, None)) is not None:
        if ids:
            found += len(ids)
            imported += await tools.database.write(partial(import_part, ids=ids))
    if not found and others:
        accounts = ", ".join(others)
        raise invalid_request("", f"the file is about other accounts than this mailbox: {accounts}")
    return Imported(
        format=state.file_format,
        imported=imported,
        already_known=found - imported,
        warnings=list(state.warnings),
    )


def _parts_of(
    state: StateReading, *, host: str, username: str, others: dict[str, None]
) -> Iterator[set[bytes]]:
    """The mailbox's unique-ids, of so many entries at a time. ``others`` gets the first other accounts."""
    entries = iter(state)
    while part := list(islice(entries, _ENTRIES_AT_ONCE)):
        ids = set()
        for one in part:
            if import_state.belongs(one, host=host, username=username):
                ids.add(ledger_key(one.unique_id))
            elif len(others) < _OTHERS_TOLD:
                others[f"{one.username or '?'}@{one.host or '?'}"] = None
        yield ids


def _import_part(
    db: Session, *, mailbox_id: MailboxId, ids: Collection[bytes], reach: Reach, reason: str, now: datetime
) -> int:
    mailbox = existing(db, mailbox_id, reach=reach, to_change=True)
    maildrop = MaildropId(mailbox_id, mailbox.generation)
    return ledger.import_baseline(db, maildrop, ids, reason=reason, now=now)


def _want(
    db: Session,
    *,
    mailbox_id: MailboxId,
    entry_id: EntryId,
    reach: Reach,
    now: datetime,
    traceparent: str | None,
) -> Sync:
    existing(db, mailbox_id, reach=reach)
    entry = ledger.want(db, mailbox_id, entry_id, now=now)
    if entry is None:
        raise not_found("unique-id entry")
    if not entry.is_wanted:
        raise AppError(409, "not_retrievable", "It is stored already, or not on the server now.")
    return request_by_hand(db, mailbox_id, reach=reach, now=now, traceparent=traceparent)
