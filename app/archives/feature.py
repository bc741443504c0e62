"""Mail in files, wired."""

from app.archives.exporting import Exporter
from app.archives.routes import ArchiveRoutes, router
from app.core import Core, Feature
from app.reading.threads import FairThreads


def build(core: Core, *, threads: FairThreads) -> Feature:
    """The routes of exports and imports, which work in these threads."""
    serves = ArchiveRoutes(
        database=core.database,
        exporter=Exporter(database=core.database, threads=threads),
        clock=core.clock,
    )
    return Feature(serves=serves, routers=[router])
