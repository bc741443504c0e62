"""What the steps of a sync work with: the tools of all syncs, the context of one, and what it has found so far."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from app import pop3
from app.database import Database
from app.jobs.wakeups import Wakeups
from app.ledger import repository as ledger
from app.ledger.beginnings import Beginning
from app.ledger.lines import MaildropId
from app.ledger.listing_view import ListingView
from app.ledger.matching import Matcher
from app.ledger.models import Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import InitialSync, Mailbox
from app.maildrops.causes.steps import Stage
from app.maildrops.login import Maildrop
from app.messages.indexed.indexed_headers import NO_HEADERS, IndexedHeaders
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.runs.admission.server_limits import ServerLimits
from app.runs.errors import LeaseLost
from app.runs.lease import Lease
from app.runs.schemas import Report
from app.sync.listed.listing import Listed, most_entries, with_every_id
from app.sync.listed.listing_budget import ListingBudget, ListingShare
from app.sync.listed.triage import Triaged
from app.sync.retrieved.batches import MemoryBudget
from app.sync.retrieved.room import Room
from app.telemetry import Traces
from app.telemetry.metrics import Metrics


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
    indexed_headers: IndexedHeaders = NO_HEADERS
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    room: Room = field(default_factory=Room)
    server_limits: ServerLimits = field(default_factory=lambda: ServerLimits(1))
    slices: Slices = field(default_factory=Slices)
    rows_per_change: int = ledger.ROWS_PER_CHANGE
    rows_per_read: int = ledger.ROWS_PER_READ
    listing_budget: ListingBudget = field(default_factory=lambda: ListingBudget(1_000_000))


@dataclass(slots=True)
class Findings:
    """What a sync has to tell, however it ends: the completion is written from this.

    Steps add to it. What one step needs of another is handed on as a value.

    ``columns``: those of the mailbox that have new values and are not written yet. ``login_delay``: seconds that the
    server wants between two logins; ``logged_in_at``: when the login was accepted. ``stage``: how far the session came.
    ``has_moved``: most of what was known is not shown any more. ``has_failed``: a message failed that is tried again.
    ``before``: the report of a session that died before this one.
    """

    started: datetime
    transcript: pop3.Transcript | None = None
    report: Report = field(default_factory=Report)
    stage: Stage = field(default_factory=Stage)
    columns: dict[str, Any] = field(default_factory=dict)
    login_delay: int = 0
    logged_in_at: datetime | None = None
    has_moved: bool = False
    has_failed: bool = False
    before: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncContext:
    """One sync in its session."""

    tools: SyncTools
    lease: Lease
    findings: Findings
    beginning: Beginning
    share: ListingShare
    session: pop3.Pop3Session

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox as it was when the sync began."""
        return self.beginning.mailbox

    @property
    def maildrop(self) -> MaildropId:
        """The maildrop that the mailbox had then."""
        return MaildropId(self.lease.claim.mailbox_id, self.mailbox.generation)

    @property
    def most_entries(self) -> int:
        """How long its listing may be."""
        return most_entries(self.mailbox.listed_entries, self.tools.limits)

    async def with_every_id(self, raw: pop3.RawListing) -> pop3.Listing:
        """The listing; where the server gives no unique-ids to some messages they have one of ours."""
        return await with_every_id(
            self.session,
            raw,
            most_entries=self.most_entries,
            slices=self.tools.slices,
            of_unread=self.of_unread,
        )

    async def of_unread(self, ids: Collection[bytes]) -> Collection[bytes]:
        """Of ids for messages that cannot be read those of the baseline: all, where it is taken now."""
        if self.takes_baseline:
            return ids
        asked = partial(ledger.read_part, maildrop=self.maildrop, ids=ids)
        lines = await self.tools.database.read(asked)
        return {line.unique_id for line in lines if not line.is_missing}

    async def told_id(self, number: int, *, expected: bytes) -> bytes | None:
        """UIDL of one message; None where it was found before that this tells nothing. Raises ArgumentIgnored, and the
        next session does not ask."""
        learnt = self.beginning.learnt
        if not learnt.tells_single_ids:
            return None
        try:
            return await self.session.unique_id(number, expected=expected)
        except pop3.ArgumentIgnored:
            learnt.tells_no_single_ids()
            raise

    @property
    def takes_baseline(self) -> bool:
        """Whether this listing shows what is known from the start, and never retrieved."""
        return self.mailbox.listed_at is None and self.mailbox.initial_sync == InitialSync.FROM_NOW

    def mailbox_now(self, db: Session) -> Mailbox:
        """The mailbox as it is by now. Raises LeaseLost where there is none."""
        row = mailboxes.snapshot(db, self.maildrop.mailbox_id)
        if row is None:
            raise LeaseLost
        return row

    def refuse_without_room(self, db: Session) -> None:
        """Raises SyncFailed where nothing more may be stored, by what the mailbox and the settings say now."""
        self.tools.room.refuse_full(db, self.mailbox_now(db))

    def judge_again_if_criteria_changed(self, db: Leased) -> None:
        """Have what was judged by criteria that are no longer the mailbox's judged again."""
        if self.mailbox_now(db).criteria != self.mailbox.criteria:
            ledger.judge_again(db, self.maildrop.mailbox_id, self.tools.clock())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of a step in the report, and trace it."""
        phases, started = self.findings.report.phases, self.tools.monotonic()
        try:
            with self.tools.traces.span(f"sync {name}"):
                yield
        finally:
            took = round((self.tools.monotonic() - started) * 1000)
            phases[name] = phases.get(name, 0) + took


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a maildrop shows, and what of it is to be retrieved."""

    listed: Listed
    view: ListingView
    matcher: Matcher
    triaged: Triaged
