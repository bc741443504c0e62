"""``sync_mailbox``: list, diff, recognise, retrieve, store. Read it from top to bottom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlmodel import Session

from app import pop3
from app.database import Database, OneOf, StorageFailed
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import InitialSync, Mailbox
from app.mailboxes.schemas import ServerFacts
from app.messages.intake import Prepared
from app.metrics import Metrics
from app.reading.threads import FairThreads
from app.slices import Slices
from app.sync import look, recall, repository, retention
from app.sync.batch import Batch, Places, renamed_away, settle
from app.sync.batches import Batches, Outcome, Room
from app.sync.errors import LeaseLost, SyncCancelled, SyncErrorCode, SyncFailed
from app.sync.last_word import LastWord
from app.sync.learnt import Facts, Learnt, Lesson
from app.sync.lease import Lease
from app.sync.listing import list_maildrop, most_entries
from app.sync.listing_room import ListingRoom, Part
from app.sync.look import Look
from app.sync.maildrop import Maildrop, as_sync_failed
from app.sync.models import EntryId, EntryState, SyncStatus
from app.sync.plan import Candidate, Known, Turn, ledger_key
from app.sync.providers import least_seconds_between_logins
from app.sync.recall import Change, Mark
from app.sync.recognise import Recogniser
from app.sync.repository import Beginning, Claim
from app.sync.rows import Row, RowMaker
from app.sync.schemas import Report
from app.sync.server_limits import ServerLimits
from app.sync.sift import Sifted, heads_of, judge_by, sift
from app.sync.wholeness import Habit
from app.traces import Traces
from app.wakeups import Wakeups

_log = structlog.get_logger()

_SEVERAL = 5

_NO_LIMIT = 1 << 40  # octets


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
    room: Room
    forget_missing_after: timedelta | None = None
    transcripts: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    server_limits: ServerLimits = field(default_factory=lambda: ServerLimits(1))
    slices: Slices = field(default_factory=Slices)
    listing_room: ListingRoom = field(default_factory=lambda: ListingRoom(1_000_000))


async def sync_mailbox(claim: Claim, *, tools: SyncTools) -> SyncStatus:
    """Run one sync to its end and say how it ended. Raises LeaseLost when it is no longer ours.

    Whatever goes wrong, what was committed stays, and the next sync starts from there.
    """
    lease = Lease(claim, tools.database, clock=tools.clock, seconds=tools.lease_seconds)
    run = _Run(lease, tools)
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

    def __init__(self, lease: Lease, tools: SyncTools) -> None:
        self._lease = lease
        self._claim = lease.claim
        self._mailbox_id = lease.claim.mailbox_id
        self._tools = tools
        self.report = Report()
        self._settled: Callable[[Session], None] | None = None
        self._login_delay = 0
        self._started = tools.clock()
        self._facts: dict[str, Any] = {}
        self._is_as_before = False
        self._habit = Habit.none()
        self._learnt: Learnt | None = None
        self._has_moved = False
        self._deleted: list[EntryId] = []
        self._transcript = pop3.Transcript() if tools.transcripts else None

    async def list_diff_retrieve_store(self) -> None:
        asked = OneOf(repository.read_beginnings, (self._mailbox_id, self._started))
        beginning: Beginning | None = await self._lease.read(asked)
        if beginning is None:
            raise LeaseLost
        with self._tools.listing_room.part() as part:
            await self._in_session(beginning, part)

    async def _in_session(self, beginning: Beginning, part: Part) -> None:
        mailbox, self._learnt = beginning.mailbox, beginning.learnt
        self._habit = self._learnt.habit
        most = most_entries(mailbox.listed_entries, self._tools.limits)
        async with self._tools.maildrop.session(
            mailbox,
            timings=self.report.phases,
            transcript=self._transcript,
            one_at_a_time=beginning.learnt.is_one_at_a_time,
        ) as session:
            self._login_delay = session.capabilities.login_delay or 0
            with self._phase("list"):
                raw, has_uidl = await list_maildrop(session, most_entries=most, took=part.took)
            with self._phase("diff"):
                seen = await self._look(raw, beginning.mark, beginning.due, most)
                self._has_moved = seen.diff.most_gone and not seen.known
                recogniser = Recogniser(
                    own=seen.diff.own,
                    absent=seen.diff.gone + seen.diff.away,
                    ids_changed=mailbox.ids_changed or seen.diff.is_wholesale,
                )
                is_baseline = mailbox.listed_at is None and mailbox.initial_sync == InitialSync.FROM_NOW
                if is_baseline and seen.is_short and not seen.malformed:
                    raise SyncFailed(
                        SyncErrorCode.SERVER_TEMPORARY, "The first listing is shorter than STAT said."
                    )
                undecided = () if seen.diff.is_wholesale else (*seen.diff.fresh, *seen.diff.due)
                async with self._blaming(session, undecided):
                    sifted = await sift(
                        session,
                        seen,
                        recogniser,
                        most_octets=self._tools.limits.message_octets,
                        is_baseline=is_baseline,
                        judge=judge_by(mailbox.criteria),
                        threads=self._tools.threads,
                        owner=(self._mailbox_id,),
                        now=self._tools.clock(),
                    )
                await self._record_listing(
                    session,
                    mailbox,
                    seen,
                    recogniser,
                    sifted,
                    _server_facts(session, seen, mailbox, beginning.learnt, has_uidl=has_uidl),
                )
            with self._phase("retrieve"):
                await self._retrieve_and_store(
                    session, mailbox, sifted, seen, recogniser, total=raw.stat.octets, learnt=beginning.learnt
                )
            await self._delete_on_server(session, mailbox, raw, most)
            await session.leave()
        mark = None
        if not (seen.is_short or self._is_as_before):
            marking = recall.marking(raw, entries=seen.listed, is_confirmed=seen.is_confirmed)
            mark = await self._tools.slices.do(marking)
        self._settled = partial(
            self._write_settled, seen=seen, recogniser=recogniser, mark=mark, mailbox=mailbox
        )

    async def _look(
        self, raw: pop3.RawListing, mark: Mark | None, due_lines: Sequence[Known], most: int
    ) -> Look:
        """Read as little of the ledger as the listing's difference from the last one asks for."""
        now, slices = self._tools.clock(), self._tools.slices
        change = await slices.do(recall.comparing(raw, mark))
        if change is Change.NONE and mark is not None and not due_lines:
            self._is_as_before = True
            return look.part((), (), listed=mark.entries, malformed=(), now=now)
        if mark is not None and change is not Change.OTHER:
            grown = await slices.do(pop3.parsing(recall.grown_part(raw, mark), most_entries=most))
            ids = frozenset(ledger_key(line.unique_id) for line in grown.entries)
            due = frozenset(line.unique_id for line in due_lines) - ids
            known = await self._lease.read(
                partial(repository.read_part, mailbox_id=self._mailbox_id, ids=ids | due)
            )
            shown_before = any(line.unique_id in ids and not line.is_missing for line in known)
            listed = mark.entries + len(grown.entries)
            # After an empty listing several messages may be those of before, under new ids.
            came_back = not mark.entries and len(grown.entries) >= _SEVERAL
            if not shown_before and not came_back and listed >= raw.stat.count:
                lines = list(grown.entries)
                if due:
                    listing = await slices.do(pop3.parsing(raw, most_entries=most))
                    lines = await slices.do(look.only(listing.entries, ids | due))
                return look.part(lines, known, listed=listed, malformed=grown.malformed, now=now)
        listing = await slices.do(pop3.parsing(raw, most_entries=most))
        ledger = await self._lease.read(partial(repository.read_ledger, mailbox_id=self._mailbox_id))
        return look.whole(listing, ledger, mark=mark, now=now)

    async def _record_listing(
        self,
        session: pop3.Pop3Session,
        mailbox: Mailbox,
        seen: Look,
        recogniser: Recogniser,
        sifted: Sifted,
        facts: ServerFacts,
    ) -> None:
        """Commit what is known before anything is retrieved: recognised, baseline, too large, missing.

        A listing that brings no news is recorded with the last word of the sync.
        """
        now = self._tools.clock()
        make = RowMaker(self._mailbox_id, now)
        rows = _rows_before_retrieval(sifted, make)
        known = seen.known + len(sifted.recognised) + len(sifted.baseline)
        missing = renamed_away(sifted.recognised)
        if seen.may_miss:
            missing += [line.entry_id for line in seen.diff.gone if line.entry_id not in recogniser.found]
        report = self.report.model_copy(
            update={
                "listed": seen.listed,
                "known": known,
                "new": seen.listed - known,
                "missing": len(missing),
                "filtered": len(sifted.filtered),
                "failed": len(sifted.too_large),
                "to_retrieve": len(sifted.to_retrieve),
            }
        )
        self._facts = {"listed_at": now}
        if mailbox.listed_entries != seen.listed:
            self._facts["listed_entries"] = seen.listed
        if seen.diff.most_gone:
            self._facts["ids_changed"] = True  # it may hide some of the new names for now, or do it again
        if mailbox.server != (server := facts.model_dump()):
            self._facts["server"] = server
        self.report = report
        if not (rows or sifted.to_retrieve or missing):
            return
        if rows or missing:
            await session.confirm()  # else what follows says whether the listing was one

        def change(db: Session) -> None:
            repository.mark_missing(db, missing, now=now, last_seen_at=mailbox.listed_at)
            repository.write_entries(db, rows)
            repository.forget_mark(db, self._mailbox_id)
            if sifted.filtered:
                self._judge_again_if_criteria_changed(db, mailbox)
            mailboxes.change(db, self._mailbox_id, **self._facts)

        await self._lease.write(change, report=report, durable=bool(rows))
        self._facts = {}
        self._tools.wakeups.syncs_changed.fire(self._claim.sync_id)

    async def _retrieve_and_store(
        self,
        session: pop3.Pop3Session,
        mailbox: Mailbox,
        sifted: Sifted,
        seen: Look,
        recogniser: Recogniser,
        *,
        total: int,
        learnt: Learnt,
    ) -> None:
        if not sifted.to_retrieve:
            return
        judge = judge_by(mailbox.criteria)
        candidates = {candidate.number: candidate for candidate in sifted.to_retrieve}

        def judge_late(candidate: Candidate, message: Prepared) -> str | None:
            """Where TOP gave no headers, the criteria are judged on the message itself."""
            if judge is None or candidate.is_forced or candidate.number in sifted.heads:
                return None
            return judge(message.packed.head, message.octets)

        batches = Batches(
            commit=partial(self._commit, mailbox=mailbox, seen=seen, recogniser=recogniser, total=total),
            threads=self._tools.threads,
            owner=(self._mailbox_id,),
            most_messages=self._tools.batch_messages,
            most_octets=self._tools.batch_octets,
            judge=judge_late,
            room=self._tools.room,
        )
        too_large: list[Candidate] = []
        async with self._blaming(session, sifted.to_retrieve), batches:
            for most_octets, alone, some in _in_turn(sifted.to_retrieve):
                async for reply in session.retrieve(some, most_octets=most_octets, alone=alone):
                    if reply.too_large:
                        too_large.append(candidates[reply.number])
                    if reply.ending is pop3.Ending.AS_FILE:
                        learnt.ends_as_files()
                    await batches.add(candidates[reply.number], reply)
        learnt.ended_well()
        if too_large:
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
            for candidate in candidates:
                if candidate.number == session.awaited:
                    reason = f"the session ended within it: {error}"[:1000]
                    outcome = Outcome(candidate, None, reason=reason, ended_session=True)
                    batch = Batch(((outcome, None),), frozenset(), self._tools.clock())
                    if self.report.to_retrieve:
                        self.report = batch.counted_in(self.report)
                    await self._lease.write(partial(self._store_blamed, batch=batch), report=self.report)
            raise

    def _store_blamed(self, db: Session, batch: Batch) -> None:
        batch.store(db, self._mailbox_id)
        repository.forget_mark(db, self._mailbox_id)

    async def _keep_heads(self, session: pop3.Pop3Session, too_large: Sequence[Candidate]) -> None:
        """Of messages that proved larger than LIST said, and than the limit, the headers are kept."""
        make = RowMaker(self._mailbox_id, self._tools.clock())
        rows = [
            make.too_large(candidate, head=head) async for candidate, head in heads_of(session, too_large)
        ]
        await self._lease.write(partial(repository.write_entries, rows=rows), report=self.report)

    async def _delete_on_server(
        self, session: pop3.Pop3Session, mailbox: Mailbox, raw: pop3.RawListing, most: int
    ) -> None:
        """Delete what the mailbox's retention asks for; it is gone only when QUIT was answered with +OK."""
        if mailbox.server_retention["mode"] != "keep":  # it may have been told to keep meanwhile
            mailbox = await self._lease.read(self._mailbox)
        if session.capabilities.expire == 0 and mailbox.server_retention["mode"] == "keep":
            await session.abort()  # EXPIRE 0: QUIT may delete what was retrieved (RFC 2449 §6.7)
            return
        found = await retention.due(
            self._tools.database,
            self._mailbox_id,
            mailbox.server_retention,
            raw,
            now=self._tools.clock(),
            most_entries=most,
            slices=self._tools.slices,
        )
        if found:
            with self._phase("delete"):
                numbers = await retention.confirmed(session, found)
                refusals = await session.delete(numbers)
                await session.quit()
            marked = zip(numbers, refusals, strict=True)
            self._deleted = [found[number].entry_id for number, refusal in marked if refusal is None]
            self.report.deleted = len(self._deleted)

    async def _commit(
        self,
        outcomes: Sequence[Outcome],
        *,
        mailbox: Mailbox,
        seen: Look,
        recogniser: Recogniser,
        total: int,
    ) -> None:
        """Commit a batch: messages, ledger lines and feed places together, and the progress of the sync."""
        if not seen.is_whole:
            contents = [o.prepared.fingerprint.content for o in outcomes if o.prepared]
            question = partial(repository.missing_with, mailbox_id=self._mailbox_id, contents=contents)
            recogniser.add(await self._lease.read(question))
        batch, self._habit = settle(
            outcomes,
            recogniser,
            shared=seen.diff.shared,
            total=total,
            habit=self._habit,
            now=self._tools.clock(),
        )
        report = batch.counted_in(self.report)

        def change(db: Session) -> tuple[bool, Places]:
            places = batch.store(db, self._mailbox_id)
            if any(outcome.unwanted for outcome in outcomes):
                self._judge_again_if_criteria_changed(db, mailbox)
            return bool(repository.cancelled_among(db, [self._claim.sync_id])), places

        is_cancelled, places = await self._lease.write(change, report=report)
        batch.remember(recogniser, places)
        self._tools.metrics.retrieved(
            messages=report.retrieved - self.report.retrieved, octets=report.octets - self.report.octets
        )
        self.report = report
        self._tools.wakeups.stored(self._mailbox_id)
        self._tools.wakeups.syncs_changed.fire(self._claim.sync_id)
        if is_cancelled:
            raise SyncCancelled

    def _write_settled(
        self, db: Session, *, seen: Look, recogniser: Recogniser, mark: Mark | None, mailbox: Mailbox
    ) -> None:
        """With the last word: what no listed message proved to be is missing, and the listing is remembered."""
        now = self._tools.clock()
        if seen.may_miss:
            lost = [line.entry_id for line in seen.diff.present if line.entry_id not in recogniser.found]
            repository.mark_missing(db, lost, now=now, last_seen_at=mailbox.listed_at)
        repository.mark_missing(db, self._deleted, now=now, last_seen_at=now)
        if mark is not None:
            repository.write_mark(db, self._mailbox_id, mark)
        if self._tools.forget_missing_after is not None:
            before = now - self._tools.forget_missing_after
            repository.forget_missing(db, self._mailbox_id, before=before)

    async def end(self, status: SyncStatus, failure: SyncFailed | None = None) -> SyncStatus:
        """Write the last word: the sync's status, what follows for the mailbox, and when it is due again."""
        tools = self._tools
        word = LastWord(
            claim=self._claim,
            status=status,
            failure=failure,
            report=self.report,
            facts=self._facts,
            started=self._started,
            ended=tools.clock(),
            login_delay=self._login_delay,
            has_moved=self._has_moved,
            learnt=self._lessons(),
            chance=tools.chance(),
            settle=self._settled,
            transcript=await asyncio.to_thread(self._transcript_of, failure) if failure else None,
        )
        await self._lease.end(word)
        tools.wakeups.sync_ended(self._claim.sync_id)
        tools.metrics.sync_ended(status=status.value, code=failure.code.value if failure else None)
        if status is not SyncStatus.CANCELLED:
            tools.server_limits.ended(self._claim.server, failure.code if failure else None)
        facts = {"status": status.value, **self.report.model_dump(exclude={"phases"})}
        code = failure.code.value if failure else None
        tools.traces.tell({f"maildelta.sync.{name}": fact for name, fact in facts.items()}, error=code)
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
            repository.judge_again(db, self._mailbox_id, self._tools.clock())

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


def _in_turn(candidates: Sequence[Candidate]) -> Iterator[tuple[int | None, bool, list[tuple[int, int]]]]:
    """What to retrieve in which turn, and whether alone; with the session's limit, or whatever its size as somebody
    asked."""
    for turn in Turn:
        for is_forced, limit in ((False, None), (True, _NO_LIMIT)):
            some = [
                (c.number, c.octets or 0) for c in candidates if (c.turn, c.is_forced) == (turn, is_forced)
            ]
            if some:
                yield limit, turn is not Turn.WITH_OTHERS, some


def _rows_before_retrieval(sifted: Sifted, make: RowMaker) -> list[Row]:
    rows = [make.same(candidate, same.line) for candidate, same in sifted.recognised]
    rows += [make.row(candidate, EntryState.BASELINE) for candidate in sifted.baseline]
    rows += [make.too_large(candidate, head=head) for candidate, head in sifted.too_large]
    rows += [make.filtered(candidate, head.unwanted, head.digest) for candidate, head in sifted.filtered]
    return rows


def _server_facts(
    session: pop3.Pop3Session, seen: Look, mailbox: Mailbox, learnt: Learnt, *, has_uidl: bool
) -> ServerFacts:
    capabilities = session.capabilities
    unread = [session.shown(line) for line in seen.malformed[:10]]
    warnings = [f"The listing has a line that cannot be read: {line}" for line in unread]
    if seen.is_short:
        warnings.append("The listing shows fewer messages than STAT said; nothing was marked missing.")
    warnings += learnt.warnings
    if not has_uidl:
        warnings.append(
            "The server has no UIDL: messages are told apart by their headers, read at every sync."
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
