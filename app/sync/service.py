"""``sync_mailbox``, one pass: list, view, match, triage, record, retrieve, settle. Read it from top to bottom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlmodel import Session

from app import pop3
from app.database import Batchable, Database, StorageFailed
from app.jobs.wakeups import Wakeups
from app.ledger import listing_digest
from app.ledger import repository as ledger
from app.ledger.diff import Candidate, Deletable, Known, MaildropId, Turn
from app.ledger.entries import Row, RowMaker
from app.ledger.listing_digest import ListingDigest
from app.ledger.listing_view import ListingView
from app.ledger.matching import Matcher
from app.ledger.models import EntryId, EntryState, Leased
from app.ledger.repository import Beginning
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.mailboxes.schemas import ServerFacts
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.maildrops.learnt import Facts, Learnt, Lesson
from app.maildrops.login import Maildrop, as_sync_failed
from app.maildrops.providers import least_seconds_between_logins
from app.messages.intake import Prepared
from app.messages.wholeness import Habit
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.runs import repository as runs
from app.runs.completion import Completion
from app.runs.errors import LeaseLost, SyncCancelled
from app.runs.lease import Lease
from app.runs.models import SyncStatus
from app.runs.repository import Claim
from app.runs.schedule import next_deletion
from app.runs.schemas import Report
from app.runs.server_limits import ServerLimits
from app.runs.slots import WorkerSlot
from app.sync import copies, retention
from app.sync.batch import Batch, FeedPlaces, renamed_away, settle
from app.sync.batches import Batches, MemoryBudget, Outcome
from app.sync.listing import Listed, most_entries, with_every_id
from app.sync.listing_budget import ListingBudget, ListingShare
from app.sync.recording import RecordingPart, in_parts
from app.sync.refusals import AlikeRefusals, RefusedAll
from app.sync.retention import Checked
from app.sync.survey import Surveyor
from app.sync.triage import ASKED_AT_ONCE, Triaged, heads_of, judge_by
from app.telemetry import Traces
from app.telemetry.metrics import Metrics

_log = structlog.get_logger()

_AT_ONCE = ("ids_changed", "ids_are_changing", "ids_are_numbers")  # of what was found out

_NO_LIMIT = 1 << 40  # octets
_HEADS_PER_CHANGE = 64  # of some 32 KiB each
_FEW_ROWS, _FEW_OCTETS = 100, 256 * 1024  # that are written in some milliseconds

# What ends a session that the next one goes on with: what was stored is progress.
_MOST_ALIKE = 3  # refusals in a row that speak of the server: it is of no use to go on
_CUTS = (pop3.ConnectionLost, pop3.Timeout, pop3.ServerTemporary)


@dataclass(frozen=True, kw_only=True)
class SyncTools:
    """What a sync needs, wired once."""

    database: Database
    maildrop: Maildrop
    threads: FairThreads
    wakeups: Wakeups
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    chance: Callable[[], float]
    lease_seconds: float
    limits: pop3.Limits
    batch_messages: int
    batch_octets: int
    memory: MemoryBudget
    forget_missing_after: timedelta | None = None
    transcripts: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    server_limits: ServerLimits = field(default_factory=lambda: ServerLimits(1))
    slices: Slices = field(default_factory=Slices)
    rows_per_change: int = ledger.ROWS_PER_CHANGE
    rows_per_read: int = ledger.ROWS_PER_READ
    listing_budget: ListingBudget = field(default_factory=lambda: ListingBudget(1_000_000))


async def sync_mailbox(claim: Claim, *, tools: SyncTools, slot: WorkerSlot | None = None) -> SyncStatus:
    """Run one sync to its end and say how it ended. Raises LeaseLost when it is no longer ours, and NotAdmitted when
    there is no room for it at the server's addresses.

    Whatever goes wrong, what was committed stays, and the next sync starts from there.
    """
    slot = slot or WorkerSlot(claim.server, claim.pace, tools.server_limits)
    lease = Lease(claim, tools.database, clock=tools.clock, seconds=tools.lease_seconds)
    run = _Run(lease, tools, slot)
    try:
        await run.pass_over()
    except SyncCancelled:
        return await run.end(SyncStatus.CANCELLED)
    except SyncFailed as error:
        return await run.end(SyncStatus.FAILED, error)
    except pop3.NotAdmitted:
        raise  # nothing was tried
    except pop3.Pop3Error as error:
        is_progress = isinstance(error, _CUTS) and run.report.retrieved > 0
        return await run.end(SyncStatus.PARTIAL if is_progress else SyncStatus.FAILED, as_sync_failed(error))
    except StorageFailed as error:
        _log.error(
            "storage_failed", reason=str(error)
        )  # which may name where the database is: nobody else is told
        failure = SyncFailed(
            SyncErrorCode.STORAGE_FAILED, "The database could not store what came; see the log."
        )
        return await run.end(SyncStatus.FAILED, failure)
    return await run.end(SyncStatus.SUCCEEDED)


class _Run:
    """One sync under way: its report, and the steps in their order."""

    def __init__(self, lease: Lease, tools: SyncTools, slot: WorkerSlot) -> None:
        self._lease = lease
        self._slot = slot
        self._was_private: bool | None = None
        self._claim = lease.claim
        self._mailbox_id = lease.claim.mailbox_id
        self._tools = tools
        self.report = Report()
        self._settled: Callable[[Leased], None] | None = None
        self._login_delay = 0
        self._logged_in_at: datetime | None = None
        self._waiting = self._too_large = 0
        self._started = tools.clock()
        self._facts: dict[str, Any] = {}
        self._is_as_before = self._is_quit_lost = self._has_blamed = False
        self._habit = Habit.none()
        self._learnt: Learnt | None = None
        self._has_moved = False
        self._maildrop = MaildropId(self._mailbox_id, 1)
        self._deleted: set[int] = set()
        self._refused: list[EntryId] = []
        self._others: list[EntryId] = []
        self._bodies = copies.Bodies(tools.database, tools.threads, (self._mailbox_id,))
        self._transcript = pop3.Transcript() if tools.transcripts else None

    async def pass_over(self) -> None:
        asked = Batchable(ledger.read_beginnings, (self._mailbox_id, self._started))
        beginning: Beginning | None = await self._lease.read(asked)
        if beginning is None:
            raise LeaseLost
        with self._tools.listing_budget.share() as share:
            await self._in_session(beginning, share)

    async def _in_session(self, beginning: Beginning, share: ListingShare) -> None:
        mailbox, self._learnt = beginning.mailbox, beginning.learnt
        self._waiting = mailbox.waiting
        self._habit = self._learnt.habit
        most = most_entries(mailbox.listed_entries, self._tools.limits)
        self._maildrop = MaildropId(self._mailbox_id, mailbox.generation)
        self._was_private = mailbox.is_private
        self._slot.progress.admits = partial(self._slot.enter, port=mailbox.port)
        async with self._tools.maildrop.session(
            mailbox,
            timings=self.report.phases,
            transcript=self._transcript,
            learnt=beginning.learnt,
            progress=self._slot.progress,
        ) as session:
            self._logged_in_at = self._tools.clock()
            self._learnt.logged_in(self._logged_in_at)
            self._login_delay = session.capabilities.login_delay or 0
            surveyor = Surveyor(
                session,
                beginning,
                database=self._tools.database,
                threads=self._tools.threads,
                slices=self._tools.slices,
                limits=self._tools.limits,
                most_entries=most,
                took=share.took,
                holds_beside=share.holds_beside,
                clock=self._tools.clock,
                phase=self._phase,
                blaming=partial(self._blaming, session),
                facts=self._facts,
                rows_per_read=self._tools.rows_per_read,
            )
            listed, view, matcher, triaged = await surveyor.survey()
            self._is_as_before = view.is_as_before
            self._has_moved = view.diff.most_gone and not view.known
            with self._phase("diff"):
                await self._record_listing(
                    session,
                    mailbox,
                    view,
                    matcher,
                    triaged,
                    _server_facts(
                        session, view, mailbox, beginning.learnt, listed=listed, kept=beginning.kept
                    ),
                )
            with self._phase("retrieve"):
                await self._retrieve_and_store(
                    session,
                    mailbox,
                    triaged,
                    view,
                    matcher,
                    total=listed.raw.stat.octets,
                    learnt=beginning.learnt,
                )
                await self._record_too_large(session, triaged.too_large)
            await self._delete_on_server(session, mailbox, listed.raw, most)
            await session.leave()
        if not triaged.postponed and mailbox.compares_all:
            self._facts["compares_all"] = False
        if not triaged.postponed and (mailbox.ids_are_changing or view.diff.is_wholesale):
            self._facts["ids_are_changing"] = False
        self._settled = partial(
            self._write_settled,
            view=view,
            matcher=matcher,
            triaged=triaged,
            last_digest=await self._digest_left(listed.raw, view, triaged),
            mailbox=mailbox,
        )

    async def _digest_left(
        self, raw: pop3.RawListing, view: ListingView, triaged: Triaged
    ) -> ListingDigest | None:
        """Of the listing, what the next session shows if nothing happens; None: nothing new is to be remembered."""
        is_unknown = triaged.postponed or self._others or self._is_quit_lost
        if view.is_short or self._is_as_before or is_unknown:
            return None
        left = (
            await self._tools.slices.do(listing_digest.without(raw, self._deleted)) if self._deleted else raw
        )
        if left is None:
            return None
        entries = view.listed - len(self._deleted)
        return await self._tools.slices.do(
            listing_digest.digesting(left, entries=entries, is_confirmed=view.is_confirmed)
        )

    async def _record_listing(
        self,
        session: pop3.Pop3Session,
        mailbox: Mailbox,
        view: ListingView,
        matcher: Matcher,
        triaged: Triaged,
        facts: ServerFacts,
    ) -> None:
        """Commit what is known before anything is retrieved: recognised, baseline, filtered, missing.

        A listing that brings no news is recorded with its completion.
        """
        now = self._tools.clock()
        self._too_large = len(triaged.too_large)
        make = RowMaker(self._maildrop, now)
        known = view.known + len(triaged.recognised) + len(triaged.baseline) + len(triaged.postponed)
        lines = view.diff.gone if view.may_miss else ()
        gone, renamed = await self._tools.slices.call(
            partial(_missing, lines, matcher.found, triaged), rows=len(lines) + len(triaged.recognised)
        )
        missing = len(gone) + renamed
        report = self.report.model_copy(
            update={
                "listed": view.listed,
                "known": known,
                "new": view.listed - known,
                "missing": missing,
                "filtered": len(triaged.filtered),
                "failed": len(triaged.too_large),
                "waiting": self._waiting_among(view),
                "to_retrieve": len(triaged.to_retrieve),
            }
        )
        self.report = report
        shown = _facts_shown(mailbox, view, facts, now)
        if _is_written(triaged) or missing:
            await session.confirm()  # else what follows says whether the listing was one
        elif not triaged.to_retrieve:
            self._facts |= shown
            return
        for part in in_parts(triaged, gone, make, most=self._tools.rows_per_change):
            change = partial(
                self._record_part,
                part=part,
                mailbox=mailbox,
                is_filtered=bool(triaged.filtered),
                facts=self._facts | shown,
                now=now,
            )
            # What is flushed at the end flushes all before it.
            is_durable = part.is_last and _is_written(triaged)
            is_long = len(part.rows) + len(part.missing) > _FEW_ROWS
            await self._lease.write(change, report=report, durable=is_durable, is_long=is_long)
        self._facts.clear()
        self._tools.wakeups.syncs_changed.fire(self._claim.sync_id)

    def _record_part(
        self,
        db: Leased,
        *,
        part: RecordingPart,
        mailbox: Mailbox,
        is_filtered: bool,
        facts: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """Write one part.

        The first forgets the listing digest and says that ids change, as the next sync may have to do the rest. The
        last says that the mailbox was listed: until then all that it shows is its baseline, if it has one.
        """
        if part.is_first:
            ledger.forget_listing_digest(db, self._mailbox_id)
            at_once = {name: facts[name] for name in _AT_ONCE if name in facts}
            if at_once and not part.is_last:
                mailboxes.change(db, self._mailbox_id, **at_once)
        ledger.mark_missing(db, part.missing, now=now, last_seen_at=mailbox.listed_at)
        ledger.write_entries(db, [row() for row in part.rows])
        if is_filtered:
            self._judge_again_if_criteria_changed(db, mailbox)
        if part.is_last:
            mailboxes.change(db, self._mailbox_id, **facts)

    def _waiting_among(self, view: ListingView) -> int:
        """Of the messages that wait for a next attempt, those that are listed and not tried now."""
        lost = [line for line in view.diff.gone if line.state is EntryState.FAILED and line.next_attempt_at]
        return max(0, self._waiting - len(lost) - len(view.diff.due))

    async def _is_anything_waiting(self) -> bool:
        """Whether messages that failed are listed and wait for a next attempt. Too large ones do not."""
        if not (self._waiting or self.report.failed > self._too_large or self._has_blamed):
            return False
        count = await self._lease.read(partial(ledger.waiting, mailbox_id=self._mailbox_id))
        self._facts["waiting"] = count
        return count > 0

    async def _retrieve_and_store(
        self,
        session: pop3.Pop3Session,
        mailbox: Mailbox,
        triaged: Triaged,
        view: ListingView,
        matcher: Matcher,
        *,
        total: int,
        learnt: Learnt,
    ) -> None:
        if not triaged.to_retrieve:
            return
        judge = judge_by(mailbox.criteria)

        def judge_late(candidate: Candidate, message: Prepared) -> str | None:
            """Where TOP gave no headers, the criteria are judged on the message itself."""
            if judge is None or candidate.is_forced or candidate.number in triaged.heads:
                return None
            return judge(message.packed.head, message.octets)

        batches = Batches(
            commit=partial(self._commit, mailbox=mailbox, view=view, matcher=matcher, total=total),
            threads=self._tools.threads,
            owner=(self._mailbox_id,),
            most_messages=self._tools.batch_messages,
            most_octets=self._tools.batch_octets,
            judge=judge_late,
            memory=self._tools.memory,
        )
        alike = AlikeRefusals(most=None if learnt.has_refused_all else _MOST_ALIKE)
        too_large: list[Candidate] = []
        turns = await self._tools.slices.call(
            partial(_in_turn, triaged.to_retrieve), rows=len(triaged.to_retrieve)
        )
        async with self._blaming(session, triaged.to_retrieve), batches:
            for most_octets, alone, some in turns:
                candidates = {candidate.number: candidate for candidate in some}
                asked = [(candidate.number, candidate.octets or 0) for candidate in some]
                async for reply in session.retrieve(asked, most_octets=most_octets, alone=alone):
                    if reply.too_large:
                        too_large.append(candidates[reply.number])
                    if reply.ending is pop3.Ending.AS_FILE:
                        learnt.ends_as_files()
                    for one in alike.handed_on(reply):
                        await batches.add(candidates[one.number], one)
            for one in alike.rest():
                await batches.add(candidates[one.number], one)
        learnt.ended_well()
        await self._keep_heads(session, too_large)

    @asynccontextmanager
    async def _blaming(
        self, session: pop3.Pop3Session, candidates: Sequence[Candidate]
    ) -> AsyncIterator[None]:
        """The message within which the session ends has failed, so that it stands before no other one next time.

        The first time chance may be to blame: it is tried again in the next sync, last of all. Then ever more rarely.
        """
        try:
            yield
        except pop3.SpoolFailed:
            raise  # our own disk
        except pop3.Pop3Error as error:
            if isinstance(error, pop3.BodyRunsOn) and self._learnt is not None:
                self._learnt.runs_on()
            if isinstance(error, RefusedAll):
                if self._learnt is not None:
                    self._learnt.refused_all()
                raise  # no message is to blame
            for candidate in candidates:
                if candidate.number == session.awaited:
                    reason = f"the session ended within it: {error}"[:1000]
                    outcome = Outcome(candidate, None, reason=reason, ended_session=True)
                    self._has_blamed = True
                    batch = Batch(((outcome, None),), frozenset(), self._tools.clock())
                    if self.report.to_retrieve:
                        self.report = batch.counted_in(self.report)
                    await self._lease.write(partial(self._store_blamed, batch=batch), report=self.report)
            raise

    def _store_blamed(self, db: Leased, batch: Batch) -> None:
        batch.store(db, self._maildrop)
        ledger.forget_listing_digest(db, self._mailbox_id)

    async def _record_too_large(self, session: pop3.Pop3Session, too_large: Sequence[Candidate]) -> None:
        """Behind all else, for headers are as long as their senders like. Those that may end the session go unread.

        Headers by which a message was judged are asked for once more: kept meanwhile, those of all would fill memory.
        """
        harmless = [candidate for candidate in too_large if candidate.turn is Turn.WITH_OTHERS]
        unread = [candidate for candidate in too_large if candidate.turn is not Turn.WITH_OTHERS]
        make = RowMaker(self._maildrop, self._tools.clock())
        if unread:
            await session.confirm()
            await self._write_entries([make.too_large(candidate) for candidate in unread])
        async with self._blaming(session, harmless):
            await self._keep_heads(session, harmless)

    async def _keep_heads(self, session: pop3.Pop3Session, too_large: Sequence[Candidate]) -> None:
        """Record messages over the limit and their headers, a bounded number at a time as they come."""
        make = RowMaker(self._maildrop, self._tools.clock())
        rows: list[Row] = []
        try:
            async for candidate, head in heads_of(session, too_large):
                if len(rows) == _HEADS_PER_CHANGE:
                    await self._write_entries(rows)
                    rows = []
                rows.append(make.too_large(candidate, head=head))
            if rows:
                await session.confirm()
        except pop3.Pop3Error as error:
            if isinstance(error, pop3.ProtocolError | pop3.LimitExceeded):
                rows = rows[:-1]  # where its end was nobody knows
            await self._write_entries(rows)
            raise
        await self._write_entries(rows)

    async def _write_entries(self, rows: Sequence[Row]) -> None:
        if rows:
            change = partial(ledger.write_entries, rows=rows)
            await self._lease.write(change, report=self.report, is_long=True)

    async def _delete_on_server(
        self, session: pop3.Pop3Session, mailbox: Mailbox, raw: pop3.RawListing, most: int
    ) -> None:
        """Delete what the mailbox's retention asks for; it is gone only when QUIT was answered with +OK."""
        if mailbox.server_retention["mode"] != "keep":  # it may have been told to keep meanwhile
            mailbox = await self._lease.read(self._mailbox)
        if session.capabilities.expire == 0 and mailbox.server_retention["mode"] == "keep":
            await session.abort()  # EXPIRE 0: QUIT may delete what was retrieved (RFC 2449 §6.7)
            return
        octets: dict[int, int | None] = {}

        async def entries() -> Sequence[pop3.Line]:
            listing = await with_every_id(session, raw, most_entries=most, slices=self._tools.slices)
            lines = listing.entries
            octets.update((line.number, line.octets) for line in lines)
            return lines

        found = await retention.due(
            self._tools.database,
            self._mailbox_id,
            mailbox.server_retention,
            entries=entries,
            now=self._tools.clock(),
            slices=self._tools.slices,
            overstates=self._habit.overstates,
        )
        if not found:
            return
        with self._phase("delete"):
            checked = await retention.checked(session, found, octets=octets)
            await self._lease.write(
                partial(self._note_deletions, found=found, checked=checked), report=self.report
            )
            self._is_as_before = False
            refusals = await session.delete(checked.same)
            is_answered = await self._quit(session, len(checked.same))
        if not is_answered:
            self._is_quit_lost = True  # the next listing is looked at line by line
            return
        marked = zip(checked.same, refusals, strict=True)
        for number, refusal in marked:
            if refusal is None:
                self._deleted.add(number)
            else:
                self._refused.append(found[number].line.entry_id)
        # What stands there is another message: looked at by the next sync as one whose id was away.
        self._others = [found[number].line.entry_id for number in checked.others]
        self.report.deleted = len(self._deleted)

    async def _quit(self, session: pop3.Pop3Session, count: int) -> bool:
        """QUIT, by which marked messages go. False: it was not answered; the next listing shows what became of them."""
        try:
            await session.quit()
        except (pop3.Timeout, pop3.ConnectionLost):
            server = dict(self._facts.get("server") or (await self._lease.read(self._mailbox)).server or {})
            said = f"QUIT was not answered: whether {count} messages were deleted is seen at the next sync."
            self._facts["server"] = server | {"warnings": [*server.get("warnings", ()), said]}
            return False
        return True

    def _note_deletions(self, db: Leased, *, found: dict[int, Deletable], checked: Checked) -> None:
        """Before the first DELE: whatever happens now, the last listing describes the next one no more."""
        now = self._tools.clock()
        ledger.forget_listing_digest(db, self._mailbox_id)
        for deletes in {found[number].line.deletes for number in checked.same}:
            ids = [found[n].line.entry_id for n in checked.same if found[n].line.deletes == deletes]
            ledger.note_deletions(db, ids, until=next_deletion(deletes + 1, now), is_deleted=True)
            ledger.mark_missing(db, ids, now=now, last_seen_at=now)  # what is listed all the same is compared
        unclear = [found[number].line.entry_id for number in checked.unclear]
        ledger.note_deletions(db, unclear, until=next_deletion(2, now), is_deleted=False)

    async def _commit(
        self,
        outcomes: Sequence[Outcome],
        *,
        mailbox: Mailbox,
        view: ListingView,
        matcher: Matcher,
        total: int,
    ) -> None:
        """Commit a batch: messages, ledger lines and feed places together, and the progress of the sync."""
        if not view.is_whole:
            contents = [o.prepared.fingerprint.content for o in outcomes if o.prepared]
            question = partial(ledger.missing_with, maildrop=self._maildrop, contents=contents)
            matcher.add(await self._lease.read(question))
        same_bodies = await self._bodies.same(outcomes, matcher)
        batch, self._habit = settle(
            outcomes,
            matcher,
            same_bodies=same_bodies,
            shared=view.diff.shared,
            total=total,
            habit=self._habit,
            now=self._tools.clock(),
        )
        report = batch.counted_in(self.report)

        def change(db: Leased) -> tuple[bool, FeedPlaces]:
            places = batch.store(db, self._maildrop)
            if any(outcome.unwanted for outcome in outcomes):
                self._judge_again_if_criteria_changed(db, mailbox)
            return bool(runs.cancelled_among(db, [self._claim.sync_id])), places

        octets = sum(outcome.prepared.octets for outcome in outcomes if outcome.prepared)
        is_long = len(outcomes) > _FEW_ROWS or octets > _FEW_OCTETS
        is_cancelled, places = await self._lease.write(change, report=report, is_long=is_long)
        batch.remember(matcher, places)
        self._tools.metrics.retrieved(
            messages=report.retrieved - self.report.retrieved, octets=report.octets - self.report.octets
        )
        self.report = report
        self._tools.wakeups.stored(self._mailbox_id)
        self._tools.wakeups.syncs_changed.fire(self._claim.sync_id)
        if is_cancelled:
            raise SyncCancelled

    def _write_settled(
        self,
        db: Leased,
        *,
        view: ListingView,
        matcher: Matcher,
        triaged: Triaged,
        last_digest: ListingDigest | None,
        mailbox: Mailbox,
    ) -> None:
        """With the completion: what no listed message proved to be is missing, and the listing is remembered."""
        now = self._tools.clock()
        if view.may_miss:
            later = {candidate.unique_id for candidate in triaged.postponed}
            # Those that are gone were recorded with the listing.
            present = (line for line in view.diff.own if not line.is_missing)
            lost = [line for line in present if line.entry_id not in matcher.found]
            ids = [line.entry_id for line in lost if line.unique_id not in later]
            ledger.mark_missing(db, ids, now=now, last_seen_at=mailbox.listed_at)
        ledger.mark_missing(db, self._others, now=now, last_seen_at=now)
        ledger.mark_present(db, self._refused)
        if triaged.postponed or self._others:
            ledger.forget_listing_digest(db, self._mailbox_id)
        if last_digest is not None:
            ledger.write_listing_digest(db, self._mailbox_id, last_digest)
        if self._tools.forget_missing_after is not None:
            before = now - self._tools.forget_missing_after
            ledger.forget_missing(db, self._mailbox_id, before=before)

    async def end(self, status: SyncStatus, failure: SyncFailed | None = None) -> SyncStatus:
        """Write the completion: the sync's status, the next state of the mailbox, and when it is due again."""
        tools, slot = self._tools, self._slot
        if await self._is_anything_waiting() and status is SyncStatus.SUCCEEDED:
            status = SyncStatus.PARTIAL
        pace = slot.pace
        if status is not SyncStatus.CANCELLED:
            pace = slot.ended(
                failure.code if failure and status is SyncStatus.FAILED else None,
                was_called_back=slot.progress.is_called_back,
            )
        if pace is not slot.pace:
            self._facts["pace"] = pace.value
        if slot.is_private not in {None, self._was_private}:
            self._facts["is_private"] = slot.is_private
        word = Completion(
            claim=self._claim,
            status=status,
            failure=failure,
            report=self.report,
            facts=self._facts,
            started=self._started,
            ended=tools.clock(),
            login_delay=self._login_delay,
            logged_in_at=self._logged_in_at,
            has_moved=self._has_moved,
            learnt=self._lessons(),
            chance=tools.chance(),
            settle=self._settled,
            transcript=await asyncio.to_thread(self._transcript_of, failure) if failure else None,
        )
        await self._lease.end(word)
        tools.wakeups.sync_ended(self._claim.sync_id)
        tools.metrics.sync_ended(status=status.value, code=failure.code.value if failure else None)
        facts = {"status": status.value, **self.report.model_dump(exclude={"phases"})}
        code = failure.code.value if failure else None
        tools.traces.annotate({f"maildelta.sync.{name}": fact for name, fact in facts.items()}, error=code)
        _log.info("sync_ended", **facts, **({"error": code} if code else {}))
        return status

    def _lessons(self) -> Mapping[Lesson, Facts | None]:
        if self._learnt is None:
            return {}
        self._learnt.fits(self._habit)
        return self._learnt.changes

    def _judge_again_if_criteria_changed(self, db: Session, mailbox: Mailbox) -> None:
        """What was judged by criteria that are not those of the mailbox any more is judged again."""
        if self._mailbox(db).criteria != mailbox.criteria:
            ledger.judge_again(db, self._mailbox_id, self._tools.clock())

    def _transcript_of(self, failure: SyncFailed) -> str | None:
        if self._transcript is None:
            return None
        self._transcript.note(str(failure))
        return self._transcript.text()

    def _mailbox(self, db: Session) -> Mailbox:
        row = mailboxes.snapshot(db, self._mailbox_id)
        if row is None:
            raise LeaseLost
        return row

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = self._tools.monotonic()
        try:
            with self._tools.traces.span(f"sync {name}"):
                yield
        finally:
            took = round((self._tools.monotonic() - started) * 1000)
            self.report.phases[name] = self.report.phases.get(name, 0) + took


def _in_turn(candidates: Sequence[Candidate]) -> list[tuple[int | None, bool, list[Candidate]]]:
    """What to retrieve in which turn, and whether alone; with the session's limit, or whatever its size as somebody
    asked. Not too many at once."""
    turns: dict[tuple[Turn, bool], list[Candidate]] = {
        (turn, is_forced): [] for turn in Turn for is_forced in (False, True)
    }
    for candidate in candidates:
        turns[candidate.turn, candidate.is_forced].append(candidate)
    return [
        (_NO_LIMIT if is_forced else None, turn is not Turn.WITH_OTHERS, some[start : start + ASKED_AT_ONCE])
        for (turn, is_forced), some in turns.items()
        for start in range(0, len(some), ASKED_AT_ONCE)
    ]


def _missing(
    lines: Sequence[Known], found: Collection[EntryId], triaged: Triaged
) -> tuple[list[EntryId], int]:
    """The lines whose messages are gone, and how many more are missing under their own unique-ids."""
    gone = [line.entry_id for line in lines if line.entry_id not in found]
    return gone, len(renamed_away(triaged.recognised))


def _is_written(triaged: Triaged) -> bool:
    """Whether there are ledger lines to write before anything is retrieved."""
    return bool(triaged.recognised or triaged.baseline or triaged.filtered)


def _facts_shown(mailbox: Mailbox, view: ListingView, server: ServerFacts, now: datetime) -> dict[str, Any]:
    """Columns of the mailbox that hold once its listing is recorded."""
    facts: dict[str, Any] = {"listed_at": now}
    if mailbox.listed_entries != view.listed:
        facts["listed_entries"] = view.listed
    if view.diff.is_wholesale and not mailbox.ids_are_changing:
        facts["ids_are_changing"] = True
    if view.diff.most_gone or view.has_shifted:
        facts["ids_changed"] = True  # it may hide some of the new names for now, or do it again
    if mailbox.server != (shown := server.model_dump()):
        facts["server"] = shown
    return facts


def _server_facts(
    session: pop3.Pop3Session,
    view: ListingView,
    mailbox: Mailbox,
    learnt: Learnt,
    *,
    listed: Listed,
    kept: int,
) -> ServerFacts:
    capabilities = session.capabilities
    unread = [session.shown(line) for line in view.malformed[:10]]
    warnings = [f"The listing has a line that cannot be read: {line}" for line in unread]
    if view.is_short:
        warnings.append("The listing shows fewer messages than STAT said; nothing was marked missing.")
    warnings += learnt.warnings
    if not listed.has_ids:
        said = (
            "The server's unique-ids are message-numbers" if listed.are_numbers else "The server has no UIDL"
        )
        warnings.append(f"{said}: messages are told apart by their headers, read at every sync.")
    if kept:
        warnings.append(
            f"{kept} messages that server_retention wants deleted are still on the server: it says that it deletes "
            "them and keeps them, or it does not show that they are those that are stored."
        )
    if not capabilities.pipelining:
        warnings.append("The server does not announce PIPELINING: each command costs a round trip.")
    if capabilities.expire == 0:
        warnings.append(
            "The server announces EXPIRE 0: sessions end without QUIT, so that it deletes nothing."
        )
    wait = max(capabilities.login_delay or 0, least_seconds_between_logins(mailbox.host))
    if mailbox.poll_interval_seconds is not None and mailbox.poll_interval_seconds < wait:
        warnings.append(
            f"The server or its provider wants {wait} s between two logins: no poll comes sooner."
        )
    return ServerFacts(
        greeting=session.greeting,
        implementation=capabilities.implementation,
        capabilities=sorted(capabilities.names),
        warnings=warnings,
    )
