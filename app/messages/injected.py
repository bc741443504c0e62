"""What the routes of messages work with, and the memory that an answer takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from sqlmodel import Session

from app.access.routes import By
from app.database import Database
from app.database.units import Result
from app.messages.composing import Composer
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.messages.letters.reader import MessageReader
from app.messages.models import MessageSeq
from app.messages.pages.waiting import Feed
from app.messages.rereading import Rereader
from app.reading.memory import Share
from app.web.features import served
from app.web.routing import at_end

Tell = Callable[[Session, Sequence[MessageSeq]], None]


class LetGo(Protocol):
    """Makes a change that lets contents of messages go (``app.ledger.keeping.let_go``)."""

    async def __call__(
        self, database: Database, change: Callable[[Tell, Session], Result], *, is_long: bool = False
    ) -> Result: ...


@dataclass(frozen=True, kw_only=True)
class MessageRoutes:
    """What the routes of the messages work with.

    ``let_go``: has the ledger, which stands above, keep what tells messages again whose contents go now.
    """

    database: Database
    letters: MessageReader
    composer: Composer
    reader: Feed
    rereader: Rereader
    indexed: IndexedHeaders
    let_go: LetGo


Injected = Annotated[MessageRoutes, Depends(served(MessageRoutes))]


async def _memory_of_answer(feature: Injected, by: By, request: Request) -> Share:
    """Given back when the answer has been sent, or cannot be any more."""
    share = Share(feature.letters.memory, by.key)
    at_end(request, share.give_back)
    return share


Memory = Annotated[Share, Depends(_memory_of_answer)]
