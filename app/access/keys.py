"""Making, changing and rotating API keys."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlmodel import Session

from app.access import repository
from app.access.grants import ANY_TERMS, Terms, exceeds
from app.access.models import ApiKey
from app.access.reach import ALL_MAILBOXES
from app.access.scopes import Scope
from app.errors import AppError, invalid_request, not_found
from app.web.ids import encode_id
from app.web.requests.changes import told

PREFIX_LENGTH = 12
# Among the scopes of a key that does not reach all, for ever, from anywhere. An earlier version, which knows of no such
# bounds, has no scope of this name and takes no key with it.
_BOUND: Final = "bound"
FIRST_KEY: Final = "first-key"  # the name of the one that the settings give


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes or changes keys: the name of a key, and the terms on which it has what it gives. None: the command
    line, on the machine itself.
    """

    key: str | None = None
    terms: Terms = ANY_TERMS


THE_MACHINE: Final = Maker()


def make_key(
    db: Session,
    *,
    name: str,
    scopes: Collection[Scope],
    now: datetime,
    maker: Maker = THE_MACHINE,
    **facts: Any,
) -> tuple[ApiKey, str]:
    """A new key and its row; the key itself is known only here. ``facts``: further columns. Raises AppError."""
    key = _new_secret()
    row = ApiKey(
        name=name,
        prefix=key[:PREFIX_LENGTH],
        sha256=digest(key),
        scopes=[scope.value for scope in scopes],
        created_at=now,
        created_by=maker.key,
        **facts,
    )
    _judge(db, row, maker, now=now, mailbox_ids=row.mailbox_ids or ())
    return repository.add(db, row), key


def change_key(db: Session, key_id: int, columns: dict[str, Any], *, now: datetime, maker: Maker) -> ApiKey:
    """Change columns of a key. Raises AppError."""
    row = _existing(db, key_id, maker)
    before = set(row.mailbox_ids or ())
    is_expiry_new = "expires_at" in columns and told(columns["expires_at"]) != told(row.expires_at)
    for name, value in columns.items():
        setattr(row, name, value)
    _judge(
        db,
        row,
        maker,
        now=now if is_expiry_new else None,
        mailbox_ids=set(row.mailbox_ids or ()) - before,
    )
    db.flush()
    return row


def rotate_key(
    db: Session, key_id: int, *, overlap: timedelta, now: datetime, maker: Maker
) -> tuple[ApiKey, str]:
    """Give a key another secret. The one that it had works on for ``overlap``; zero: no older one does any more."""
    row = _existing(db, key_id, maker)
    repository.keep_old_secret(db, row, until=now + overlap if overlap else None, now=now)
    key = _new_secret()
    row.prefix, row.sha256 = key[:PREFIX_LENGTH], digest(key)
    db.flush()
    return row, key


def revoke_key(db: Session, key_id: int, *, maker: Maker) -> None:
    """Forget a key. Raises AppError."""
    _existing(db, key_id, maker, to_give=False)
    repository.remove(db, key_id)


def scopes_of(row: ApiKey) -> list[Scope]:
    """What a key may do, as it was said."""
    return [Scope(scope) for scope in row.scopes if scope != _BOUND]


def terms_of(row: ApiKey) -> Terms:
    """Until when and from where a key may be used."""
    return Terms(row.expires_at, tuple(row.allowed_networks) if row.allowed_networks is not None else None)


def digest(key: str) -> bytes:
    """sha256: the keys are 256 random bits, which no password hash could make harder to guess."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _existing(db: Session, key_id: int, maker: Maker, *, to_give: bool = True) -> ApiKey:
    """``to_give``: the maker will have, or hand out, what this key may."""
    row = repository.get(db, key_id, to_change=True)
    if row is None:
        raise not_found("API key")
    if to_give and (field := exceeds(maker.terms, terms_of(row))):
        raise _more_than_ones_own(field)
    return row


def _judge(
    db: Session, row: ApiKey, maker: Maker, *, now: datetime | None, mailbox_ids: Collection[int]
) -> None:
    """Raises AppError where the key must not be. ``now``: its expiry is new; ``mailbox_ids``: these are."""
    is_bound = row.mailbox_ids is not None or row.labels is not None
    if is_bound and Scope.ADMIN.value in row.scopes:
        field = "/mailbox_ids" if row.mailbox_ids is not None else "/labels"
        raise invalid_request(
            field, "an admin key reaches all mailboxes: leave this out, or the scope 'admin'"
        )
    if now is not None and row.expires_at is not None and row.expires_at <= now:
        raise invalid_request("/expires_at", "must be in the future")
    for mailbox_id in mailbox_ids:
        if not ALL_MAILBOXES.sees(db, "mbx", mailbox_id):
            raise invalid_request("/mailbox_ids", f"there is no mailbox {encode_id('mbx', mailbox_id)}")
    if more := exceeds(maker.terms, terms_of(row)):
        raise _more_than_ones_own(more)
    bounds = (row.mailbox_ids, row.labels, row.expires_at, row.allowed_networks)
    mark = [] if bounds == (None, None, None, None) else [_BOUND]
    row.scopes = [*(scope.value for scope in scopes_of(row)), *mark]


def _more_than_ones_own(field: str) -> AppError:
    limit = "expires" if field == "expires_at" else "is bound to networks"
    detail = f"The API key that asks {limit}, and gives nothing that it has not itself: see '{field}'."
    return AppError(403, "forbidden", detail)


def _new_secret() -> str:
    return f"md_{secrets.token_urlsafe(32)}"
