"""Running syncs in the background: claims in batches, leases, heartbeats; and the one job the engine knows."""

import asyncio
import contextlib
import contextvars
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlmodel import Session

from app import pop3
from app.database import Database, StorageFailed
from app.jobs.port import Job
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Pace
from app.maildrops import learnt
from app.runs import claims
from app.runs import repository as runs
from app.runs.claims import Limits
from app.runs.errors import LeaseLost
from app.runs.models import SyncId, SyncStatus
from app.runs.repository import Claim
from app.runs.slots import Capacity, WorkerSlot, to_call_back
from app.sync.service import SyncTools, sync_mailbox
from app.worker.clocks import Clocks
from app.worker.removal import remove_some

SYNCS = "syncs"

_DUE_PER_PASS = 500
_HEARTBEATS_PER_LEASE = 6
_FROZEN_PER_LEASE = 3
_FORGET_EVERY = timedelta(hours=1)
_FORGOTTEN_PER_BATCH = 1_000
_GATHER_SECONDS = 0.05
_LOOK_FOR_THE_SLOW_SECONDS = 1.0
_ANY_SERVER = ""
_FROM_THE_FIRST = SyncId(0)

_log = structlog.get_logger()


@dataclass(eq=False)
class SyncRunner:
    """Runs the syncs that this worker claims, many at once, each in a task.

    ``concurrency``: how many here; ``overall``: how many of all workers together (None: no limit); how many with one
    mail server is in ``tools.server_limits``. Servers come in turn, so that none hides another. While others wait, a
    session that hardly moved for ``slow_after_seconds`` gives its place up.

    ``run`` is the body of the job: it claims until nothing is queued and nothing runs. Who asks while a pass is
    under way wakes it, so that a short sync never waits for a long one; a second pass does no more than that.
    """

    database: Database
    tools: SyncTools
    worker: str
    concurrency: int
    lease_seconds: float
    clock: Callable[[], datetime]
    overall: int | None = None
    slow_after_seconds: float = 20.0
    keep_finished: timedelta | None = None
    keep_quiet: timedelta | None = None
    _running: dict[asyncio.Task[None], Claim] = field(default_factory=dict)
    _slots: dict[asyncio.Task[None], WorkerSlot] = field(default_factory=dict)
    _turn: int = 0
    _is_asked: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _passing: bool = False
    _own_pass: asyncio.Task[None] | None = None
    _last_server: str = _ANY_SERVER
    _clocks: Clocks = field(init=False)
    _renewed_at: datetime | None = None
    _forget_at: datetime | None = None
    _forget_behind: SyncId = _FROM_THE_FIRST
    _is_removing: bool = False

    def __post_init__(self) -> None:
        self._clocks = Clocks(self.database, self.lease_seconds)

    @property
    def under_way(self) -> int:
        """How many syncs run here now."""
        return len(self._running)

    def job(self, *, every_seconds: float) -> Job:
        """The job for the engine: passes at least this often, and whenever somebody asks."""
        return Job(
            name=SYNCS,
            run=self.run,
            every_seconds=every_seconds,
            has_work=self.has_work,
            workers=self.workers,
            at_once=2,
        )

    def wake(self) -> bool:
        """Somebody queued a sync or asked for a cancel: look now. False: no pass is under way; start one."""
        self._ask()
        return self._passing

    def look_now(self) -> None:
        """Somebody queued a sync in this very process: it is looked for at once.

        Without a job of the engine, which would cost more than most syncs: the request is a row of our own, and the
        engine's next tick finds it if this process dies.
        """
        if not self.wake():
            # Others' syncs will run in it: not in the context of the request that asked, nor in its span.
            self._own_pass = asyncio.create_task(self._pass_of_our_own(), context=contextvars.Context())

    async def stop(self) -> None:
        """End the pass that was not the engine's, as a cancelled one ends."""
        if self._own_pass is not None:
            self._own_pass.cancel()
            await asyncio.wait([self._own_pass])

    async def take_back(self) -> None:
        """At start: what this worker held when it was killed is queued again, without waiting for its lease."""
        count = await self.database.write(partial(claims.release_worker, worker=self.worker))
        if count:
            _log.info("syncs_resumed", count=count)

    async def has_work(self) -> bool:
        """Whether a pass would find something to do; once an hour a look for what is to be forgotten is due.

        Sees to it, too, that nobody who is frozen or had a wrong clock holds others up.
        """
        if ended := await self.database.end_frozen(idle_seconds=self.lease_seconds / _FROZEN_PER_LEASE):
            _log.warning("frozen_transactions_ended", count=ended)
        await self._clocks.put_right(now=self.clock(), monotonic=self.tools.monotonic())
        if self._may_forget(self.clock()) and not self._passing:  # a pass under way forgets by itself
            return True

        def question(db: Session) -> tuple[bool, bool]:
            return claims.has_work(db, now=self.clock()), bool(mailboxes.removed(db))

        is_work, self._is_removing = await self.database.read(question)
        return is_work or self._is_removing

    async def workers(self) -> set[str]:
        """The workers that hold syncs now, by name."""
        return await self.database.read(partial(claims.workers, now=self.clock()))

    async def run(self) -> None:
        """One pass. Cancelled (the service stops), it queues again what it leaves unfinished."""
        if self.wake():
            return
        self._passing = True
        beside = [asyncio.create_task(self._keep_leases()), asyncio.create_task(self._call_back_the_slow())]
        try:
            while self._is_busy or await self._is_more_to_start() or self._is_asked:
                self._is_asked = False
                self._news.clear()
                await self._cancel_what_was_asked()
                await self._claim_and_start()
                await self._forget_some_finished()
                await self._remove_some()
                if not self._is_busy:
                    break  # what waits, if anything, has no room
                await self._until_there_is_news()
        finally:
            self._passing = False
            for task in beside:
                task.cancel()
            await self._leave()

    async def _pass_of_our_own(self) -> None:
        try:
            await self.run()
        except StorageFailed as error:
            _log.error("syncs_not_claimed", reason=str(error))

    @property
    def _is_busy(self) -> bool:
        return self._is_asked or bool(self._running)

    async def _is_more_to_start(self) -> bool:
        """All have ended. Others may have waited for their places; if that cannot be seen now, the tick looks again."""
        try:
            return await self.database.read(partial(claims.has_work, now=self.clock()))
        except StorageFailed as error:
            _log.warning("pass_ended_without_a_look", reason=str(error))
            return False

    async def _until_there_is_news(self) -> None:
        """Until somebody asks, or all have ended, or some: then a moment more, to fill their places in one go."""
        until = None
        with contextlib.suppress(TimeoutError):
            while self._running and not self._is_asked:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
                self._news.clear()
                until = until or asyncio.get_running_loop().time() + _GATHER_SECONDS

    async def _claim_and_start(self) -> None:
        now = self.clock()
        if (free := self.concurrency - len(self._running)) <= 0:
            return

        limits, lapsed, capacity = self._limits(), self._lapsed(now), self._capacity
        self._turn += 1
        paces = [*Pace][self._turn % len(Pace) :] + [*Pace][: self._turn % len(Pace)]

        def change(db: Session) -> tuple[int, list[Claim], bool]:
            lease = now + timedelta(seconds=self.lease_seconds)
            if lapsed:
                claims.renew(db, lapsed, until=lease)
            due = claims.request_due(db, now=now, limit=_DUE_PER_PASS)
            claimed = claims.claim(
                db,
                worker=self.worker,
                limit=free,
                now=now,
                lease_expires_at=lease,
                limits=limits,
                behind=self._last_server,
                capacity=capacity,
                paces=paces,
            )
            return due, claimed, bool(mailboxes.removed(db))

        due, claimed, self._is_removing = await self.database.write(change, durable=False)
        if due == _DUE_PER_PASS:
            self._ask()  # behind those of one server there may be others'
        self._last_server = claimed[-1].server if len(claimed) == free else _ANY_SERVER
        for claim in claimed:
            slot = WorkerSlot(claim.server, claim.pace, self.tools.server_limits)
            task = asyncio.create_task(self._sync(claim, slot))
            self._running[task], self._slots[task] = claim, slot
            task.add_done_callback(self._ended)
            self.tools.wakeups.syncs_changed.fire(claim.sync_id)

    def _ask(self) -> None:
        self._is_asked = True
        self._news.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._slots.pop(task).leave()
        self._news.set()

    def _lapsed(self, now: datetime) -> list[Claim]:
        """Our own claims, if we were frozen or our clock jumped ahead: by it their leases are over, and we would claim
        them once more, beside ourselves. Who took one over keeps it, for ours has an old token.
        """
        if not self._running or self._renewed_at is None:
            self._renewed_at = now
        if now - self._renewed_at < timedelta(seconds=self.lease_seconds):
            return []
        self._renewed_at = now
        return list(self._running.values())

    def _limits(self) -> Limits:
        servers = self.tools.server_limits
        limits = Limits(per_server=servers.most, lowered=dict(servers.lowered))
        return limits if self.overall is None else replace(limits, overall=self.overall)

    @property
    def _capacity(self) -> Capacity:
        return Capacity(self.concurrency, Counter(slot.pace for slot in self._slots.values()))

    async def _call_back_the_slow(self) -> None:
        """Places are lent for longer only while nobody waits."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_LOOK_FOR_THE_SLOW_SECONDS)
            slow = [
                slot for slot in self._slots.values() if slot.is_slow(now(), seconds=self.slow_after_seconds)
            ]
            if not slow:
                continue
            servers = {slot.server for slot in slow}
            try:
                queue = await self.database.read(partial(claims.waiting, servers=servers, most=len(slow)))
            except StorageFailed as error:
                _log.warning("queue_not_read", reason=str(error))
                continue
            called = to_call_back(slow, queue, self._capacity)
            for slot in called:
                slot.progress.call_back()
            if called:
                _log.info("slow_called_back", count=len(called))

    def _may_forget(self, now: datetime) -> bool:
        return self.keep_finished is not None and (self._forget_at is None or now >= self._forget_at)

    async def _forget_some_finished(self) -> None:
        """One batch, so that nobody waits long; once all is looked at, not again for an hour."""
        now = self.clock()
        if self.keep_finished is None or not self._may_forget(now):
            return
        finished = partial(
            runs.forget_finished,
            before=now - self.keep_finished,
            quiet_before=now - min(self.keep_quiet or self.keep_finished, self.keep_finished),
            after=self._forget_behind,
            limit=_FORGOTTEN_PER_BATCH,
        )

        def question(db: Session) -> SyncId | None:
            learnt.forget_old(db, now=now)
            return finished(db)

        try:
            reached = await self.database.write(question, durable=False)
        except StorageFailed as error:
            _log.warning("syncs_not_forgotten", reason=str(error))
            reached = None
        self._forget_behind = reached or _FROM_THE_FIRST
        if reached is None:
            self._forget_at = now + _FORGET_EVERY
        else:
            self._ask()

    async def _remove_some(self) -> None:
        """One step of removing what belongs to removed mailboxes, so that nobody waits long."""
        if not self._is_removing:
            return
        try:
            if await self.database.write(remove_some, durable=False):
                self._ask()
        except StorageFailed as error:
            _log.warning("mailboxes_not_removed", reason=str(error))

    async def _sync(self, claim: Claim, slot: WorkerSlot) -> None:
        ids = {"mailbox_id": f"mbx_{claim.mailbox_id}", "sync_id": f"syn_{claim.sync_id}"}
        traces = self.tools.traces
        with (
            structlog.contextvars.bound_contextvars(**ids),
            traces.taken_up("sync", claim.traceparent, _facts_of(claim) if traces.is_on else {}),
        ):
            try:
                await sync_mailbox(claim, tools=self.tools, slot=slot)
            except LeaseLost:
                traces.annotate({}, error="lease_lost")
                _log.warning("sync_taken_over")
            except pop3.NotAdmitted:
                traces.annotate({}, error="not_admitted")
                self.tools.server_limits.turn_away(claim.server, slot.turned_away)
                await self._put_back(claim)
            except StorageFailed as error:
                # The completion could not be written either: the lease runs out, and the sync is taken up again.
                traces.annotate({}, error="storage_failed")
                _log.error("sync_unfinished", reason=str(error))
            except asyncio.CancelledError:
                await self._put_back(claim)
                raise
            except Exception:
                traces.annotate({}, error="internal_error")
                _log.exception("sync_broken")
                await self._end_broken(claim)

    async def _put_back(self, claim: Claim) -> None:
        """We were told to stop: the sync ends as cancelled if somebody asked for that, else it is queued again."""
        try:
            status = await self.database.write(partial(runs.leave, claim=claim, now=self.clock()))
            self.tools.wakeups.sync_ended(claim.sync_id)
            if status is SyncStatus.CANCELLED:
                self.tools.metrics.sync_ended(status=status.value, code=None)
        except (LeaseLost, StorageFailed):
            _log.warning("sync_not_put_back")

    async def _end_broken(self, claim: Claim) -> None:
        """An error of ours ends this sync as failed; it must not be claimed again and again."""
        try:
            await self.database.write(partial(runs.fail_broken, claim=claim, now=self.clock()))
            self.tools.wakeups.sync_ended(claim.sync_id)
            self.tools.metrics.sync_ended(status=SyncStatus.FAILED.value, code="internal_error")
        except (LeaseLost, StorageFailed):
            _log.warning("sync_not_ended")

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / _HEARTBEATS_PER_LEASE)
            held = list(self._running.values())
            if not held:
                continue
            now = self.clock()
            until = now + timedelta(seconds=self.lease_seconds)
            try:
                await self.database.write(partial(claims.renew, held=held, until=until), durable=False)
                self._renewed_at = now
                await self._cancel_what_was_asked()
            except StorageFailed as error:
                _log.warning("leases_not_renewed", reason=str(error))

    async def _cancel_what_was_asked(self) -> None:
        ids = [claim.sync_id for claim in self._running.values()]
        if not ids:
            return
        asked: set[SyncId] = await self.database.read(partial(runs.cancelled_among, sync_ids=ids))
        for task, claim in list(self._running.items()):
            if claim.sync_id in asked:
                task.cancel()

    async def _leave(self) -> None:
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _facts_of(claim: Claim) -> dict[str, str | int]:
    """What a trace says of a sync at its beginning."""
    return {
        "maildelta.mailbox.id": f"mbx_{claim.mailbox_id}",
        "maildelta.sync.id": f"syn_{claim.sync_id}",
        "server.address": claim.server,
    }
