"""The rows of syncs, wired."""

from app.core import Core, Feature
from app.mailboxes.feature import thresholds
from app.runs import overview_routes
from app.runs.many import batch_routes
from app.runs.many.batch_routes import SyncBatchRoutes
from app.runs.overview_routes import OverviewRoutes
from app.runs.routes import SyncRoutes, router


def build(core: Core) -> Feature:
    """The routes of the syncs."""
    serves = SyncRoutes(
        database=core.database,
        wakeups=core.wakeups,
        work_is_due=core.work_is_due,
        sync_is_due=core.sync_is_due,
        clock=core.clock,
        monotonic=core.monotonic,
        transcripts=core.settings.transcripts,
        has_secrets=core.has_secrets,
        traces=core.traces,
    )
    return Feature(serves=serves, routers=[router])


def build_overview(core: Core) -> Feature:
    """The route of the overview."""
    serves = OverviewRoutes(
        database=core.database,
        thresholds=thresholds(core.settings),
        per_server=core.settings.effective_syncs_per_host,
        clock=core.clock,
    )
    return Feature(serves=serves, routers=[overview_routes.router])


def build_batches(core: Core) -> Feature:
    """The routes of batches of syncs."""
    serves = SyncBatchRoutes(
        database=core.database,
        work_is_due=core.work_is_due,
        clock=core.clock,
        thresholds=thresholds(core.settings),
        has_secrets=core.has_secrets,
        traces=core.traces,
    )
    return Feature(serves=serves, routers=[batch_routes.router])
