"""Deleting many messages at once over HTTP: counted first, then in chunks, one bounded call after the other."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.access.reach import Reach
from app.access.routes import Within, requires
from app.access.service import Scope
from app.errors import invalid_request
from app.messages import repository
from app.messages.injected import Injected, MessageRoutes, Tell
from app.messages.many import bulk
from app.messages.many.bulk import Doomed, DoomedMessage
from app.messages.models import MessageSeq
from app.messages.routes import OfMailboxes, refuse_unknown
from app.web.errors.problems import answered, documented
from app.web.routing import Router
from app.web.text import Label
from app.web.times import UtcTime

MOST_PER_CALL = 5_000
_SECONDS_PER_CALL = 10.0
_MOST_PER_CHUNK = 200
_OCTETS_PER_CHUNK = 8 * 1024 * 1024

router = Router(tags=["Messages"])


class Deleted(BaseModel):
    """What a call deleted, or would."""

    dry_run: bool = Field(examples=[False], description="Nothing was deleted.")
    matched: int = Field(examples=[6200], description="Messages that there were when the call began.")
    octets: int = Field(
        examples=[323578000],
        description="The octets that are stored of them: none of one that expired with its headers kept.",
    )
    deleted: int = Field(examples=[5000], description=f"Of these so many are gone; {MOST_PER_CALL} at most.")
    remaining: int = Field(
        examples=[1200],
        description="The others; 0 where another call deleted them meanwhile. Unless it is 0, call again, with this as "
        "`confirm`.",
    )


@router.delete(
    "/messages",
    dependencies=[requires(Scope.WRITE)],
    responses=documented() | answered(200, "What was deleted, and how much remains."),
    summary="Delete the local copies of many messages",
)
async def delete_messages(
    feature: Injected,
    reach: Within,
    mailbox_ids: OfMailboxes,
    label: Annotated[
        list[Label] | None, Query(description="Their mailbox has one of these labels now.")
    ] = None,
    before: Annotated[UtcTime | None, Query(description="Retrieved before this time.")] = None,
    dry_run: Annotated[bool, Query(description="Count only.")] = False,
    confirm: Annotated[
        int | None, Query(ge=0, description="How many these are: what a dry run said as `matched`.")
    ] = None,
) -> Deleted:
    """As `DELETE /messages/{id}` of each: their unique-ids stay known, and nothing is deleted on the mail server.

    At least one of `mailbox_id`, `label` and `before` is needed. Ask with `dry_run=true`, and send its count as
    `confirm`. A call deletes 5,000 at most, in small transactions; one that is cut off has deleted some, and the next
    dry run counts what is left. Places of messages that have expired stay.
    """
    doomed = Doomed(mailbox_ids, tuple(label or ()), before)
    if doomed == Doomed():
        raise invalid_request("/query/before", "say mailbox_id, label or before: which messages are meant")
    if mailbox_ids:
        await feature.database.read(lambda db: refuse_unknown(db, mailbox_ids, reach))
    there = await feature.database.search(partial(bulk.counted, doomed=doomed, reach=reach))
    if dry_run:
        return Deleted(
            dry_run=True, matched=there.messages, octets=there.octets, deleted=0, remaining=there.messages
        )
    if confirm != there.messages:
        raise invalid_request(
            "/query/confirm", f"must be how many messages these are: {there.messages}, by a look at it now"
        )
    deleted, is_all = await _delete(feature, doomed, reach, most=min(there.messages, MOST_PER_CALL))
    return Deleted(
        dry_run=False,
        matched=there.messages,
        octets=there.octets,
        deleted=deleted,
        remaining=0 if is_all else max(0, there.messages - deleted),
    )


async def _delete(feature: MessageRoutes, doomed: Doomed, reach: Reach, *, most: int) -> tuple[int, bool]:
    """Chunk by chunk, for a bounded time; how many are gone by it, and whether it found no more of them: others may
    have deleted some meanwhile.
    """
    loop = asyncio.get_running_loop()
    until, deleted, after = loop.time() + _SECONDS_PER_CALL, 0, MessageSeq(0)
    while deleted < most and loop.time() < until:
        chunk = partial(_delete_some, doomed=doomed, reach=reach, after=after, most=most - deleted)
        gone = await feature.let_go(feature.database, chunk, is_long=True)
        if not gone:
            return deleted, True
        deleted, after = deleted + len(gone), gone[-1].seq
    return deleted, False


def _delete_some(
    tell: Tell, db: Session, *, doomed: Doomed, reach: Reach, after: MessageSeq, most: int
) -> list[DoomedMessage]:
    """What is gone; the audit tells by it whose it was."""
    bounds = {"most": min(most, _MOST_PER_CHUNK), "most_octets": _OCTETS_PER_CHUNK}
    found = bulk.next_some(db, doomed, reach=reach, after=after, **bounds)
    seqs = [each.seq for each in found]
    tell(db, seqs)
    repository.remove_all(db, seqs)
    return found
