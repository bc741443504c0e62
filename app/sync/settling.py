"""How a sync is settled: what its completion writes of the maildrop, of the mailbox, and of the sync itself."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from app import pop3
from app.ledger import listing_digest
from app.ledger import repository as ledger
from app.ledger.beginnings import Beginning
from app.ledger.lines import Known, is_waiting
from app.ledger.listing_digest import ListingDigest
from app.ledger.models import EntryId, EntryState, Leased
from app.maildrops.errors import SyncFailed
from app.runs.admission.slots import WorkerSlot
from app.runs.completion import Completion
from app.runs.lease import Lease
from app.runs.models import SyncStatus
from app.sync.context import Findings, Surveyed, SyncContext, SyncTools
from app.sync.retrieving import Stored
from app.sync.server_deletion import Deletions

# Attempts at a message that is to be compared: what is refused for ever stands for nothing known.
_DECIDED_AFTER = 3

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a pass that came to its end leaves. ``lost``: lines that no listed message proved to be; ``last_digest``:
    of the listing; None: nothing new is remembered. ``waiting_in_vain``: how many of those that are lost waited for a
    next attempt.
    """

    sync: SyncContext
    surveyed: Surveyed
    deletions: Deletions
    lost: Sequence[EntryId]
    last_digest: ListingDigest | None
    waiting_in_vain: int = 0

    def write(self, db: Leased) -> None:
        """Note what is lost as missing, and remember the listing; for a unit of work."""
        sync, triaged, deletions = self.sync, self.surveyed.triaged, self.deletions
        mailbox_id, now = sync.maildrop.mailbox_id, sync.tools.clock()
        ledger.mark_missing(db, self.lost, now=now, last_seen_at=sync.mailbox.listed_at)
        ledger.mark_missing(db, deletions.others, now=now, last_seen_at=now)
        ledger.mark_present(db, deletions.refused)
        if triaged.postponed or deletions.others:
            ledger.forget_listing_digest(db, mailbox_id)
        if self.last_digest is not None:
            ledger.write_listing_digest(db, mailbox_id, self.last_digest)
        if sync.tools.forget_missing_after is not None:
            ledger.forget_missing(db, mailbox_id, before=now - sync.tools.forget_missing_after)


async def settle(sync: SyncContext, surveyed: Surveyed, stored: Stored, deletions: Deletions) -> Settlement:
    """Find out what is to be remembered, once the session has ended in order."""
    mailbox, view, columns = sync.mailbox, surveyed.view, sync.findings.columns
    # A listing that is not believed to be all leaves known messages that nothing was compared with.
    is_all = view.may_miss or not view.diff.gone
    is_undecided = any(candidate.attempts < _DECIDED_AFTER for candidate in stored.undecided)
    is_compared = is_all and not surveyed.triaged.postponed and not is_undecided and not stored.is_astray
    if stored.is_astray:
        columns["compares_all"] = True  # of what was stored now nobody knows under whose id
    if is_compared:
        if mailbox.compares_all or view.compares_all:
            columns["compares_all"] = False
        if mailbox.ids_are_changing or view.diff.is_wholesale:
            columns["ids_are_changing"] = False
    is_changing = not is_compared and (mailbox.ids_are_changing or view.diff.is_wholesale)
    is_to_finish = is_changing and view.is_confirmed  # a listing that was suddenly empty may be so again
    last_digest = None if is_to_finish else await _digest_left(sync, surveyed, deletions)
    rows = len(view.diff.gone) + len(view.diff.own)
    lost = await sync.tools.slices.call(partial(_lost, surveyed, stored), rows=rows) if view.may_miss else ()
    in_vain = sum(is_waiting(line) for line in lost)
    return Settlement(sync, surveyed, deletions, [line.entry_id for line in lost], last_digest, in_vain)


def _lost(surveyed: Surveyed, stored: Stored) -> list[Known]:
    """The lines that no listed message proved to be. Others that are gone were recorded with the listing."""
    diff, found = surveyed.view.diff, surveyed.matcher.found
    awaited = (line for line in diff.gone if line.entry_id in surveyed.triaged.awaited)
    present = (*awaited, *(line for line in diff.own if not line.is_missing))
    lost = [line for line in present if line.entry_id not in found]
    maybe_there = _maybe_there(surveyed, stored, present) if lost else ()
    return [line for line in lost if line.entry_id not in maybe_there]


def _maybe_there(surveyed: Surveyed, stored: Stored, lines: Iterable[Known]) -> set[EntryId]:
    """Those whose message may be one that is listed, and of which nobody knows yet who it is."""
    triaged, undecided = surveyed.triaged, stored.undecided
    later = {candidate.unique_id for candidate in triaged.postponed}
    ids = {candidate.unique_id for candidate in undecided}
    proposed = (
        line
        for candidate in undecided
        if candidate.number in triaged.heads
        for line in surveyed.matcher.proposed(candidate, triaged.heads[candidate.number].marks)
    )
    own = (
        line
        for line in lines
        if line.unique_id in later or (line.unique_id in ids and line.state is not EntryState.FAILED)
    )
    return {line.entry_id for line in (*own, *proposed)}


async def _digest_left(sync: SyncContext, surveyed: Surveyed, deletions: Deletions) -> ListingDigest | None:
    """Of the listing that the next session shows if nothing happens; None: nothing new is to be remembered."""
    view, slices, left = surveyed.view, sync.tools.slices, surveyed.listed.raw
    is_remembered = view.is_as_before and not deletions.is_noted
    is_unknown = surveyed.triaged.postponed or deletions.others or deletions.is_quit_lost
    if view.is_short or is_remembered or is_unknown:
        return None
    if deletions.deleted:
        rest = await slices.do(listing_digest.without(left, deletions.deleted))
        if rest is None:
            return None
        left = rest
    entries = view.listed - len(deletions.deleted)
    return await slices.do(listing_digest.digesting(left, entries=entries, is_confirmed=view.is_confirmed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a pass ended. ``failure``: why it did not come to its end; ``settlement``: what it left if it did."""

    status: SyncStatus
    failure: SyncFailed | None = None
    settlement: Settlement | None = None


async def complete(
    ending: Ending,
    *,
    lease: Lease,
    tools: SyncTools,
    slot: WorkerSlot,
    beginning: Beginning | None,
    findings: Findings,
) -> SyncStatus:
    """Write the completion: the sync's status, the next state of its mailbox, and when that is due again.

    ``beginning``: None when it could not be read. Raises LeaseLost and StorageFailed.
    """
    status, failure = ending.status, ending.failure
    in_vain = ending.settlement.waiting_in_vain if ending.settlement else 0
    if await _is_anything_waiting(lease, beginning, findings, but=in_vain) and status is SyncStatus.SUCCEEDED:
        status = SyncStatus.PARTIAL
    if status is not SyncStatus.CANCELLED:
        pace = slot.ended(
            failure.code if failure and status is SyncStatus.FAILED else None,
            was_called_back=slot.progress.is_called_back,
        )
        if pace is not slot.pace:
            findings.columns["pace"] = pace.value
    if slot.is_private not in {None, beginning.mailbox.is_private if beginning else None}:
        findings.columns["is_private"] = slot.is_private
    completion = Completion(
        claim=lease.claim,
        status=status,
        failure=failure,
        report=findings.report,
        facts=findings.columns,
        started=findings.started,
        ended=tools.clock(),
        login_delay=findings.login_delay,
        logged_in_at=findings.logged_in_at,
        has_moved=findings.has_moved,
        learnt=beginning.learnt.changes if beginning else {},
        chance=tools.chance(),
        settle=ending.settlement.write if ending.settlement else None,
        transcript=await asyncio.to_thread(_text_of, findings.transcript, failure) if failure else None,
    )
    await lease.end(completion)
    _tell(completion, tools)
    return status


async def _is_anything_waiting(
    lease: Lease, beginning: Beginning | None, findings: Findings, *, but: int
) -> bool:
    """Whether messages that failed are listed and wait for a next attempt, ``but`` some. Too large ones do not."""
    if not (findings.has_failed or (beginning is not None and beginning.mailbox.waiting)):
        return False
    count = await lease.read(partial(ledger.waiting, mailbox_id=lease.claim.mailbox_id))
    count = max(count - but, 0)
    findings.columns["waiting"] = count
    return count > 0


def _text_of(transcript: pop3.Transcript | None, failure: SyncFailed) -> str | None:
    if transcript is None:
        return None
    transcript.note(str(failure))
    return transcript.text()


def _tell(completion: Completion, tools: SyncTools) -> None:
    """Whoever waits, the metrics, the trace and the log."""
    status, report = completion.status.value, completion.report.model_dump(exclude={"phases", "phases_ms"})
    code = completion.failure.code.value if completion.failure else None
    facts = {"status": status, **report}
    tools.wakeups.sync_ended(completion.claim.sync_id)
    tools.metrics.sync_ended(status=status, code=code)
    tools.traces.annotate({f"maildelta.sync.{name}": fact for name, fact in facts.items()}, error=code)
    _log.info("sync_ended", **facts, **({"error": code} if code else {}))
