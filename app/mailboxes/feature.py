"""Mailboxes, wired."""

from collections.abc import Awaitable, Callable

from sqlmodel import Session

from app.access.reach import Reach
from app.core import Core, Feature
from app.mailboxes.models import REMOVAL_JOB, MailboxId
from app.mailboxes.routes import MailboxRoutes, StatsOf, router
from app.mailboxes.schemas import MailboxChange
from app.mailboxes.secrets import Vault
from app.mailboxes.service import LedgerOfMailbox


def build(
    core: Core,
    *,
    vault: Vault,
    stats_of: StatsOf,
    ledger: LedgerOfMailbox,
    end_syncs: Callable[[Session, MailboxId], None],
    passes_test: Callable[[MailboxId, MailboxChange, Reach], Awaitable[None]],
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
        clock=core.clock,
    )
    return Feature(serves=serves, routers=[router])
