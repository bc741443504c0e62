"""``sync_mailbox``, one pass over a maildrop: list, view, match, triage, record, retrieve, delete, settle."""

from dataclasses import replace
from functools import partial

import structlog

from app import pop3
from app.database import Batchable, StorageFailed
from app.ledger import beginnings
from app.ledger import repository as ledger
from app.ledger.beginnings import Beginning
from app.ledger.lines import MaildropId
from app.ledger.listing_digest import ListingDigest
from app.maildrops.causes.diagnosis import explained
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.maildrops.login import as_sync_failed
from app.maildrops.providers import least_seconds_between_logins
from app.runs import repository as runs
from app.runs.admission.slots import WorkerSlot
from app.runs.errors import LeaseLost, SyncCancelled
from app.runs.lease import Lease
from app.runs.models import SyncStatus
from app.runs.repository import Claim
from app.sync.context import Findings, Surveyed, SyncContext, SyncTools
from app.sync.listed.server_facts import server_facts
from app.sync.recording import record
from app.sync.retrieving import Stored, retrieve
from app.sync.server_deletion import Deletions, delete_on_server
from app.sync.settling import Ending, Settlement, complete, settle
from app.sync.survey import (
    list_messages,
    match,
    refuse_lost_ids,
    shows_numbers,
    triage_candidates,
    view_listing,
)

# What ends a session that the next one goes on with: what was stored is progress.
_CUTS = (pop3.ConnectionLost, pop3.Timeout, pop3.ServerTemporary)

_log = structlog.get_logger()


async def sync_mailbox(
    claim: Claim, *, tools: SyncTools, slot: WorkerSlot | None = None, begun: Beginning | None = None
) -> SyncStatus:
    """Run one sync to its end and say how it ended. Raises LeaseLost when it is no longer ours, NotAdmitted when there
    is no room for it at the server's addresses, and StorageFailed when its completion cannot be written.

    Whatever goes wrong, what was committed stays, and the next sync starts from there. ``begun``: what it begins with,
    if that was read with the claim.
    """
    slot = slot or WorkerSlot(claim.server, claim.pace, tools.server_limits)
    took = slot.work.took
    tools = replace(tools, slices=tools.slices.resting(took), threads=tools.threads.resting(took))
    lease = Lease(claim, tools.database, clock=tools.clock, seconds=tools.lease_seconds, rest=took)
    started = begun.at if begun is not None else tools.clock()
    findings = Findings(started, pop3.Transcript() if tools.transcripts else None)
    beginning: Beginning | None = None
    try:
        tools.room.refuse_full_disk()
        beginning = begun or await _begin(lease, findings)
        if claim.was_left:
            await _doubt_what_was_left(lease, beginning, findings)
        try:
            settlement = await _visit(beginning, lease, tools, slot, findings)
        except pop3.ConnectionLost as cut:
            settlement = await _visit_again(cut, beginning, lease, tools, slot, findings)
        ending = Ending(status=SyncStatus.SUCCEEDED, settlement=settlement)
    except pop3.NotAdmitted:
        raise  # nothing was tried
    except (SyncCancelled, SyncFailed, pop3.Pop3Error, StorageFailed) as error:
        ending = _ended_by(error, findings, beginning)
    return await complete(ending, lease=lease, tools=tools, slot=slot, beginning=beginning, findings=findings)


async def _begin(lease: Lease, findings: Findings) -> Beginning:
    """What is known of the mailbox. Raises LeaseLost when there is none any more."""
    asked = Batchable(beginnings.read, (lease.claim.mailbox_id, findings.started))
    beginning: Beginning | None = await lease.read(asked)
    if beginning is None:
        raise LeaseLost
    return beginning


async def _visit(
    beginning: Beginning, lease: Lease, tools: SyncTools, slot: WorkerSlot, findings: Findings
) -> Settlement:
    """A session with the mail server, and the pass in it."""
    slot.progress.admits = partial(slot.enter, port=beginning.mailbox.port)
    with tools.listing_budget.share() as share:
        async with tools.maildrop.session(
            beginning.mailbox,
            timings=findings.report.phases,
            transcript=findings.transcript,
            learnt=beginning.learnt,
            progress=slot.progress,
            stage=findings.stage,
        ) as session:
            findings.logged_in_at = tools.clock()
            findings.login_delay = session.capabilities.login_delay or 0
            beginning.learnt.logged_in(findings.logged_in_at)
            sync = SyncContext(
                tools=tools, lease=lease, findings=findings, beginning=beginning, share=share, session=session
            )
            try:
                surveyed, stored, deletions = await _pass(sync)
            except pop3.Pop3Error as error:
                await _doubt_what_came(sync, error)
                raise
        return await settle(sync, surveyed, stored, deletions)


async def _visit_again(
    cut: pop3.ConnectionLost,
    beginning: Beginning,
    lease: Lease,
    tools: SyncTools,
    slot: WorkerSlot,
    findings: Findings,
) -> Settlement:
    """Another session, once, where the connection died in the middle of a message, unless the server wants some time
    between two logins. Raises what ended the first where the second comes to no verdict: the lock of the dead session,
    say."""
    wait = findings.login_delay or least_seconds_between_logins(beginning.mailbox.host)
    if cut.sign is not pop3.Sign.CUT or not findings.has_failed or wait:
        raise cut
    findings.before, logged_in_at = findings.report, findings.logged_in_at
    beginning.learnt.knows_changes()
    again = replace(await _begin(lease, findings), learnt=beginning.learnt)
    try:
        return await _visit(again, lease, tools, slot, findings)
    except pop3.Pop3Error as error:
        if error.blame is None and findings.logged_in_at == logged_in_at:
            raise cut from error
        raise


async def _doubt_what_came(sync: SyncContext, error: pop3.Pop3Error) -> None:
    """Where a session ends out of step, as with an answer too many, what came in it may be the answers to other
    commands: it is compared by the next sync. A goodbye is no answer, and says nothing of what came before it."""
    if error.sign is pop3.Sign.UNASKED:
        is_out_of_step = not await sync.session.has_said_goodbye()
    else:
        is_out_of_step = isinstance(error, pop3.ProtocolError)
    report = sync.findings.report
    if is_out_of_step and (report.retrieved or report.filtered):
        again = partial(ledger.compare_again, maildrop=sync.maildrop, since=sync.findings.started)
        await sync.lease.write(again, report=report)


async def _doubt_what_was_left(lease: Lease, beginning: Beginning, findings: Findings) -> None:
    """Whoever began this sync died, or lost it: nobody knows how the session ended, and what came in it is compared."""
    since = await lease.read(partial(runs.started_at, sync_id=lease.claim.sync_id))
    maildrop = MaildropId(lease.claim.mailbox_id, beginning.mailbox.generation)
    again = partial(ledger.compare_again, maildrop=maildrop, since=since or findings.started)
    await lease.write(again, report=findings.report)


async def _pass(sync: SyncContext) -> tuple[Surveyed, Stored, Deletions]:
    mailbox, beginning = sync.mailbox, sync.beginning
    surveyed = await _survey(sync, beginning.last_digest, ids_are_numbers=mailbox.ids_are_numbers)
    if await shows_numbers(sync, surveyed):
        # What was known by a number says nothing, and the headers are the ids.
        sync.findings.columns["ids_are_numbers"] = True
        surveyed = await _survey(sync, None, ids_are_numbers=True)
    await refuse_lost_ids(sync, surveyed)
    server = server_facts(sync.session, beginning, surveyed.listed, surveyed.view)
    with sync.phase("diff"):
        await record(sync, surveyed, server)
    if sync.tools.room.is_limited(mailbox):  # the disk was looked at before, and is again with each batch
        await sync.lease.read(sync.refuse_without_room)
    with sync.phase("retrieve"):
        stored = await retrieve(sync, surveyed)
    deletions = await delete_on_server(sync, surveyed, server, stored.habit)
    await sync.session.leave()
    return surveyed, stored, deletions


async def _survey(sync: SyncContext, last_digest: ListingDigest | None, *, ids_are_numbers: bool) -> Surveyed:
    """List, view, match, triage; nothing is written."""
    with sync.phase("list"):
        listed = await list_messages(sync, ids_are_numbers=ids_are_numbers)
    with sync.phase("diff"):
        view = await view_listing(sync, listed, last_digest)
        matcher = await match(sync, view)
        triaged = await triage_candidates(sync, listed, view, matcher)
    return Surveyed(listed, view, matcher, triaged)


def _ended_by(error: Exception, findings: Findings, beginning: Beginning | None) -> Ending:
    """How the sync ends that an error ended."""
    if isinstance(error, SyncCancelled):
        return Ending(status=SyncStatus.CANCELLED)
    if isinstance(error, SyncFailed | pop3.Pop3Error):
        is_progress = isinstance(error, _CUTS) and findings.report.retrieved > 0
        failure = error if isinstance(error, SyncFailed) else as_sync_failed(error)
        if beginning is not None:
            failure = explained(failure, error, findings.stage, beginning.mailbox)
        return Ending(status=SyncStatus.PARTIAL if is_progress else SyncStatus.FAILED, failure=failure)
    _log.error("storage_failed", reason=str(error))  # it may name where the database is: nobody else is told
    said = "The database could not store what came; see the log."
    return Ending(status=SyncStatus.FAILED, failure=SyncFailed(SyncErrorCode.STORAGE_FAILED, said))
