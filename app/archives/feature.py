"""Mail in files, wired."""

from collections.abc import Callable

from sqlmodel import Session

from app.archives.exporting import Exporter
from app.archives.importing import Importer
from app.archives.routes import ArchiveRoutes, router
from app.core import Core, Feature
from app.mailboxes.models import Mailbox
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.reading.threads import FairThreads
from app.web.requests.bodies import BodyLimits


def build(core: Core, *, threads: FairThreads, refuse_full: Callable[[Session, Mailbox], None]) -> Feature:
    """The routes of exports and imports, which work in these threads.

    ``refuse_full`` raises SyncFailed where there is no room for more mail.
    """
    settings = core.settings
    serves = ArchiveRoutes(
        database=core.database,
        exporter=Exporter(database=core.database, threads=threads, directory=settings.data_dir),
        importer=Importer(
            database=core.database,
            threads=threads,
            wakeups=core.wakeups,
            clock=core.clock,
            indexed=IndexedHeaders(settings.indexed_headers),
            refuse_full=refuse_full,
            directory=settings.data_dir,
            most_octets=settings.max_message_octets,
            most_overall=settings.max_archive_octets,
            most_entries=settings.max_archive_entries,
        ),
        limits=BodyLimits(settings.max_archive_octets, settings.body_timeout_seconds),
        clock=core.clock,
    )
    return Feature(serves=serves, routers=[router])
