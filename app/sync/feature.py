"""A pass over a maildrop, and the ledger over HTTP, wired: the ledger's routes look into maildrops as a sync does."""

import random
from datetime import timedelta

from app.core import Core, Feature
from app.database.locks import database_file
from app.mailboxes.keeping.quotas import Limit
from app.maildrops.feature import session_limits
from app.maildrops.login import Maildrop
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.runs.admission.server_limits import ServerLimits
from app.settings import Settings
from app.sync.context import SyncTools
from app.sync.ledger_routes import LedgerRoutes, router
from app.sync.listed.listing_budget import ListingBudget
from app.sync.retrieved.batches import MemoryBudget
from app.sync.retrieved.room import Room
from app.web.requests.bodies import BodyLimits


def build(core: Core, *, tools: SyncTools) -> Feature:
    """The routes of the ledger."""
    settings = core.settings
    serves = LedgerRoutes(
        tools=tools,
        sync_is_due=core.sync_is_due,
        clock=core.clock,
        has_secrets=core.has_secrets,
        import_limits=BodyLimits(settings.max_import_octets, settings.body_timeout_seconds),
    )
    return Feature(serves=serves, routers=[router])


def _room(settings: Settings) -> Room:
    """How much may be stored. On PostgreSQL nobody but its server knows how much room there is."""
    file = database_file(settings.effective_database_url)
    return Room(
        overall=Limit(settings.quota_octets or None, settings.quota_messages or None),
        each=Limit(settings.mailbox_quota_octets or None, settings.mailbox_quota_messages or None),
        folder=file.absolute().parent if file else None,
        least_free=settings.least_free_octets,
    )


def sync_tools(core: Core, *, maildrop: Maildrop, threads: FairThreads) -> SyncTools:
    """What all syncs of this process share."""
    settings, forgotten_after = core.settings, core.settings.forget_missing_after_days
    return SyncTools(
        database=core.database,
        maildrop=maildrop,
        threads=threads,
        wakeups=core.wakeups,
        clock=core.clock,
        monotonic=core.monotonic,
        chance=random.random,
        lease_seconds=settings.lease_seconds,
        limits=session_limits(settings),
        batch_messages=settings.batch_messages,
        batch_octets=settings.batch_octets,
        memory=MemoryBudget(settings.unstored_octets),
        slices=Slices(),
        listing_budget=ListingBudget(settings.listing_entries_overall),
        forget_missing_after=timedelta(days=forgotten_after) if forgotten_after else None,
        transcripts=settings.transcripts,
        indexed_headers=IndexedHeaders(settings.indexed_headers),
        metrics=core.metrics,
        traces=core.traces,
        room=_room(core.settings),
        server_limits=ServerLimits(
            settings.effective_syncs_per_host, private=settings.allowed_private_networks
        ),
    )
