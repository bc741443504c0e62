"""Keys: made, recognised, and asked whether they suffice."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from sqlmodel import Session

from app.access import repository
from app.access.models import ApiKey
from app.database import Database
from app.errors import AppError

PREFIX_LENGTH = 12


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
    """Who asks: the name of the key and what it may do."""

    name: str
    scopes: frozenset[Scope]


class Gate:
    """Recognises bearer keys: the first admin key of the settings, and those in the database."""

    def __init__(self, *, database: Database, first_key: str) -> None:
        self._database = database
        self._first_digest = digest(first_key)

    async def admit(self, authorization: str | None, needed: Scope) -> Caller:
        """The caller behind an ``Authorization`` header. Raises 401, or 403 when the scope is lacking."""
        caller = await self._recognise(authorization)
        if needed not in caller.scopes:
            raise AppError(403, "forbidden", f"This API key lacks the scope '{needed}'.")
        return caller

    async def _recognise(self, authorization: str | None) -> Caller:
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized("Send 'Authorization: Bearer <API key>'.")
        if hmac.compare_digest(digest(key), self._first_digest):
            return Caller("first admin key", frozenset(Scope))
        found = await self._database.read(lambda db: repository.by_prefix(db, key[:PREFIX_LENGTH]))
        if found is None or not hmac.compare_digest(digest(key), found.sha256):
            raise _unauthorized("This API key is not valid.")
        scopes = frozenset[Scope]().union(*(_INCLUDED[Scope(scope)] for scope in found.scopes))
        return Caller(found.name, scopes)


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


def _unauthorized(detail: str) -> AppError:
    return AppError(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
