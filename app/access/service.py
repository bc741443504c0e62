"""API keys: making them, recognising them, and judging what they may do."""

import hmac
import math
import re
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from sqlmodel import Session

from app.access import repository
from app.access.links import FIRST_KEY
from app.access.models import ApiKey
from app.database import Database
from app.errors import AppError
from app.web.clients import counted_as
from app.web.rates import Rate

PREFIX_LENGTH = 12
_KEY = re.compile(r"md_[A-Za-z0-9_-]{43}", re.ASCII)  # as ``make_key`` makes them


class Scope(StrEnum):
    """What a key may do. ``sync`` includes ``read``, ``admin`` includes both."""

    READ = "read"
    SYNC = "sync"
    ADMIN = "admin"


_INCLUDED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.SYNC: frozenset({Scope.READ, Scope.SYNC}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id of the key (the first admin key has none), what it may do, and from where.

    ``by_link``: by a signed link that was made in the key's name.
    """

    key_id: int | None
    scopes: frozenset[Scope]
    client: str
    by_link: bool = False

    @property
    def trail(self) -> dict[str, str]:
        """Who it was, for the log."""
        return {"by": self.key, "client": self.client}

    @property
    def key(self) -> str:
        """The key's name in the log, and where it is counted what a caller takes: by links apart."""
        name = "first-key" if self.key_id is None else f"key_{self.key_id}"
        return f"{name}-link" if self.by_link else name


class Gate:
    """Recognises bearer keys: the first admin key of the settings, and those in the database.

    ``wrong_keys`` and ``requests``: how many are let through, by address and by key. ``waiting``: how many requests of
    one key may wait at the same time.
    """

    def __init__(
        self,
        *,
        database: Database,
        first_key: str,
        wrong_keys: Rate,
        requests: Rate,
        waiting: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._first_digest = digest(first_key)
        self._wrong_keys = wrong_keys
        self._requests = requests
        self._most_waiting = waiting
        self._waiting: Counter[str] = Counter()
        self._monotonic = monotonic

    def admit(self, caller: Caller, needed: Scope) -> None:
        """Raises 403 when the scope is lacking, or 429."""
        if needed not in caller.scopes:
            raise AppError(403, "forbidden", f"This API key lacks the scope '{needed}'.")
        if wait := self._requests.spend(caller.key, now=self._monotonic()):
            raise _too_many("This API key has asked too often.", wait)

    def begin_to_wait(self, caller: Caller) -> None:
        """One more request of this key waits. Raises 429."""
        if self._waiting[caller.key] >= self._most_waiting:
            raise _too_many("This API key has too many requests that wait.", 1)
        self._waiting[caller.key] += 1

    def end_to_wait(self, caller: Caller) -> None:
        """One fewer."""
        self._waiting[caller.key] -= 1
        if not self._waiting[caller.key]:
            del self._waiting[caller.key]

    async def recognise(self, authorization: str | None, *, client: str = "") -> Caller:
        """The caller behind an ``Authorization`` header. Raises 401, or 429 for too many wrong keys."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized("Send 'Authorization: Bearer <API key>'.")
        if hmac.compare_digest(digest(key), self._first_digest):
            return Caller(None, frozenset(Scope), client)
        found = await self._found(key)
        if found is None or not hmac.compare_digest(digest(key), found.sha256):
            # A right key is never refused for others' wrong ones: many may share an address.
            self.count_wrong(client)
            raise _unauthorized("This API key is not valid.")
        scopes = frozenset[Scope]().union(*(_INCLUDED[Scope(scope)] for scope in found.scopes))
        return Caller(found.id, scopes, client)

    def count_wrong(self, client: str) -> None:
        """One more wrong key or link came from this address. Raises 429 for too many."""
        if wait := self._wrong_keys.spend(counted_as(client), now=self._monotonic()):
            raise _too_many("Too many wrong API keys came from this address.", wait)

    async def behind_link(self, key_number: int, *, client: str) -> Caller | None:
        """The caller in whose name a link was made, which may read and no more; None: the key is gone, or may not."""
        if key_number == FIRST_KEY:
            return Caller(None, frozenset({Scope.READ}), client, by_link=True)
        row = await self._database.read(lambda db: repository.get(db, key_number))
        if row is None:
            return None
        scopes = frozenset[Scope]().union(*(_INCLUDED[Scope(scope)] for scope in row.scopes))
        return Caller(row.id, scopes & {Scope.READ}, client, by_link=True)

    async def _found(self, key: str) -> ApiKey | None:
        if not _KEY.fullmatch(key):
            return None  # the database need not be asked
        return await self._database.read(lambda db: repository.by_prefix(db, key[:PREFIX_LENGTH]))


def make_key(db: Session, *, name: str, scopes: list[Scope], now: datetime) -> tuple[ApiKey, str]:
    """A new key and its row; the key itself is known only here."""
    key = f"md_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        name=name,
        prefix=key[:PREFIX_LENGTH],
        sha256=digest(key),
        scopes=[scope.value for scope in scopes],
        created_at=now,
    )
    return repository.add(db, row), key


def digest(key: str) -> bytes:
    """sha256: the keys are 256 random bits, which no password hash could make harder to guess."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _too_many(detail: str, wait: float) -> AppError:
    return AppError(429, "too_many_requests", detail, headers={"Retry-After": str(math.ceil(wait))})


def _unauthorized(detail: str) -> AppError:
    return AppError(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
