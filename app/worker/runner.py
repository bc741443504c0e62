"""Running syncs: claims in batches, leases, heartbeats. The durable request for a sync is its row."""

import asyncio
import contextlib
import contextvars
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from app import pop3
from app.database import Database, StorageFailed
from app.jobs.periodic import Periodic
from app.ledger.beginnings import Beginning
from app.mailboxes.models import Pace
from app.reading.short_work import ShortWork
from app.runs import claims
from app.runs import repository as runs
from app.runs.admission.long_work import LongWork
from app.runs.admission.slots import Capacity, WorkerSlot, to_call_back
from app.runs.claims import Limits
from app.runs.errors import LeaseLost
from app.runs.models import SyncId, SyncStatus
from app.runs.repository import Claim
from app.sync.context import SyncTools
from app.sync.service import sync_mailbox
from app.worker.claiming import DUE_PER_CLAIM, Claiming

_HEARTBEATS_PER_LEASE = 6
_GATHER_SECONDS = 0.05
_LOOK_FOR_THE_SLOW_SECONDS = 1.0
_UNWIND_SECONDS = 2.0
_ANY_SERVER = ""

_log = structlog.get_logger()


@dataclass(eq=False)
class SyncRunner:
    """Runs the syncs that this worker claims, many at once, each in a task.

    ``concurrency``: how many here; ``overall``: how many of all workers together (None: no limit); how many with one
    mail server is in ``tools.server_limits``. Servers come in turn, so that none hides another. While others wait, a
    session that hardly moved for ``slow_after_seconds`` gives its place up.

    It claims when somebody asks, when places became free, and when a look every ``tick_seconds`` finds work that
    nobody asked for: what is due, and what a worker that died has left.
    """

    database: Database
    tools: SyncTools
    worker: str
    concurrency: int
    lease_seconds: float
    tick_seconds: float
    clock: Callable[[], datetime]
    overall: int | None = None
    slow_after_seconds: float = 20.0
    short_work: ShortWork = field(default_factory=ShortWork)
    _running: dict[asyncio.Task[None], Claim] = field(default_factory=dict)
    _slots: dict[asyncio.Task[None], WorkerSlot] = field(default_factory=dict)
    _turn: int = 0
    _is_asked: bool = True  # at start, for what was left behind
    _have_ended: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _beside: Periodic = field(default_factory=Periodic)
    _claiming: asyncio.Task[None] | None = None
    _is_stopping: bool = False
    _last_server: str = _ANY_SERVER
    _renewed_at: datetime | None = None
    _long_work: LongWork = field(init=False)

    def __post_init__(self) -> None:
        self._long_work = LongWork(time.monotonic, self.short_work)

    @property
    def under_way(self) -> int:
        """How many syncs run here now."""
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether it runs, and takes up what is asked for next: half of its places are free, some of each pace."""
        return self._claiming is not None and not self._is_stopping and 2 * self.under_way < self.concurrency

    async def start(self) -> None:
        """Take up the work. What this worker held when it was killed is queued again first, before its lease ends."""
        count = await self.database.write(partial(claims.release_worker, worker=self.worker))
        if count:
            _log.info("syncs_resumed", count=count)
        self._beside.add(
            "keep_leases", self._keep_leases, every_seconds=self.lease_seconds / _HEARTBEATS_PER_LEASE
        )
        self._beside.add(
            "call_back_the_slow", self._call_back_the_slow, every_seconds=_LOOK_FOR_THE_SLOW_SECONDS
        )
        self._beside.start()
        self.tools.wakeups.work.subscribe(lambda _about: self._ask())
        # Not in the context of whoever starts it, nor in its span.
        self._claiming = asyncio.create_task(self._claim_and_wait(), context=contextvars.Context())

    async def stop(self, *, within_seconds: float) -> None:
        """Claim no more, give the syncs under way so many seconds, and queue again what has not ended then."""
        if self._claiming is None:
            return
        self._is_stopping = True
        self._news.set()
        await asyncio.wait({self._claiming, asyncio.create_task(self._all_ended())}, timeout=within_seconds)
        late = {self._claiming, *self._running}
        if self._running:
            _log.warning("syncs_interrupted", count=len(self._running))
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=_UNWIND_SECONDS)
        await self._beside.stop()

    async def _all_ended(self) -> None:
        assert self._claiming is not None
        await asyncio.wait([self._claiming])
        while self._running:
            await asyncio.wait(self._running)

    async def _claim_and_wait(self) -> None:
        while not self._is_stopping:
            was_asked, self._is_asked = self._is_asked, False
            have_ended, self._have_ended = self._have_ended, False
            try:
                # While many run, others mostly wait for their places. Who asks has mostly queued something: a look of
                # its own would be one more turn of a thread. Else it is cheaper than a claim.
                has_places = have_ended and bool(self._running)
                if has_places or was_asked or await self._is_work():
                    await self._claim_and_start(was_asked=was_asked)
            except StorageFailed as error:
                _log.warning("syncs_not_claimed", reason=str(error))
            except Exception:
                _log.exception("syncs_not_claimed")
            await self._until_there_is_news()

    async def _is_work(self) -> bool:
        return await self.database.read(partial(claims.has_work, now=self.clock()))

    async def _until_there_is_news(self) -> None:
        """Until somebody asks, or a tick; or until all have ended, or some: then a moment more, to fill their places in
        one go."""
        now = asyncio.get_running_loop().time
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.tick_seconds) as limit:
                while not (self._is_asked or self._is_stopping):
                    await self._news.wait()
                    self._news.clear()
                    if not self._running:
                        return
                    limit.reschedule(min(limit.when() or 0.0, now() + _GATHER_SECONDS))

    async def _claim_and_start(self, *, was_asked: bool) -> None:
        """``was_asked``: it may have been for a cancel."""
        now, running = self.clock(), [claim.sync_id for claim in self._running.values()]
        if (free := self.concurrency - len(running)) <= 0:
            if was_asked:
                await self._cancel_what_was_asked()
            return
        self._turn += 1
        claiming = Claiming(
            worker=self.worker,
            now=now,
            lease_seconds=self.lease_seconds,
            free=free,
            limits=self._limits(),
            behind=self._last_server,
            capacity=self._capacity,
            paces=[*Pace][self._turn % len(Pace) :] + [*Pace][: self._turn % len(Pace)],
            lapsed=self._lapsed(now),
            watched=running if was_asked else [],
        )
        taken = await self.database.write(claiming, durable=False)
        if taken.due == DUE_PER_CLAIM:
            self._ask()  # behind those of one server there may be others'
        self._last_server = taken.claims[-1].server if len(taken.claims) == free else _ANY_SERVER
        for claim in taken.claims:
            self._start(claim, taken.begun.get(claim.mailbox_id))
        self._cancel(taken.cancelled)

    def _start(self, claim: Claim, begun: Beginning | None) -> None:
        work = self._long_work.begin()
        progress = pop3.Progress(rest=work.came)
        slot = WorkerSlot(claim.server, claim.pace, self.tools.server_limits, progress, work)
        task = asyncio.create_task(self._sync(claim, slot, begun))
        self._running[task], self._slots[task] = claim, slot
        task.add_done_callback(self._ended)
        self.tools.wakeups.syncs_changed.fire(claim.sync_id)

    def _ask(self) -> None:
        self._is_asked = True
        self._news.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        slot = self._slots.pop(task)
        slot.leave()
        slot.work.end()
        self._have_ended = True
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
        now = asyncio.get_running_loop().time()
        slots = list(self._slots.values())
        slow = [slot for slot in slots if slot.is_slow(now, seconds=self.slow_after_seconds)]
        if not slow:
            return
        servers = {slot.server for slot in slow}
        queue = await self.database.read(partial(claims.waiting, servers=servers, most=len(slow)))
        called = to_call_back(slow, queue, self._capacity)
        for slot in called:
            slot.progress.call_back()
        if called:
            _log.info("slow_called_back", count=len(called))

    async def _sync(self, claim: Claim, slot: WorkerSlot, begun: Beginning | None) -> None:
        ids = {"mailbox_id": f"mbx_{claim.mailbox_id}", "sync_id": f"syn_{claim.sync_id}"}
        traces = self.tools.traces
        with (
            structlog.contextvars.bound_contextvars(**ids),
            traces.taken_up("sync", claim.traceparent, _facts_of(claim) if traces.is_on else {}),
        ):
            try:
                await sync_mailbox(claim, tools=self.tools, slot=slot, begun=begun)
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
        held = list(self._running.values())
        if not held:
            return
        now = self.clock()
        until = now + timedelta(seconds=self.lease_seconds)
        await self.database.write(partial(claims.renew, held=held, until=until), durable=False)
        self._renewed_at = now
        await self._cancel_what_was_asked()

    async def _cancel_what_was_asked(self) -> None:
        ids = [claim.sync_id for claim in self._running.values()]
        if not ids:
            return
        self._cancel(await self.database.read(partial(runs.cancelled_among, sync_ids=ids)))

    def _cancel(self, asked: Collection[SyncId]) -> None:
        if not asked:
            return
        for task, claim in list(self._running.items()):
            if claim.sync_id in asked:
                task.cancel()


def _facts_of(claim: Claim) -> dict[str, str | int]:
    """What a trace says of a sync at its beginning."""
    return {
        "maildelta.mailbox.id": f"mbx_{claim.mailbox_id}",
        "maildelta.sync.id": f"syn_{claim.sync_id}",
        "server.address": claim.server,
    }
