"""Looking into a maildrop for a person who has to decide: nothing is retrieved, nothing is changed unasked."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial

from pydantic import BaseModel, Field
from sqlmodel import Session

from app import pop3
from app.access.reach import Reach
from app.errors import AppError
from app.ledger import deletions, listing_view
from app.ledger import repository as ledger
from app.ledger.comparison import compared
from app.ledger.entries import RowMaker
from app.ledger.identity import Circumstances
from app.ledger.lines import MaildropId, ledger_key
from app.ledger.matching import Matcher
from app.ledger.models import EntryId, Leased
from app.mail.mime import summarise
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.service import existing
from app.mailboxes.wanted.criteria import Criteria
from app.maildrops import learnt
from app.maildrops.errors import SyncFailed
from app.maildrops.login import as_sync_failed
from app.messages.wholeness import Doubt
from app.pop3 import Line
from app.runs import claims
from app.runs.claims import Turn
from app.runs.errors import LeaseLost
from app.runs.lease import Lease, taken
from app.runs.schemas import Report
from app.sync.context import SyncTools
from app.sync.listed.headers import Judge, judge_by
from app.sync.listed.listing import list_maildrop, most_entries, with_every_id
from app.sync.listed.triage import Triaged, triage
from app.sync.recording import RecordingPart, in_parts
from app.sync.retrieved.copies import Contents
from app.sync.server_deletion import due, seen_before
from app.web.ids import unique_id_text
from app.web.times import UtcTime

MOST_PREVIEWED = 500


class Unknown(StrEnum):
    """What the messages are that nothing could recognise."""

    KNOWN = "known"
    NEW = "new"


class Rebaseline(BaseModel):
    """What a wholesale change of unique-ids looks like, and what a decision does (or would do)."""

    dry_run: bool = Field(description="Nothing was changed.")
    listed: int = Field(examples=[120], description="Messages that the server shows.")
    known: int = Field(examples=[3], description="Of these, known under their unique-id.")
    recognised: int = Field(
        examples=[115], description="Known messages, recognised under new unique-ids by their headers."
    )
    unknown: int = Field(
        examples=[2],
        description="Nothing tells what these are: `known` makes them a baseline, `new` has them retrieved.",
    )
    gone: int = Field(examples=[1], description="Known before, and neither listed nor recognised.")


class PreviewLine(BaseModel):
    """One message of the maildrop, and what the criteria say to it."""

    unique_id: str = Field(examples=["00000001514d5a2b"], description="As UIDL shows it.")
    subject: str = Field(examples=["Invoice 2026-117"], description="Decoded.")
    sender: str | None = Field(examples=["ada@example.org"], description="The address in From.")
    date: UtcTime | None = Field(description="The sender's word; null when it cannot be read.")
    octets: int | None = Field(examples=[52190], description="As LIST says.")
    wanted: bool = Field(examples=[True], description="The criteria are met.")
    rule: str | None = Field(
        examples=["subject contains 'invoice'"],
        description="The condition that decided; null: there is none.",
    )


class Preview(BaseModel):
    """What criteria would give on the maildrop as it is now."""

    listed: int = Field(examples=[1], description="Messages that the server shows.")
    judged: int = Field(examples=[1], description=f"The latest messages, at most {MOST_PREVIEWED}.")
    wanted: int = Field(examples=[1], description="Of these, those that meet the criteria.")
    items: list[PreviewLine] = Field(description="Each message that was judged.")


class Kept(BaseModel):
    """A message that stays although retention wants it deleted."""

    unique_id: str = Field(examples=["00000002514d5a2b"], description="As UIDL shows it.")
    reason: str = Field(
        examples=["short"],
        description="Why its copy is not confirmed whole; `shared`: several are listed under its unique-id.",
    )


class RetentionPreview(BaseModel):
    """What the mailbox's server_retention would delete at the next sync."""

    listed: int = Field(examples=[120], description="Messages that the server shows.")
    to_delete: list[str] = Field(
        examples=[["00000001514d5a2b"]], description="The unique-ids that would be deleted."
    )
    kept: list[Kept] = Field(
        description="Stored, and kept on the server, as what is stored may not be all, or as several messages are "
        f"listed under one unique-id; at most {MOST_PREVIEWED}."
    )


async def rebaseline(
    mailbox_id: MailboxId, *, reach: Reach, decision: Unknown | None, tools: SyncTools
) -> Rebaseline:
    """Compare the maildrop with the ledger; with a ``decision``, carry it out and let the mailbox be polled.

    What it writes is under the mailbox's lease, as what a sync writes.
    """
    mailbox, since = await tools.database.read(partial(_beginning, mailbox_id=mailbox_id, reach=reach))
    maildrop = MaildropId(mailbox_id, mailbox.generation)
    async with _listed(mailbox, tools) as (session, raw):
        listing = await _parsed(session, raw, mailbox, tools)
        ids = [ledger_key(line.unique_id) for line in listing.entries] if maildrop.generation > 1 else []
        earlier = await tools.database.read(partial(ledger.earlier_occurrences, maildrop=maildrop, ids=ids))
        made = await compared(
            listing,
            maildrop,
            read=tools.database.read,
            slices=tools.slices,
            now=tools.clock(),
            earlier=earlier,
        )
        view = listing_view.whole(listing, made, last_digest=None)
        # Somebody decides about a change of ids: all that is unknown may be what is gone.
        view = replace(view, diff=replace(view.diff, is_wholesale=bool(view.diff.fresh)))
        matcher = Matcher(
            own=view.diff.own,
            absent=view.diff.gone + view.diff.away,
            circumstances=Circumstances(
                ids_changed=True, shared=view.diff.shared, is_wholesale=True, is_reviewed=True
            ),
        )
        triaged = await triage(
            session,
            view,
            matcher,
            most_octets=tools.limits.message_octets,
            total=raw.stat.octets,
            is_baseline=False,
            judge=None,
            threads=tools.threads,
            slices=tools.slices,
            owner=(mailbox_id,),
            content_under=Contents(tools.database).under,
            now=tools.clock(),
            may_hold=False,
        )
    unknown = [*triaged.to_retrieve, *triaged.too_large]
    later = {candidate.unique_id for candidate in triaged.postponed}
    lost = [line for line in view.diff.present if line.entry_id not in matcher.found]
    gone = [line.entry_id for line in lost if line.unique_id not in later]
    if decision is not None:
        heads = triaged.shown
        baseline = [(one, heads.get(one.number)) for one in unknown] if decision is Unknown.KNOWN else []
        decided = Triaged(recognised=triaged.recognised, baseline=tuple(baseline))
        try:
            async with taken(
                mailbox_id, tools.database, since=since, clock=tools.clock, seconds=tools.lease_seconds
            ) as lease:
                await _carry_out(
                    lease, maildrop=maildrop, decided=decided, gone=gone, reach=reach, tools=tools
                )
        except LeaseLost as error:
            raise AppError(
                409, "sync_under_way", "A sync of the mailbox runs, or ran meanwhile: ask again."
            ) from error
    return Rebaseline(
        dry_run=decision is None,
        listed=view.listed,
        known=view.known,
        recognised=len(triaged.recognised),
        unknown=len(unknown),
        gone=len(gone),
    )


def _beginning(db: Session, *, mailbox_id: MailboxId, reach: Reach) -> tuple[Mailbox, Turn]:
    return existing(db, mailbox_id, reach=reach), claims.last_turn(db, mailbox_id)


async def _carry_out(
    lease: Lease,
    *,
    maildrop: MaildropId,
    decided: Triaged,
    gone: Sequence[EntryId],
    reach: Reach,
    tools: SyncTools,
) -> None:
    """Write what was decided in parts, as a sync does. Until the last one is written the mailbox waits for review."""
    now = tools.clock()
    make = RowMaker(maildrop, now, baseline_reason="rebaseline")

    def change(db: Leased, part: RecordingPart) -> None:
        row = existing(db, maildrop.mailbox_id, reach=reach)
        if row.generation != maildrop.generation:
            raise AppError(409, "maildrop_changed", "Another account stands behind the mailbox by now.")
        ledger.forget_listing_digest(db, maildrop.mailbox_id)
        ledger.write_entries(db, [row() for row in part.rows])
        ledger.mark_missing(db, part.missing, now=now, last_seen_at=row.listed_at)
        if part.is_last and row.status == MailboxStatus.NEEDS_REVIEW:
            row.turn(MailboxStatus.ACTIVE, now=now)

    for part in in_parts(decided, gone, make, most=tools.rows_per_change):
        # What is flushed at the end flushes all before it.
        await lease.write(partial(change, part=part), report=Report(), durable=part.is_last, is_long=True)


async def preview(
    mailbox_id: MailboxId, criteria: Criteria | None, *, reach: Reach, tools: SyncTools
) -> Preview:
    """Judge the latest messages of the maildrop by their headers; nothing is retrieved or remembered."""
    mailbox = await tools.database.read(partial(existing, mailbox_id=mailbox_id, reach=reach))
    judge = judge_by(criteria.model_dump(mode="json") if criteria else None)
    items: list[PreviewLine] = []
    async with _listed(mailbox, tools) as (session, raw):
        listing = await _parsed(session, raw, mailbox, tools)
        lines = {line.number: line for line in listing.entries[-MOST_PREVIEWED:]}
        async for reply in session.top(list(lines), lines=0):
            head = reply.body if isinstance(reply.body, bytes) else b""
            reply.close()
            read = partial(_previewed, lines[reply.number], head, judge=judge)
            items.append(await tools.threads.call((mailbox_id,), read))
    wanted = sum(item.wanted for item in items)
    return Preview(listed=len(listing.entries), judged=len(items), wanted=wanted, items=items)


def _previewed(line: Line, head: bytes, *, judge: Judge | None) -> PreviewLine:
    summary = summarise(head)
    rule = judge(head, line.octets) if judge else None
    return PreviewLine(
        unique_id=unique_id_text(line.unique_id),
        subject=summary.subject,
        sender=summary.from_.address if summary.from_ else None,
        date=summary.date,
        octets=line.octets,
        wanted=rule is None,
        rule=rule,
    )


async def retention_preview(mailbox_id: MailboxId, *, reach: Reach, tools: SyncTools) -> RetentionPreview:
    """What would be deleted on the server now. Nothing is."""
    mailbox = await tools.database.read(partial(existing, mailbox_id=mailbox_id, reach=reach))
    now = tools.clock()
    before = seen_before(mailbox.server_retention, now)
    kept: list[tuple[bytes, str | None]] = []
    if before is not None:
        asked = partial(
            deletions.kept_though_due, mailbox_id=mailbox_id, seen_before=before, limit=MOST_PREVIEWED
        )
        kept = await tools.database.read(asked)
    lessons = await tools.database.read(partial(learnt.read, mailboxes=[mailbox], now=now))
    async with _listed(mailbox, tools) as (session, raw):

        async def entries() -> Sequence[pop3.Line]:
            return (await _parsed(session, raw, mailbox, tools)).entries

        may_go = await due(
            tools.database,
            mailbox_id,
            mailbox.server_retention,
            entries=entries,
            now=now,
            slices=tools.slices,
            habit=lessons[mailbox_id].habit,
        )
    short = {line.unique_id for line in may_go.short}
    to_delete = {one.line.unique_id for one in may_go.found.values()}
    return RetentionPreview(
        listed=raw.stat.count,
        to_delete=[unique_id_text(one.line.unique_id) for one in may_go.found.values()],
        kept=[
            Kept(unique_id=unique_id_text(unique_id), reason=doubt or "unconfirmed")
            for unique_id, doubt in kept
            if unique_id not in to_delete and unique_id not in short
        ]
        + [Kept(unique_id=unique_id_text(unique_id), reason=Doubt.SHORT.value) for unique_id in short],
    )


async def _parsed(
    session: pop3.Pop3Session, raw: pop3.RawListing, mailbox: Mailbox, tools: SyncTools
) -> pop3.Listing:
    most = most_entries(mailbox.listed_entries, tools.limits)
    return await with_every_id(session, raw, most_entries=most, slices=tools.slices)


@asynccontextmanager
async def _listed(
    mailbox: Mailbox, tools: SyncTools
) -> AsyncIterator[tuple[pop3.Pop3Session, pop3.RawListing]]:
    """A session for a request that waits for it: a mail server's trouble is 424 with the sync's own codes."""
    most = most_entries(mailbox.listed_entries, tools.limits)
    try:
        with tools.listing_budget.share() as share:
            async with tools.maildrop.session(mailbox, timings={}) as session:
                listed = await list_maildrop(
                    session, mailbox, most_entries=most, now=tools.clock(), took=share.took
                )
                yield session, listed.raw
    except SyncFailed as error:
        raise AppError(424, error.code.value, error.detail) from error
    except pop3.Pop3Error as error:
        failure = as_sync_failed(error)
        raise AppError(424, failure.code.value, failure.detail) from error
