"""What is new is retrieved, and stored batch by batch as it comes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from app import pop3
from app.ledger import repository as ledger
from app.ledger.entries import Row, RowMaker
from app.ledger.imports import imported_with
from app.ledger.lines import Candidate, Known, Turn, is_tellable, ledger_key
from app.ledger.models import Leased
from app.messages.intake import Prepared
from app.messages.wholeness import Habit
from app.runs import repository as runs
from app.runs.errors import SyncCancelled
from app.sync.ahead import stored_ahead
from app.sync.blame import blaming
from app.sync.context import Surveyed, SyncContext
from app.sync.listed.headers import ASKED_AT_ONCE, FEW_OCTETS, Judge, heads_of, judge_by
from app.sync.retrieved import astray, copies
from app.sync.retrieved.batch import Batch, FeedPlaces, settle
from app.sync.retrieved.batches import Batches, Outcome
from app.sync.retrieved.refusals import AlikeRefusals

_NO_LIMIT = 1 << 40  # octets
_MOST_ALIKE = 3  # refusals in a row that speak of the server: it is of no use to go on
_HEADS_PER_CHANGE = 64  # of some 32 KiB each
_FEW_ROWS, _FEW_OCTETS = 100, 256 * 1024  # that are written in some milliseconds


@dataclass(frozen=True, slots=True)
class Stored:
    """What retrieving has brought besides what is stored.

    ``habit``: how the server's sizes fit by now. ``undecided``: messages of which nothing came that says who they are.
    ``is_astray``: the server numbered its messages anew, so that others may have come than were asked for.
    """

    habit: Habit
    undecided: tuple[Candidate, ...] = ()
    is_astray: bool = False


async def retrieve(sync: SyncContext, surveyed: Surveyed) -> Stored:
    """Retrieve and store, then record what is too large.

    Raises the client's errors, RefusedAll, SyncCancelled, LeaseLost and StorageFailed. What came until then is stored.
    """
    store = _Store(sync, surveyed)
    if surveyed.triaged.to_retrieve:
        too_large = await _retrieve(sync, surveyed, store)
        sync.beginning.learnt.ended_well()
        await _keep_heads(sync, too_large)
    await _record_too_large(sync, surveyed.triaged.too_large)
    return Stored(store.habit, tuple(store.undecided), await _is_astray(sync, surveyed, store))


async def _retrieve(sync: SyncContext, surveyed: Surveyed, store: "_Store") -> list[Candidate]:
    """Those that prove to be too large as they come."""
    tools, learnt, to_retrieve = sync.tools, sync.beginning.learnt, surveyed.triaged.to_retrieve
    batches = Batches(
        commit=store.commit,
        threads=tools.threads,
        owner=(sync.maildrop.mailbox_id,),
        most_messages=tools.batch_messages,
        most_octets=tools.batch_octets,
        judge=partial(_judge_late, surveyed, judge_by(sync.mailbox.criteria)),
        memory=tools.memory,
        indexed=tools.indexed_headers,
    )
    alike = AlikeRefusals(most=None if learnt.has_refused_all else _MOST_ALIKE)
    too_large: list[Candidate] = []
    turns = await tools.slices.call(partial(_in_turn, to_retrieve), rows=len(to_retrieve))
    async with blaming(sync, to_retrieve), batches:
        for most_octets, alone, some in turns:
            candidates = {candidate.number: candidate for candidate in some}
            asked = [(candidate.number, candidate.octets or 0) for candidate in some]
            async for reply in sync.session.retrieve(asked, most_octets=most_octets, alone=alone):
                if reply.too_large:
                    too_large.append(candidates[reply.number])
                if reply.ending is pop3.Ending.AS_FILE:
                    learnt.ends_as_files()
                for answer in alike.handed_on(candidates[reply.number], reply):
                    await batches.add(*answer)
        for answer in alike.rest():
            await batches.add(*answer)
    return too_large


async def _is_astray(sync: SyncContext, surveyed: Surveyed, store: "_Store") -> bool:
    """Whether the message that came last before a refusal has another unique-id by now, where the server has some."""
    last = store.last
    if last is None or not store.undecided or not surveyed.listed.has_ids or not is_tellable(last.unique_id):
        return False
    unique_id = await sync.told_id(last.number, expected=last.unique_id)
    return unique_id is not None and ledger_key(unique_id) != last.unique_id


def _judge_late(
    surveyed: Surveyed, judge: Judge | None, candidate: Candidate, message: Prepared
) -> str | None:
    """Why a message that proves to be new is not wanted. Where TOP gave no headers, the criteria are judged on the
    message itself."""
    if judge is None or candidate.is_forced:
        return None
    head = surveyed.triaged.heads.get(candidate.number)
    return head.unwanted if head is not None else judge(message.packed.head, message.octets)


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


class _ImportedMeanwhile(Exception):
    """Messages of a batch were imported from a file since it was settled: they have these lines."""

    def __init__(self, lines: Sequence[Known]) -> None:
        super().__init__("imported meanwhile")
        self.lines = lines


class _Store:
    """Commits batches, one behind the other. ``habit``: how the server's sizes fit, with all that came so far.
    ``undecided``: see ``Stored``. ``last``: of those that came.
    """

    def __init__(self, sync: SyncContext, surveyed: Surveyed) -> None:
        self.habit = sync.beginning.learnt.habit
        self.undecided: list[Candidate] = []
        self.last: Candidate | None = None
        self._sync = sync
        self._surveyed = surveyed
        self._announced: astray.Announced | None = None
        self._bodies = copies.Bodies(sync.tools.database, sync.tools.threads, (sync.maildrop.mailbox_id,))

    async def commit(self, outcomes: Sequence[Outcome]) -> None:
        """Commit messages, ledger lines and feed places together, and the progress of the sync.

        Raises SyncCancelled, once that is done, SyncFailed where there is no room any more, LeaseLost and
        StorageFailed.
        """
        sync = self._sync
        batch = await self._settled(outcomes)
        async with stored_ahead(sync, [one.prepared for one in batch.stored if one.prepared]):
            await self._commit(batch, outcomes)

    async def _commit(self, batch: Batch, outcomes: Sequence[Outcome]) -> None:
        sync, findings, matcher = self._sync, self._sync.findings, self._surveyed.matcher
        octets = sum(outcome.prepared.octets for outcome in outcomes if outcome.prepared)
        is_long = len(outcomes) > _FEW_ROWS or octets > _FEW_OCTETS
        while True:
            report = batch.counted_in(findings.report)
            is_more = report.retrieved > findings.report.retrieved
            change = partial(self._change, batch=batch, outcomes=outcomes, is_more=is_more)
            try:
                is_cancelled, places = await sync.lease.write(change, report=report, is_long=is_long)
                break
            except _ImportedMeanwhile as imported:
                matcher.found.update(line.entry_id for line in imported.lines)
                batch = batch.recognised_as(imported.lines)
        batch.remember(matcher, places)
        self.undecided += batch.undecided
        came = [outcome.candidate for outcome in outcomes if outcome.copy is not None]
        self.last = came[-1] if came else self.last
        sync.tools.metrics.retrieved(
            messages=report.retrieved - findings.report.retrieved,
            octets=report.octets - findings.report.octets,
        )
        findings.has_failed |= report.failed > findings.report.failed
        findings.report = report
        sync.tools.wakeups.stored(sync.maildrop.mailbox_id)
        sync.tools.wakeups.syncs_changed.fire(sync.lease.claim.sync_id)
        if is_cancelled:
            raise SyncCancelled

    def _change(
        self, db: Leased, *, batch: Batch, outcomes: Sequence[Outcome], is_more: bool
    ) -> tuple[bool, FeedPlaces]:
        sync = self._sync
        if is_more:
            sync.refuse_without_room(db)
        places = batch.store(db, sync.maildrop)
        # Now nobody else stores until the commit. What an import stored since the batch was settled is no new message.
        contents = [outcome.prepared.fingerprint.content for outcome in batch.stored if outcome.prepared]
        lines = imported_with(db, sync.maildrop, contents=contents)
        if new := [line for line in lines if line.entry_id not in self._surveyed.matcher.found]:
            raise _ImportedMeanwhile(new)
        if any(outcome.unwanted for outcome in outcomes):
            sync.judge_again_if_criteria_changed(db)
        return bool(runs.cancelled_among(db, [sync.lease.claim.sync_id])), places

    async def _settled(self, outcomes: Sequence[Outcome]) -> Batch:
        """What each message proves to be."""
        sync, view, matcher = self._sync, self._surveyed.view, self._surveyed.matcher
        if not view.is_whole:
            contents = [o.prepared.fingerprint.content for o in outcomes if o.prepared]
            question = partial(ledger.missing_with, maildrop=sync.maildrop, contents=contents)
            matcher.add(await sync.lease.read(question))
        outcomes = await self._marked(outcomes)
        batch, self.habit = settle(
            outcomes,
            matcher,
            same_bodies=await self._bodies.same(outcomes, matcher),
            shared=view.diff.shared,
            total=self._surveyed.listed.raw.stat.octets,
            habit=self.habit,
            now=sync.tools.clock(),
        )
        sync.beginning.learnt.fits(self.habit)
        return batch

    async def _marked(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """The outcomes, those with a mark that may be other messages, where the server's sizes tell."""
        if not self.habit.is_exact or all(map(astray.is_exact, outcomes)):
            return outcomes
        if self._announced is None:
            raw, to_retrieve = self._surveyed.listed.raw, self._surveyed.triaged.to_retrieve
            self._announced = await asyncio.to_thread(astray.Announced.of, raw, to_retrieve)
        return astray.marked(outcomes, self._announced)


async def _record_too_large(sync: SyncContext, too_large: Sequence[Candidate]) -> None:
    """Behind all else, for headers are as long as their senders like. Those that may end the session go unread.

    Headers by which a message was judged are asked for once more: kept meanwhile, those of all would fill memory.
    """
    harmless = [candidate for candidate in too_large if candidate.turn is Turn.WITH_OTHERS]
    unread = [candidate for candidate in too_large if candidate.turn is not Turn.WITH_OTHERS]
    if unread:
        make = RowMaker(sync.maildrop, sync.tools.clock())
        await sync.session.confirm()
        await _write(sync, [make.too_large(candidate) for candidate in unread])
    async with blaming(sync, harmless):
        await _keep_heads(sync, harmless)


async def _keep_heads(sync: SyncContext, too_large: Sequence[Candidate]) -> None:
    """Record messages over the limit and their headers, a bounded number at a time as they come."""
    make, threads = RowMaker(sync.maildrop, sync.tools.clock()), sync.tools.threads
    rows: list[Row] = []
    try:
        async for candidate, head in heads_of(sync.session, too_large):
            if len(rows) == _HEADS_PER_CHANGE:
                await _write(sync, rows)
                rows = []
            row = partial(make.too_large, candidate, head=head)
            is_long = head is not None and len(head) > FEW_OCTETS
            rows.append(await threads.call((sync.maildrop.mailbox_id,), row) if is_long else row())
        if rows:
            await sync.session.confirm()
    except pop3.Pop3Error as error:
        if isinstance(error, pop3.ProtocolError | pop3.LimitExceeded):
            rows = rows[:-1]  # where its end was nobody knows
        await _write(sync, rows)
        raise
    await _write(sync, rows)


async def _write(sync: SyncContext, rows: Sequence[Row]) -> None:
    if rows:
        write = partial(ledger.write_entries, rows=rows)
        await sync.lease.write(write, report=sync.findings.report, is_long=True)
