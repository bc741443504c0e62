"""What a worker does, wired."""

from datetime import timedelta

from app.core import Core
from app.jobs.bell import Bell
from app.jobs.engine import PgQueuerEngine
from app.jobs.port import JobEngine
from app.mailboxes.feature import default_rule, thresholds
from app.messages.header_indexing import HeaderIndexer
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.messages.rereading import Rereader
from app.reading.threads import FairThreads
from app.sync.context import SyncTools
from app.worker.batches import BatchFeeder
from app.worker.counting import counting
from app.worker.expiry import SteadyClock, expiring
from app.worker.forgetting import forgetting
from app.worker.garbage import Garbage
from app.worker.removal import removal
from app.worker.runner import SyncRunner
from app.worker.upkeep import Upkeep
from app.worker.vacuuming import vacuuming

_MUCH_HELD = 20_000  # entries of listings


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
        short_work=core.short_work,
    )


def upkeep(core: Core) -> Upkeep:
    """Sees to what other workers and wrong clocks leave."""
    return Upkeep(database=core.database, clock=core.clock, lease_seconds=core.settings.lease_seconds)


def garbage(tools: SyncTools) -> Garbage:
    """Has garbage looked for while no long listings are held."""
    return Garbage(is_much_held=lambda: tools.listing_budget.held > _MUCH_HELD)


def batch_feeder(core: Core) -> BatchFeeder:
    """Sees to it that batches of syncs go on."""
    return BatchFeeder(
        database=core.database,
        work_is_due=core.work_is_due,
        clock=core.clock,
        thresholds=thresholds(core.settings),
    )


def jobs(core: Core, *, threads: FairThreads, bell: Bell | None) -> JobEngine:
    """Runs what runs in the background."""
    settings = core.settings
    forget = forgetting(
        core.database,
        clock=core.clock,
        keep_finished=timedelta(days=days) if (days := settings.finished_syncs_days) else None,
        keep_quiet=timedelta(days=days) if (days := settings.quiet_polls_days) else None,
        keep_audit=timedelta(days=days) if (days := settings.audit_days) else None,
    )
    reread = Rereader(database=core.database, threads=threads, monotonic=core.monotonic).job()
    index = HeaderIndexer(
        database=core.database,
        threads=threads,
        indexed=IndexedHeaders(settings.indexed_headers),
        monotonic=core.monotonic,
    )
    url = None if core.database.is_sqlite else settings.effective_database_url
    steady = SteadyClock(core.clock, core.monotonic, seconds=settings.steady_clock_seconds)
    expire = expiring(core.database, clock=steady, default=default_rule(settings))
    runs = [
        reread,
        index.job(),
        removal(core.database),
        forget,
        counting(core.database),
        expire,
        vacuuming(core.database),
    ]
    return PgQueuerEngine(runs, core.wakeups, url=url, bell=bell)
