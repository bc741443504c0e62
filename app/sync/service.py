"""``sync_mailbox``: list, diff, retrieve, store. Read it from top to bottom."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlmodel import Session

from app import pop3
from app.database import Database, StorageFailed
from app.mailboxes.models import InitialSync, Mailbox, MailboxId, MailboxStatus
from app.mailboxes.repository import get as get_mailbox
from app.mailboxes.schemas import ServerFacts
from app.messages import intake
from app.sync import repository
from app.sync.batches import Batches, Outcome
from app.sync.errors import LeaseLost, SyncCancelled, SyncErrorCode, SyncFailed
from app.sync.maildrop import Maildrop, as_sync_failed
from app.sync.models import EntryState, SyncStatus
from app.sync.plan import Candidate, SyncPlan, diff
from app.sync.repository import Claim
from app.sync.schedule import RetryDecision, after_sync, next_message_attempt
from app.sync.schemas import Report
from app.wakeups import Wakeup
from app.web.times import as_text

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class SyncTools:
    """What a sync needs, wired once."""

    database: Database
    maildrop: Maildrop
    pool: ThreadPoolExecutor
    messages_stored: Wakeup
    syncs_changed: Wakeup
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    chance: Callable[[], float]
    lease_seconds: float
    limits: pop3.Limits
    batch_messages: int
    batch_octets: int


async def sync_mailbox(claim: Claim, *, tools: SyncTools) -> SyncStatus:
    """Run one sync to its end and say how it ended. Raises LeaseLost when it is no longer ours.

    Whatever goes wrong, what was committed stays, and the next sync starts from there.
    """
    run = _Run(claim, tools)
    try:
        await run.list_diff_retrieve_store()
    except SyncCancelled:
        return await run.end(SyncStatus.CANCELLED)
    except SyncFailed as error:
        return await run.end(SyncStatus.FAILED, error)
    except pop3.Pop3Error as error:
        return await run.end(SyncStatus.FAILED, as_sync_failed(error))
    except StorageFailed as error:
        failure = SyncFailed(SyncErrorCode.STORAGE_FAILED, f"The database could not store: {error}")
        return await run.end(SyncStatus.FAILED, failure)
    return await run.end(SyncStatus.PARTIAL if run.report.failed else SyncStatus.SUCCEEDED)


class _Run:
    """One sync under way: its report, and the steps in their order."""

    def __init__(self, claim: Claim, tools: SyncTools) -> None:
        self._claim = claim
        self._mailbox_id = claim.mailbox_id
        self._tools = tools
        self.report = Report()

    async def list_diff_retrieve_store(self) -> None:
        database = self._tools.database
        mailbox = await database.read(partial(get_mailbox, mailbox_id=self._mailbox_id))
        if mailbox is None:
            raise LeaseLost
        async with self._tools.maildrop.session(mailbox, timings=self.report.phases) as session:
            with self._phase("list"):
                raw = await session.listing()
                listing = pop3.parse_listing(raw, most_entries=self._tools.limits.listing_entries)
            with self._phase("diff"):
                plan = await self._diff(mailbox, listing)
                await self._record_listing(mailbox, plan, _server_facts(session, listing))
            with self._phase("retrieve"):
                await self._retrieve_and_store(session, plan)

    async def _diff(self, mailbox: Mailbox, listing: pop3.Listing) -> SyncPlan:
        ledger = await self._tools.database.read(partial(repository.read_ledger, mailbox_id=self._mailbox_id))
        shown_before = any(not known.is_missing for known in ledger)
        return diff(
            listing.entries,
            ledger,
            now=self._tools.clock(),
            most_octets=self._tools.limits.message_octets,
            is_baseline=mailbox.listed_at is None and mailbox.initial_sync == InitialSync.FROM_NOW,
            may_miss=not listing.is_short and not (shown_before and not listing.entries),
        )

    async def _record_listing(self, mailbox: Mailbox, plan: SyncPlan, facts: ServerFacts) -> None:
        """Commit what the listing alone tells: what is missing, back again, baseline, or too large."""
        now = self._tools.clock()
        report = self.report.model_copy(
            update={
                "listed": plan.listed,
                "known": plan.known,
                "new": plan.new,
                "missing": len(plan.now_missing),
                "failed": len(plan.too_large),
                "to_retrieve": len(plan.to_retrieve),
            }
        )

        def change(db: Session) -> None:
            self._write_progress(db, report)
            repository.mark_missing(db, plan.now_missing, now=now, last_seen_at=mailbox.listed_at)
            repository.mark_returned(db, plan.returned)
            reason = f"larger than {self._tools.limits.message_octets} octets"
            rows = [self._entry(line, EntryState.TOO_LARGE, now, reason=reason) for line in plan.too_large]
            rows += [self._entry(line, EntryState.BASELINE, now) for line in plan.baseline]
            repository.write_entries(db, rows)
            row = self._mailbox(db)
            row.listed_at, row.server = now, facts.model_dump()

        await self._tools.database.write(change, durable=bool(plan.baseline))
        self.report = report
        self._tools.syncs_changed.fire()

    async def _retrieve_and_store(self, session: pop3.Pop3Session, plan: SyncPlan) -> None:
        if not plan.to_retrieve:
            return
        lines = {line.number: line for line in plan.to_retrieve}
        batches = Batches(
            commit=self._commit,
            pool=self._tools.pool,
            most_messages=self._tools.batch_messages,
            most_octets=self._tools.batch_octets,
        )
        async with batches:
            async for reply in session.retrieve([(line.number, line.octets or 0) for line in lines.values()]):
                await batches.add(lines[reply.number], reply)

    async def _commit(self, outcomes: Sequence[Outcome]) -> None:
        """Commit a batch: messages, ledger lines and feed places together, and the progress of the sync."""
        now = self._tools.clock()
        stored = [outcome for outcome in outcomes if outcome.prepared]
        messages = [outcome.prepared for outcome in outcomes if outcome.prepared]
        report = self._report_after(outcomes)

        def change(db: Session) -> bool:
            self._write_progress(db, report)
            places = intake.store(db, self._mailbox_id, messages, now=now)
            rows = [
                self._entry(outcome.candidate, EntryState.STORED, now, message_seq=seq)
                for outcome, seq in zip(stored, places, strict=True)
            ]
            rows += [self._failed_entry(outcome, now) for outcome in outcomes if not outcome.prepared]
            repository.write_entries(db, rows)
            return bool(repository.cancelled_among(db, [self._claim.sync_id]))

        is_cancelled = await self._tools.database.write(change)
        self.report = report
        self._tools.messages_stored.fire()
        self._tools.syncs_changed.fire()
        if is_cancelled:
            raise SyncCancelled

    def _report_after(self, outcomes: Sequence[Outcome]) -> Report:
        messages = [outcome.prepared for outcome in outcomes if outcome.prepared]
        return self.report.model_copy(
            update={
                "retrieved": self.report.retrieved + len(messages),
                "octets": self.report.octets + sum(message.packed.octets for message in messages),
                "failed": self.report.failed + len(outcomes) - len(messages),
                "to_retrieve": self.report.to_retrieve - len(outcomes),
            }
        )

    def _failed_entry(self, outcome: Outcome, now: datetime) -> dict[str, Any]:
        if outcome.is_too_large:
            return self._entry(outcome.candidate, EntryState.TOO_LARGE, now, reason=outcome.reason)
        attempts = outcome.candidate.attempts + 1
        return self._entry(
            outcome.candidate,
            EntryState.FAILED,
            now,
            reason=outcome.reason,
            attempts=attempts,
            next_attempt_at=next_message_attempt(attempts, now),
        )

    def _entry(self, line: Candidate, state: EntryState, now: datetime, **facts: Any) -> dict[str, Any]:
        blank = {"message_seq": None, "attempts": line.attempts, "next_attempt_at": None, "reason": None}
        return blank | {
            "mailbox_id": self._mailbox_id,
            "unique_id": line.unique_id,
            "occurrence": line.occurrence,
            "octets": line.octets,
            "state": state.value,
            "first_seen_at": now,
            **facts,
        }

    def _write_progress(self, db: Session, report: Report) -> None:
        lease = self._tools.clock() + timedelta(seconds=self._tools.lease_seconds)
        repository.progress(db, self._claim, report=report.model_dump(), lease_expires_at=lease)

    async def end(self, status: SyncStatus, failure: SyncFailed | None = None) -> SyncStatus:
        """Write the last word: the sync's status, what follows for the mailbox, and when it is due again."""
        now, tools = self._tools.clock(), self._tools

        def change(db: Session) -> RetryDecision:
            row = self._mailbox(db)
            decision = after_sync(
                failure.code if failure else None,
                poll_interval_seconds=row.poll_interval_seconds,
                failures=row.failures + 1 if failure else 0,
                retry_after_seconds=failure.retry_after_seconds if failure else None,
                now=now,
                chance=tools.chance(),
            )
            error = _error_document(failure, decision) if failure else None
            repository.finish(
                db, self._claim, status=status, report=self.report.model_dump(), error=error, now=now
            )
            row.failures = row.failures + 1 if failure else 0
            row.next_sync_at = decision.next_sync_at
            if row.status == MailboxStatus.ACTIVE and decision.status is not MailboxStatus.ACTIVE:
                row.status, row.status_detail = decision.status.value, failure.detail if failure else None
            if row.status != MailboxStatus.ACTIVE:
                row.next_sync_at = None
            return decision

        await tools.database.write(change, durable=False)
        tools.syncs_changed.fire()
        facts = {"status": status.value, **self.report.model_dump(exclude={"phases"})}
        _log.info("sync_ended", **facts, **({"error": failure.code.value} if failure else {}))
        return status

    def _mailbox(self, db: Session) -> Mailbox:
        row = get_mailbox(db, MailboxId(self._mailbox_id))
        if row is None:
            raise LeaseLost
        return row

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = self._tools.monotonic()
        try:
            yield
        finally:
            self.report.phases[name] = round((self._tools.monotonic() - started) * 1000)


def _server_facts(session: pop3.Pop3Session, listing: pop3.Listing) -> ServerFacts:
    capabilities = session.capabilities
    warnings = [f"The listing has a line that cannot be read: {line}" for line in listing.malformed[:10]]
    if listing.is_short:
        warnings.append("The listing is shorter than STAT said; nothing was marked missing.")
    if not capabilities.pipelining:
        warnings.append("The server does not announce PIPELINING: each command costs a round trip.")
    if capabilities.expire == 0:
        warnings.append("The server announces EXPIRE 0: it may delete what was retrieved.")
    return ServerFacts(
        greeting=session.greeting,
        implementation=capabilities.implementation,
        capabilities=sorted(capabilities.names),
        warnings=warnings,
    )


def _error_document(failure: SyncFailed, decision: RetryDecision) -> dict[str, Any]:
    return {
        "code": failure.code.value,
        "detail": failure.detail,
        "server_reply": failure.server_reply,
        "retry_at": as_text(decision.next_sync_at) if decision.next_sync_at else None,
    }
