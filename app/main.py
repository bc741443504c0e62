"""``create_app(settings)``: the composition root, the only module that knows all others."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from fastapi import FastAPI

from app import __version__, pop3
from app.access.routes import build_router as access_router
from app.access.service import Gate
from app.database import Database
from app.database.clock import ASK_EVERY_SECONDS, DatabaseClock
from app.database.locks import WorkerName, shared
from app.database.schema import upgrade
from app.health import build_metrics_router
from app.health import build_router as health_router
from app.jobs.bell import Bell
from app.jobs.periodic import Periodic
from app.jobs.wakeups import Wakeups
from app.ledger.repository import begin_maildrop, is_known, judge_again
from app.mailboxes.keyring import open_vault, seal_old_forms_anew
from app.mailboxes.models import MailboxId
from app.mailboxes.repository import try_unreadable_again
from app.mailboxes.routes import build_router as mailboxes_router
from app.mailboxes.secrets import OAuth2, Vault
from app.mailboxes.service import LedgerOfMailbox, replace_oauth2, stored_oauth2
from app.maildrops.connection_check import ConnectionCheck
from app.maildrops.login import Maildrop
from app.maildrops.oauth2 import AccessTokens
from app.maildrops.routes import build_router as check_router
from app.messages.reader import MessageReader
from app.messages.rereading import Rereader
from app.messages.routes import build_router as messages_router
from app.network.lookups import Lookups
from app.reading.memory import AnswerMemory
from app.reading.processes import ReaderProcesses
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.runs.mailbox_stats import stats_of
from app.runs.repository import backlog, compare_anew, end_syncs
from app.runs.routes import build_router as sync_router
from app.runs.server_limits import ServerLimits
from app.settings import Role, Settings
from app.sync.batches import MemoryBudget
from app.sync.ledger_routes import build_router as ledger_router
from app.sync.listing_budget import ListingBudget
from app.sync.service import SyncTools
from app.telemetry import Traces
from app.telemetry.metrics import Backlog
from app.web import docs_page, openapi, problems
from app.web.bodies import BodyLimits
from app.web.front import Front
from app.web.rates import Rate
from app.web.spans import of_requests
from app.worker.runner import SyncRunner
from app.worker.upkeep import Upkeep

_log = structlog.get_logger()

Clock = Callable[[], datetime]

# Letters that are read for people at the same time, in threads and again in processes: memory is what bounds them.
_READERS = 2
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
    runner = _runner(settings, database, vault, lookups, threads, wakeups, worker, clock, traces)

    def work_is_due() -> None:
        if not vault.is_closed:
            wakeups.work.fire()

    async def is_ready() -> None:
        await database.read(lambda db: db.connection().exec_driver_sql("SELECT last_seq FROM feed").one())

    async def read_backlog() -> Backlog:
        return await database.read(lambda db: backlog(db, now=clock()))

    gate = Gate(
        database=database,
        first_key=settings.first_api_key(),
        wrong_keys=Rate(settings.wrong_keys_per_minute),
        requests=Rate(settings.requests_per_minute),
        waiting=settings.waiting_requests_per_key,
        monotonic=time.monotonic,
    )
    app = FastAPI(
        **openapi.ABOUT,
        version=__version__,
        generate_unique_id_function=openapi.operation_id,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would go where the Host header says, and without the key
        lifespan=_lifespan(settings, database, vault, clock, lookups, threads, runner, worker_name),
        telemetry=of_requests(traces),
        responses={500: {"model": problems.Problem, "description": "An error of ours."}},
    )
    app.include_router(health_router(is_ready=is_ready, has_secrets=not vault.is_closed))
    runner.tools.metrics.watch_sessions(lambda: runner.under_way)
    app.include_router(
        build_metrics_router(
            metrics=runner.tools.metrics, gate=gate, read_backlog=read_backlog, monotonic=time.monotonic
        )
    )
    if settings.role is not Role.WORKER:
        _add_api(app, settings, gate, database, vault, lookups, wakeups, work_is_due, runner.tools, clock)
    problems.install(app)
    openapi.install(app)
    app.state.body_limits = BodyLimits(settings.max_body_octets, settings.body_timeout_seconds)
    app.add_middleware(Front, trusted=settings.trusted_proxies, per_address=settings.connections_per_address)
    return app


def _add_api(
    app: FastAPI,
    settings: Settings,
    gate: Gate,
    database: Database,
    vault: Vault,
    lookups: Lookups,
    wakeups: Wakeups,
    work_is_due: Callable[[], None],
    tools: SyncTools,
    clock: Clock,
) -> None:
    check = ConnectionCheck(
        database=database,
        vault=vault,
        tokens=tools.maildrop.tokens,
        allowed=settings.allowed_private_networks,
        ports=settings.allowed_ports,
        lookups=lookups,
        limits=tools.limits,
        clock=clock,
        monotonic=time.monotonic,
    )
    app.include_router(
        mailboxes_router(
            database=database,
            gate=gate,
            vault=vault,
            allowed=settings.allowed_private_networks,
            ports=settings.allowed_ports,
            stats_of=stats_of,
            ledger=LedgerOfMailbox(is_known, begin_maildrop, compare_anew, judge_again),
            end_syncs=end_syncs,
            passes_test=check.passes,
            work_is_due=work_is_due,
            clock=clock,
        )
    )
    app.include_router(
        sync_router(
            database=database,
            gate=gate,
            wakeups=wakeups,
            work_is_due=work_is_due,
            clock=clock,
            monotonic=time.monotonic,
            transcripts=settings.transcripts,
            has_secrets=not vault.is_closed,
            traces=tools.traces,
        )
    )
    app.include_router(check_router(gate=gate, check=check))
    app.include_router(
        ledger_router(
            gate=gate,
            tools=tools,
            work_is_due=work_is_due,
            clock=clock,
            import_limits=BodyLimits(settings.max_import_octets, settings.body_timeout_seconds),
        )
    )
    letters = MessageReader(
        database=database,
        threads=FairThreads(_READERS, name="read"),
        processes=ReaderProcesses(_READERS),
        memory=AnswerMemory(settings.answer_octets),
    )
    tools.metrics.watch_reading(
        processes=lambda: letters.processes.count,
        octets=lambda: letters.memory.held_octets,
        refused=lambda: letters.refused,
    )
    app.include_router(
        messages_router(
            database=database,
            gate=gate,
            letters=letters,
            messages_stored=wakeups.messages_stored,
            monotonic=time.monotonic,
        )
    )
    app.include_router(access_router(database=database, gate=gate, clock=clock))
    docs_page.install(app)


def _runner(
    settings: Settings,
    database: Database,
    vault: Vault,
    lookups: Lookups,
    threads: FairThreads,
    wakeups: Wakeups,
    worker: str,
    clock: Clock,
    traces: Traces,
) -> SyncRunner:
    limits = pop3.Limits(
        message_octets=settings.max_message_octets,
        listing_entries=settings.max_listing_entries,
        connect_timeout=settings.connect_timeout_seconds,
        reply_timeout=settings.reply_timeout_seconds,
        silence=settings.silence_seconds,
        session_timeout=settings.session_timeout_seconds,
    )
    tools = SyncTools(
        database=database,
        maildrop=Maildrop(
            vault=vault,
            allowed=settings.allowed_private_networks,
            ports=settings.allowed_ports,
            lookups=lookups,
            limits=limits,
            tokens=_tokens(settings, database, lookups, vault),
            monotonic=time.monotonic,
            traces=traces,
        ),
        threads=threads,
        wakeups=wakeups,
        clock=clock,
        monotonic=time.monotonic,
        chance=random.random,
        lease_seconds=settings.lease_seconds,
        limits=limits,
        batch_messages=settings.batch_messages,
        batch_octets=settings.batch_octets,
        memory=MemoryBudget(settings.unstored_octets),
        slices=Slices(),
        listing_budget=ListingBudget(settings.listing_entries_overall),
        forget_missing_after=timedelta(days=days) if (days := settings.forget_missing_after_days) else None,
        transcripts=settings.transcripts,
        traces=traces,
        server_limits=ServerLimits(
            settings.effective_syncs_per_host, private=settings.allowed_private_networks
        ),
    )
    return SyncRunner(
        database=database,
        tools=tools,
        worker=worker,
        concurrency=settings.sync_concurrency,
        lease_seconds=settings.lease_seconds,
        tick_seconds=settings.tick_seconds,
        clock=clock,
        overall=settings.syncs_overall or None,
        slow_after_seconds=settings.slow_after_seconds,
    )


def _upkeep(settings: Settings, database: Database, clock: Clock) -> Upkeep:
    return Upkeep(
        database=database,
        clock=clock,
        lease_seconds=settings.lease_seconds,
        tick_seconds=settings.tick_seconds,
        keep_finished=timedelta(days=days) if (days := settings.finished_syncs_days) else None,
        keep_quiet=timedelta(days=days) if (days := settings.quiet_polls_days) else None,
    )


def _tokens(settings: Settings, database: Database, lookups: Lookups, vault: Vault) -> AccessTokens:
    async def keep(mailbox_id: MailboxId, old: OAuth2, new: OAuth2) -> None:
        await database.write(lambda db: replace_oauth2(db, mailbox_id, old=old, new=new, vault=vault))

    async def stored(mailbox_id: MailboxId) -> OAuth2 | None:
        return await database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault))

    return AccessTokens(
        allowed=settings.allowed_private_networks,
        ports=settings.allowed_ports,
        lookups=lookups,
        keep=keep,
        stored=stored,
        monotonic=time.monotonic,
    )


async def _reread(settings: Settings, database: Database, threads: FairThreads) -> None:
    """In the background, where work is done, and where a mistake of ours must stop nothing else."""
    if settings.role is Role.API:
        return
    try:
        await Rereader(database=database, threads=threads, monotonic=time.monotonic).follow()
    except Exception:
        _log.exception("rereading_failed")


def _lifespan(
    settings: Settings,
    database: Database,
    vault: Vault,
    clock: DatabaseClock,
    lookups: Lookups,
    threads: FairThreads,
    runner: SyncRunner,
    worker_name: WorkerName | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with shared(settings.effective_database_url):
            await asyncio.to_thread(upgrade, settings.effective_database_url)
            await clock.ask()
            if not vault.is_closed:
                await _make_secrets_ready(database, vault, clock)
            periodic = Periodic()
            if settings.role is not Role.API:
                _upkeep(settings, database, clock).add_to(periodic)
            if not database.is_sqlite:
                periodic.add("ask_the_time", clock.ask, every_seconds=ASK_EVERY_SECONDS)
            bell = None if database.is_sqlite else Bell(settings.effective_listen_url, runner.tools.wakeups)
            rereading = asyncio.create_task(_reread(settings, database, threads))
            try:
                if bell is not None:
                    bell.start()
                periodic.start()
                if settings.role is not Role.API and not vault.is_closed:
                    await runner.start()
                _log.info(
                    "started", version=__version__, role=settings.role.value, without_secrets=vault.is_closed
                )
                yield
            finally:
                rereading.cancel()
                await asyncio.wait([rereading])
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
                await asyncio.to_thread(runner.tools.traces.close, within_seconds=_SEND_SPANS_WITHIN_SECONDS)

    return lifespan


async def _make_secrets_ready(database: Database, vault: Vault, clock: Clock) -> None:
    sealed = await seal_old_forms_anew(database, vault)
    told_before = "The stored password cannot be decrypted: was MAILDELTA_SECRET_KEY changed? Set it again."
    again = await database.write(partial(try_unreadable_again, now=clock(), told_before=told_before))
    if sealed.done or sealed.unreadable or again:
        facts = {"sealed_anew": sealed.done, "unreadable": sealed.unreadable, "tried_again": again}
        _log.info("credentials_looked_through", **facts)
