"""The gate: recognising API keys, and judging what they may do, from where and until when."""

import asyncio
import hmac
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from app.access import repository
from app.access.grants import ANY_TERMS, Terms
from app.access.keys import FIRST_KEY, PREFIX_LENGTH, Maker, digest, scopes_of, terms_of
from app.access.last_use import LastUses
from app.access.links import FIRST_KEY as FIRST_NUMBER
from app.access.links import Link
from app.access.models import ApiKey
from app.access.reach import ALL_MAILBOXES, Reach
from app.access.scopes import ALL_SCOPES, Scope, included
from app.database import Database
from app.errors import AppError
from app.web.requests.clients import counted_as, lies_in
from app.web.requests.rates import Rate
from app.web.times import as_text

__all__ = ["Caller", "Gate", "Scope"]

_LOOK_SERVES_SECONDS = 1.0
_KEY = re.compile(r"md_[A-Za-z0-9_-]{43}", re.ASCII)  # as ``make_key`` makes them


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id of the key (the first admin key has none), what it may do, from where, and what it reaches.

    ``by_link``: by a signed link that was made in the key's name. ``secret``: the digest of the key's secret that was
    sent.
    """

    key_id: int | None
    scopes: frozenset[Scope]
    client: str
    reach: Reach = ALL_MAILBOXES
    terms: Terms = ANY_TERMS
    name: str = FIRST_KEY
    by_link: bool = False
    secret: bytes = field(default=b"", repr=False)

    @property
    def trail(self) -> dict[str, str]:
        """Who it was, for the log."""
        return {"by": self.key, "client": self.client}

    @property
    def key(self) -> str:
        """The key's name in the log, and where it is counted what a caller takes: by links apart."""
        name = FIRST_KEY if self.key_id is None else f"key_{self.key_id}"
        return f"{name}-link" if self.by_link else name

    @property
    def maker(self) -> Maker:
        """As one who makes keys."""
        return Maker(self.key, self.terms)


@dataclass
class AddressNotAllowed(AppError):
    """403 for a key that is valid, and that comes from elsewhere than it may: ``caller`` tells whose it is."""

    caller: Caller = field(kw_only=True)


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
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._first_digest = digest(first_key)
        self._wrong_keys = wrong_keys
        self._requests = requests
        self._most_waiting = waiting
        self._waiting: Counter[str] = Counter()
        self._clock = clock
        self._monotonic = monotonic
        self._looks: dict[bytes, asyncio.Task[tuple[ApiKey, bytes] | None]] = {}
        self.last_uses = LastUses(database=database, clock=clock, monotonic=monotonic)

    def admit(self, caller: Caller, needed: Scope, *, of_all: bool = False) -> None:
        """Raises 403 when the scope is lacking, or 429. ``of_all``: what is asked for is about all mailboxes."""
        permit(caller, needed, of_all=of_all)
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
        """The caller behind an ``Authorization`` header. Raises 401, 403, or 429 for too many wrong keys."""
        key = _bearer(authorization)
        if hmac.compare_digest(digest(key), self._first_digest):
            return Caller(None, ALL_SCOPES, client, secret=self._first_digest)
        found = await self._found(key)
        if found is None or not hmac.compare_digest(digest(key), found[1]):
            # A right key is never refused for others' wrong ones: many may share an address.
            self.count_wrong(client)
            raise _unauthorized("This API key is not valid.")
        caller = replace(self._judged(found[0], client), secret=found[1])
        self.last_uses.note(found[0])
        return caller

    def count_wrong(self, client: str) -> None:
        """One more wrong key or link came from this address. Raises 429 for too many."""
        if wait := self._wrong_keys.spend(counted_as(client), now=self._monotonic()):
            raise _too_many("Too many wrong API keys came from this address.", wait)

    async def behind_link(self, link: Link, *, client: str) -> Caller | None:
        """The caller in whose name a link was made, which may read and no more; None: the key is gone, or may not, or
        its secret of then is no longer valid.
        """
        if link.key_number == FIRST_NUMBER:
            is_by_it = link.is_by(self._first_digest)
            return Caller(None, frozenset({Scope.READ}), client, by_link=True) if is_by_it else None
        question = partial(repository.with_secrets, key_id=link.key_number, now=self._clock())
        found = await self._database.read(question)
        if found is None or not any(link.is_by(secret) for secret in found[1]):
            return None
        try:
            caller = self._judged(found[0], client)
        except AppError:  # it has expired, or must not be used from there
            return None
        return replace(caller, scopes=caller.scopes & {Scope.READ}, by_link=True)

    async def look_again(
        self, caller: Caller, authorization: str, needed: Scope, *, of_all: bool = False
    ) -> Caller:
        """The same caller as it stands now, for one who has waited: its key may be another one, or be revoked.

        Raises 401 or 403. All who wait with one key are judged by one look a second.
        """
        if caller.key_id is None:
            return caller
        key = _bearer(authorization)
        look = digest(key)
        if (task := self._looks.get(look)) is None:
            task = self._looks[look] = asyncio.create_task(self._found(key))
            task.add_done_callback(partial(self._has_looked, look))
        found = await asyncio.shield(task)
        if found is None or not hmac.compare_digest(look, found[1]):
            raise _unauthorized("This API key is not valid any more.")
        now = self._judged(found[0], caller.client)
        permit(now, needed, of_all=of_all)
        return now

    def _has_looked(self, look: bytes, task: "asyncio.Task[tuple[ApiKey, bytes] | None]") -> None:
        has_failed = task.cancelled() or task.exception() is not None
        seconds = 0.0 if has_failed else _LOOK_SERVES_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._looks.pop, look, None)

    async def _found(self, key: str) -> tuple[ApiKey, bytes] | None:
        if not _KEY.fullmatch(key):
            return None  # the database need not be asked
        question = partial(repository.by_prefix, prefix=key[:PREFIX_LENGTH], now=self._clock())
        return await self._database.read(question)

    def _judged(self, row: ApiKey, client: str) -> Caller:
        """The caller by this key now. Raises 401 when it has expired, 403 where it must not be used."""
        terms = terms_of(row)
        if terms.expires_at is not None and terms.expires_at <= self._clock():
            detail = f"This API key expired at {as_text(terms.expires_at)}."
            raise _unauthorized(detail, code="key_expired")
        caller = Caller(
            row.id,
            included(scopes_of(row)),
            client,
            Reach.bound_to(row.mailbox_ids, row.labels),
            terms,
            row.name,
        )
        if terms.networks is not None and not lies_in(client, terms.networks):
            told = f"the address {client}" if client else "a socket without an address"
            detail = f"This API key may not be used from {told}: see its allowed_networks."
            raise AddressNotAllowed(403, "address_not_allowed", detail, caller=caller)
        return caller


def permit(caller: Caller, needed: Scope, *, of_all: bool) -> None:
    """Raises 403 where the caller may not."""
    if needed not in caller.scopes:
        raise AppError(403, "forbidden", f"This API key lacks the scope '{needed}'.")
    if of_all and not caller.reach.is_all:
        detail = "This API key is bound to some mailboxes, and this operation is about all of them."
        raise AppError(403, "forbidden", detail)


def _bearer(authorization: str | None) -> str:
    scheme, _, key = (authorization or "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise _unauthorized("Send 'Authorization: Bearer <API key>'.")
    return key


def _too_many(detail: str, wait: float) -> AppError:
    return AppError(429, "too_many_requests", detail, headers={"Retry-After": str(math.ceil(wait))})


def _unauthorized(detail: str, *, code: str = "unauthorized") -> AppError:
    return AppError(401, code, detail, headers={"WWW-Authenticate": "Bearer"})
