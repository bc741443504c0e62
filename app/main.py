"""``create_app(settings)``: the composition root, the only module that knows all others."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import structlog
from fastapi import FastAPI

from app import __version__, health
from app.access import feature as access
from app.archives import feature as archives
from app.core import Core, Feature
from app.database import Database
from app.database.autocommit import place
from app.database.clock import ASK_EVERY_SECONDS, DatabaseClock
from app.database.locks import WorkerName, shared
from app.database.schema import upgrade
from app.idempotency import feature as idempotency
from app.jobs.bell import Bell
from app.jobs.periodic import Periodic
from app.jobs.wakeups import Wakeups
from app.ledger.keeping import let_go
from app.ledger.repository import adopt_maildrop, begin_maildrop, is_known, judge_again
from app.mailboxes import feature as mailboxes
from app.mailboxes.credentials.keyring import open_vault, seal_old_forms_anew
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.repository import try_refused_again, try_unreadable_again
from app.maildrops import feature as maildrops
from app.messages import feature as messages
from app.messages.repository import feed_id
from app.network.lookups import Lookups
from app.reading.short_work import ShortWork
from app.reading.threads import FairThreads
from app.runs import feature as runs
from app.runs.mailbox_stats import stats_of
from app.runs.repository import backlog, compare_anew, end_syncs
from app.settings import Role, Settings
from app.sync import feature as sync
from app.sync.context import SyncTools
from app.telemetry import Traces
from app.telemetry.metrics import Metrics
from app.web.document import docs_page, openapi
from app.web.errors import problems
from app.web.features import serve
from app.web.front import Front
from app.web.requests.bodies import BodyLimits
from app.web.requests.compression import Compression
from app.web.requests.turns import Turns
from app.web.routing import Router, RouteTable
from app.web.spans import of_requests
from app.worker import feature as workers
from app.worker.runner import SyncRunner

_log = structlog.get_logger()

Clock = Callable[[], datetime]

_SEND_SPANS_WITHIN_SECONDS = 1.0  # at the end, beyond what running work gets


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, clock: Clock = _now, traces: Traces | None = None) -> FastAPI:
    """The whole service for these settings. Its lifespan migrates the database and runs the jobs.

    ``clock`` gives the time, in UTC. ``traces`` are closed at the end.
    """
    traces = traces or Traces()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds mail
    database = Database(settings.effective_database_url, traces=traces, is_pooled=bool(settings.listen_url))
    clock = DatabaseClock(database, own=clock, monotonic=time.monotonic)
    wakeups = Wakeups()
    threads = FairThreads(os.cpu_count() or 1, name="prepare")
    worker_name = None if settings.executor_id or settings.role is Role.API else WorkerName(settings.data_dir)
    worker = worker_name.name if worker_name else settings.executor_id
    lookups = Lookups(
        within=settings.lookup_timeout_seconds, monotonic=time.monotonic, name_servers=settings.name_servers
    )
    vault = open_vault(settings)

    def work_is_due() -> None:
        if not vault.is_closed:
            wakeups.work.fire()

    def sync_is_due() -> None:
        if runner.has_room and not vault.is_closed:
            wakeups.work.fire_here()
        else:
            work_is_due()

    core = Core(
        settings=settings,
        database=database,
        wakeups=wakeups,
        clock=clock,
        monotonic=time.monotonic,
        has_secrets=not vault.is_closed,
        work_is_due=work_is_due,
        sync_is_due=sync_is_due,
        traces=traces,
        metrics=Metrics(),
        short_work=ShortWork(),
    )
    maildrop = maildrops.maildrop(core, vault=vault, lookups=lookups)
    tools = sync.sync_tools(core, maildrop=maildrop, threads=threads)
    runner = workers.runner(core, tools=tools, worker=worker)
    core.metrics.watch_sessions(lambda: runner.under_way)
    features = _features(core, vault, lookups, tools, threads)
    app = FastAPI(
        **openapi.ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would go where the Host header says, and without the key
        lifespan=_lifespan(core, clock, vault, lookups, threads, runner, worker_name),
        telemetry=of_requests(traces),
    )
    for feature in features:
        for router in feature.routers:
            app.router.routes += router.routes  # included ones would be looked through twice
    for feature in features:
        if feature.running is not None:
            app.include_router(Router(lifespan=feature.running))
    serve(app, [feature.serves for feature in features])
    if settings.role is not Role.WORKER:
        docs_page.install(app)
    problems.install(app)
    openapi.install(app)
    app.router.middleware_stack = RouteTable(app.routes, otherwise=app.router.middleware_stack)
    app.state.feed_id = ""  # until the database is open
    app.state.body_limits = BodyLimits(settings.max_body_octets, settings.body_timeout_seconds)
    app.add_middleware(Compression)
    app.add_middleware(
        Front,
        trusted=settings.trusted_proxies,
        per_address=settings.connections_per_address,
        turns=Turns(core.short_work),
        annotate=traces.annotate,
    )
    return app


def _features(
    core: Core, vault: Vault, lookups: Lookups, tools: SyncTools, threads: FairThreads
) -> list[Feature]:
    """Every feature of the service. A worker answers for its health alone."""
    has_api = core.settings.role is not Role.WORKER
    ledger = LedgerOfMailbox(is_known, begin_maildrop, adopt_maildrop, compare_anew, judge_again)
    check = maildrops.connection_check(core, vault=vault, tokens=tools.maildrop.tokens, lookups=lookups)
    features = [health.build(core, backlog=partial(backlog, thresholds=mailboxes.thresholds(core.settings)))]
    if has_api:
        of_mailboxes = mailboxes.build(
            core,
            vault=vault,
            stats_of=stats_of,
            ledger=ledger,
            end_syncs=end_syncs,
            passes_test=check.passes,
        )
        features += [
            # First what is asked for most often: routes are looked for in this order. Archives before the messages:
            # /messages/export is none of their ids.
            archives.build(core, threads=threads, refuse_full=tools.room.refuse_full),
            messages.build(core, let_go=let_go),
            idempotency.build(core),
            of_mailboxes,
            mailboxes.build_batches(core, mailboxes=of_mailboxes, passes=check.passes_new),
            runs.build(core),
            runs.build_overview(core),
            runs.build_batches(core),
            maildrops.build(check),
            maildrops.discovery(core, lookups=lookups),
            sync.build(core, tools=tools),
        ]
    return [*features, access.build(core, has_routes=has_api)]


def _lifespan(
    core: Core,
    clock: DatabaseClock,
    vault: Vault,
    lookups: Lookups,
    threads: FairThreads,
    runner: SyncRunner,
    worker_name: WorkerName | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    settings, database = core.settings, core.database

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with shared(settings.effective_database_url):
            await asyncio.to_thread(upgrade, settings.effective_database_url)
            await clock.ask()
            app.state.feed_id = await database.read(feed_id)
            if not vault.is_closed:
                await _make_secrets_ready(database, vault, clock)
            periodic = Periodic()
            workers.garbage(runner.tools).add_to(periodic)
            if settings.role is not Role.API:
                workers.upkeep(core).add_to(periodic)
                if not vault.is_closed:
                    workers.batch_feeder(core).add_to(periodic)
            if not database.is_sqlite:
                again = ASK_EVERY_SECONDS
                periodic.add("ask_the_time", clock.ask, every_seconds=again, first_after=again)
            bell = None if database.is_sqlite else _bell(core)
            jobs = workers.jobs(core, threads=threads, bell=bell)
            try:
                if bell is not None:
                    bell.start()
                periodic.start()
                if settings.role is not Role.API:
                    jobs.start()
                if settings.role is not Role.API and not vault.is_closed:
                    await runner.start()
                _log.info(
                    "started", version=__version__, role=settings.role.value, without_secrets=vault.is_closed
                )
                yield
            finally:
                await jobs.stop()
                await runner.stop(within_seconds=settings.stop_within_seconds)
                await periodic.stop()
                if bell is not None:
                    await bell.stop()
                await lookups.close()
                threads.close()
                runner.tools.slices.close()
                database.close()
                if worker_name is not None:
                    worker_name.release()
                _log.info("stopped")
                await asyncio.to_thread(core.traces.close, within_seconds=_SEND_SPANS_WITHIN_SECONDS)

    return lifespan


def _bell(core: Core) -> Bell:
    url = core.settings.effective_listen_url
    return Bell(url, core.wakeups, place=partial(core.database.read, place))


async def _make_secrets_ready(database: Database, vault: Vault, clock: Clock) -> None:
    sealed = await seal_old_forms_anew(database, vault)
    told_before = "The stored password cannot be decrypted: was MAILDELTA_SECRET_KEY changed? Set it again."
    again = await database.write(partial(try_unreadable_again, now=clock(), told_before=told_before))
    again += await database.write(partial(try_refused_again, now=clock()))
    if sealed.done or sealed.unreadable or again:
        facts = {"sealed_anew": sealed.done, "unreadable": sealed.unreadable, "tried_again": again}
        _log.info("credentials_looked_through", **facts)
