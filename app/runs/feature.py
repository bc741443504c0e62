"""The rows of syncs, wired."""

from app.core import Core, Feature
from app.runs.routes import SyncRoutes, router


def build(core: Core) -> Feature:
    """The routes of the syncs."""
    serves = SyncRoutes(
        database=core.database,
        wakeups=core.wakeups,
        work_is_due=core.work_is_due,
        clock=core.clock,
        monotonic=core.monotonic,
        transcripts=core.settings.transcripts,
        has_secrets=core.has_secrets,
        traces=core.traces,
    )
    return Feature(serves=serves, routers=[router])
