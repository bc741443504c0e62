"""The feed and the messages, wired."""

from app.core import Core, Feature
from app.messages import download_routes
from app.messages.composing import Composer
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.messages.injected import LetGo, MessageRoutes
from app.messages.letters.forms import Forms
from app.messages.letters.reader import MessageReader
from app.messages.many import bulk_routes
from app.messages.pages.waiting import Feed
from app.messages.rereading import Rereader
from app.messages.routes import router
from app.reading.memory import AnswerMemory
from app.reading.processes import ReaderProcesses
from app.reading.threads import FairThreads

# Letters that are read for people at the same time, in threads and again in processes: memory is what bounds them.
_READERS = 2


def build(core: Core, *, let_go: LetGo) -> Feature:
    """The routes of the messages, with threads and processes of their own, which end with the application."""
    letters = MessageReader(
        database=core.database,
        threads=FairThreads(_READERS, name="read"),
        processes=ReaderProcesses(_READERS),
        memory=AnswerMemory(core.settings.answer_octets),
        forms=Forms(core.settings.kept_forms_octets),
    )
    core.metrics.watch_reading(
        processes=lambda: letters.processes.count,
        octets=lambda: letters.memory.held_octets,
        refused=lambda: letters.refused,
    )
    serves = MessageRoutes(
        database=core.database,
        letters=letters,
        composer=Composer(letters=letters, monotonic=core.monotonic),
        reader=Feed(
            database=core.database, messages_stored=core.wakeups.messages_stored, monotonic=core.monotonic
        ),
        rereader=Rereader(database=core.database, threads=letters.threads, monotonic=core.monotonic),
        indexed=IndexedHeaders(core.settings.indexed_headers),
        let_go=let_go,
    )
    return Feature(
        serves=serves, routers=[router, download_routes.router, bulk_routes.router], running=letters.running
    )
