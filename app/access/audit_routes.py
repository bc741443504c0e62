"""The audit over HTTP: read, and nothing else."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from app.access import repository
from app.access.models import AuditEntry
from app.access.repository import WantedEntries
from app.access.routes import Access, requires
from app.access.service import Scope
from app.errors import AppError, invalid_request
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.ids import decode_id, encode_id
from app.web.pages import ELSEWHERE, CursorScope, Page, Paged
from app.web.routing import Router
from app.web.times import UtcTime, refuse_reversed

Injected = Annotated[Access, Depends(served(Access))]

router = Router(tags=["API keys"])


class AuditEntryAnswer(BaseModel):
    """A request that changed something, or was to."""

    id: str = Field(examples=["aud_12"], description="The id of the entry.")
    at: UtcTime = Field(description="When the request began.")
    key: str = Field(
        examples=["key_1"],
        description="Whose it was: the id of the key, `first-key`, or `command-line` (`maildelta make-key`). Ids are "
        "never given twice, so it stays when the key is gone.",
    )
    address: str = Field(examples=["192.0.2.7"], description="From where, as limits count it.")
    action: str = Field(
        examples=["updateMailbox"], description="What was asked for: the `operationId` of this document."
    )
    target: str | None = Field(
        examples=["mbx_7"], description="The id of what it was about, or what was made."
    )
    mailbox_id: str | None = Field(examples=["mbx_7"], description="The mailbox that it was about.")
    status: int = Field(examples=[200], description="The status of the answer.")
    code: str | None = Field(examples=[None], description="Of an error, its code.")
    request_id: str = Field(
        examples=["5f0c1f0e9f0b4c398a3e0d1f"], description="`X-Request-Id` of the answer; the log has it too."
    )
    omitted: int = Field(
        examples=[0],
        description="How many requests of this key that changed nothing were left out before this one: of a key there "
        "are 30 a minute in each process. The log has all.",
    )


def _wanted(
    key: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=40,
            description="Of this key: its id, or `first-key`.",
            examples=["key_1"],
        ),
    ] = None,
    action: Annotated[
        str | None,
        Query(min_length=1, max_length=60, description="Of this operation.", examples=["updateMailbox"]),
    ] = None,
    mailbox_id: Annotated[
        str | None, Query(max_length=40, description="About this mailbox, also one that was removed.")
    ] = None,
    since: Annotated[UtcTime | None, Query(description="At or after this time.")] = None,
    until: Annotated[UtcTime | None, Query(description="Before this time.")] = None,
) -> WantedEntries:
    refuse_reversed(since, until)
    try:
        number = decode_id("mbx", mailbox_id) if mailbox_id is not None else None
    except AppError as error:
        raise invalid_request("/query/mailbox_id", error.detail) from error
    return WantedEntries(key, action, number, since, until)


@router.get(
    "/audit",
    dependencies=[requires(Scope.ADMIN)],
    responses=documented(400, 410, s410=ELSEWHERE) | answered(200, "A page of the audit.", "Link"),
    summary="Read who did what",
)
async def list_audit_entries(
    feature: Injected, paging: Paged, wanted: Annotated[WantedEntries, Depends(_wanted)]
) -> Page[AuditEntryAnswer]:
    """The newest first. Each request that changed something is here, with its change in one transaction; refused ones
    (403, 404, 409, 412, 424, 5xx) and those that only tried something are at most 30 a minute of each key. None holds
    what was sent. Kept for `MAILDELTA_AUDIT_DAYS`.
    """
    scope = CursorScope.of("audit", filters=asdict(wanted))
    place = paging.place(scope)
    rows = await feature.database.search(
        lambda db: repository.entries(db, wanted, before=place, limit=paging.rows)
    )
    return paging.linked(paging.page(rows, scope, place=lambda row: row.id, shape=_shape))


def _shape(row: AuditEntry) -> AuditEntryAnswer:
    return AuditEntryAnswer(
        id=encode_id("aud", row.id or 0),
        mailbox_id=None if row.mailbox_id is None else encode_id("mbx", row.mailbox_id),
        **row.model_dump(
            include={"at", "key", "address", "action", "target", "status", "code", "request_id", "omitted"}
        ),
    )
