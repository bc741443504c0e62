"""Mailboxes, wired."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlmodel import Session

from app.access.service import Caller
from app.core import Core, Feature
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.health import Thresholds
from app.mailboxes.keeping.local_rule import LocalRule
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.many import batch_routes
from app.mailboxes.many.batch import Batch, Passes
from app.mailboxes.many.batch_routes import BatchRoutes
from app.mailboxes.models import EXPIRY_JOB, REMOVAL_JOB, MailboxId
from app.mailboxes.routes import MailboxRoutes, StatsOf, router
from app.mailboxes.schemas import MailboxChange
from app.settings import Settings


def thresholds(settings: Settings) -> Thresholds:
    """From when on mailboxes are failing and stale."""
    return Thresholds(
        failures=settings.failing_after_failures,
        failing_for=timedelta(seconds=settings.failing_after_seconds),
        late_for=timedelta(seconds=settings.stale_after_seconds),
    )


def default_rule(settings: Settings) -> LocalRule | None:
    """For how long contents are kept here of mailboxes that say nothing about it; None: for ever."""
    if not settings.local_retention_days:
        return None
    return LocalRule(settings.local_retention_days, settings.local_retention_keep_headers)


def build(
    core: Core,
    *,
    vault: Vault,
    stats_of: StatsOf,
    ledger: LedgerOfMailbox,
    end_syncs: Callable[[Session, MailboxId], None],
    passes_test: Callable[[MailboxId, MailboxChange, Caller], Awaitable[None]],
) -> Feature:
    """The routes of the mailboxes. What they need of features above them comes as functions."""
    serves = MailboxRoutes(
        database=core.database,
        vault=vault,
        allowed=core.settings.allowed_private_networks,
        ports=core.settings.allowed_ports,
        stats_of=stats_of,
        ledger=ledger,
        end_syncs=end_syncs,
        passes_test=passes_test,
        work_is_due=core.work_is_due,
        removal_is_due=lambda: core.wakeups.jobs.fire(REMOVAL_JOB),
        expiry_is_due=lambda: core.wakeups.jobs.fire(EXPIRY_JOB),
        kept=default_rule(core.settings),
        clock=core.clock,
        thresholds=thresholds(core.settings),
    )
    return Feature(serves=serves, routers=[router])


def build_batches(core: Core, *, mailboxes: Feature, passes: Passes) -> Feature:
    """The routes of many mailboxes at once, beside those of the ``mailboxes``. ``passes`` tries one."""
    assert isinstance(mailboxes.serves, MailboxRoutes)
    batch = Batch(database=core.database, ledger=mailboxes.serves.ledger, passes=passes)
    serves = BatchRoutes(database=core.database, batch=batch, mailboxes=mailboxes.serves)
    return Feature(serves=serves, routers=[batch_routes.router])
