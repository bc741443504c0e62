"""What a worker does, wired."""

from datetime import timedelta

from app.core import Core
from app.sync.service import SyncTools
from app.worker.runner import SyncRunner
from app.worker.upkeep import Upkeep


def runner(core: Core, *, tools: SyncTools, worker: str) -> SyncRunner:
    """Runs syncs, under this worker's name."""
    settings = core.settings
    return SyncRunner(
        database=core.database,
        tools=tools,
        worker=worker,
        concurrency=settings.sync_concurrency,
        lease_seconds=settings.lease_seconds,
        tick_seconds=settings.tick_seconds,
        clock=core.clock,
        overall=settings.syncs_overall or None,
        slow_after_seconds=settings.slow_after_seconds,
    )


def upkeep(core: Core) -> Upkeep:
    """Sees to what other workers and wrong clocks leave, and to what is to be forgotten."""
    settings = core.settings
    return Upkeep(
        database=core.database,
        clock=core.clock,
        lease_seconds=settings.lease_seconds,
        tick_seconds=settings.tick_seconds,
        keep_finished=timedelta(days=days) if (days := settings.finished_syncs_days) else None,
        keep_quiet=timedelta(days=days) if (days := settings.quiet_polls_days) else None,
    )
