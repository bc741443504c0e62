"""``GET /overview``: how all stands."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, Field

from app.access.routes import Within, requires
from app.access.service import Scope
from app.database import Database
from app.mailboxes.finding import HealthAt
from app.mailboxes.health import Thresholds
from app.runs.models import SyncStatus
from app.runs.overview import Overview, overview
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.ids import encode_id
from app.web.routing import Router
from app.web.times import UtcTime


class ByStatus(BaseModel):
    """How many mailboxes there are of each status."""

    active: int = Field(examples=[29], description="Synced.")
    paused: int = Field(examples=[1], description="Not synced, for somebody paused them.")
    auth_failed: int = Field(description="Stopped: the server refuses the login.")
    needs_review: int = Field(description="Stopped: they wait for a decision.")


class ByHealth(BaseModel):
    """How many mailboxes fare how; each of them is counted once."""

    ok: int = Field(examples=[28], description="All is well.")
    failing: int = Field(examples=[1], description="Their syncs fail.")
    stopped: int = Field(description="Not synced until somebody does something.")
    paused: int = Field(examples=[1], description="Not synced, for somebody paused them.")
    stale: int = Field(description="Polled, and not in time.")
    never_synced: int = Field(description="No sync succeeded yet.")


class MailboxTotals(BaseModel):
    """The mailboxes in numbers."""

    total: int = Field(examples=[30], description="All of them.")
    status: ByStatus = Field(description="By status.")
    health: ByHealth = Field(description="By health.")


class SyncTotals(BaseModel):
    """The syncs that have not ended."""

    queued: int = Field(examples=[2], description="They wait for a worker.")
    running: int = Field(examples=[1], description="They run.")


class OverdueMailbox(BaseModel):
    """The mailbox that waits for its sync the longest."""

    mailbox_id: str = Field(examples=["mbx_7"], description="Which one.")
    since: UtcTime = Field(description="Since when it is due.")
    overdue_seconds: float = Field(examples=[1.5], description="Seconds since then.")


class StoredOfLate(BaseModel):
    """What was stored in the last 24 hours; up to ten minutes more are counted."""

    messages: int = Field(examples=[1840], description="How many messages.")
    octets: int = Field(examples=[73400320], description="How many octets of mail.")


class ServerShare(BaseModel):
    """What of its share of syncs a mail server has in use."""

    server: str = Field(
        examples=["pop.example.org"], description="Its host; in private networks with its port."
    )
    running: int = Field(examples=[1], description="Syncs that run there.")
    limit: int = Field(examples=[8], description="How many may; fewer while it does not answer.")


class OverviewAnswer(BaseModel):
    """How all stands."""

    mailboxes: MailboxTotals = Field(description="The mailboxes.")
    syncs: SyncTotals = Field(description="Syncs under way, and those to come.")
    overdue: OverdueMailbox | None = Field(
        description="Who waits for a sync the longest; null: nobody waits."
    )
    stored_24h: StoredOfLate = Field(description="The mail of the last 24 hours.")
    servers: list[ServerShare] = Field(description="The busiest mail servers, 50 at most.")


@dataclass(frozen=True, kw_only=True)
class OverviewRoutes:
    """What the route of the overview works with. ``per_server``: syncs with one server at the same time."""

    database: Database
    thresholds: Thresholds
    per_server: int
    clock: Callable[[], datetime]


Injected = Annotated[OverviewRoutes, Depends(served(OverviewRoutes))]

router = Router(tags=["Health"])


@router.get(
    "/overview",
    dependencies=[requires(Scope.READ)],
    responses=documented() | answered(200, "How all stands."),
    summary="Read how all stands, in numbers",
)
async def get_overview(feature: Injected, reach: Within) -> OverviewAnswer:
    """Mailboxes by status and by health, syncs under way, who waits, what came in a day: of the mailboxes in reach."""
    now = feature.clock()
    read = feature.database.read if reach.is_all else feature.database.search
    found = await read(partial(overview, health=HealthAt(feature.thresholds, now), reach=reach))
    return answer(found, per_server=feature.per_server, now=now)


def answer(found: Overview, *, per_server: int, now: datetime) -> OverviewAnswer:
    """Shape it for the API."""
    statuses, overdue = found.census.statuses, found.overdue
    return OverviewAnswer(
        mailboxes=MailboxTotals(
            total=sum(statuses.values()),
            status=ByStatus(**{status.value: count for status, count in statuses.items()}),
            health=ByHealth(**{state.value: count for state, count in found.census.health.items()}),
        ),
        syncs=SyncTotals(
            queued=found.syncs[SyncStatus.QUEUED],
            running=found.syncs[SyncStatus.RUNNING],
        ),
        overdue=None
        if overdue is None
        else OverdueMailbox(
            mailbox_id=encode_id("mbx", overdue.mailbox_id),
            since=overdue.since,
            overdue_seconds=max(0.0, (now - overdue.since).total_seconds()),
        ),
        stored_24h=StoredOfLate(messages=found.stored.messages, octets=found.stored.octets),
        servers=[
            ServerShare(server=server, running=count, limit=per_server) for server, count in found.running
        ],
    )
