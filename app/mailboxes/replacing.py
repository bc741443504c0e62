"""``PUT`` of a mailbox by its caller's own id: made where there is none, else made to be as it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field, model_validator
from sqlmodel import Session

from app.access.reach import Reach
from app.errors import AppError, invalid_request
from app.mailboxes import repository, service
from app.mailboxes.answers import MailboxAnswer
from app.mailboxes.credentials.secrets import Binding, CredentialsUnreadable, Vault
from app.mailboxes.keeping.local_rule import LocalRule
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.registering import register
from app.mailboxes.schemas import MailboxChange, MaildropMove, NewMailbox, credentials_of
from app.settings import IpNetwork
from app.web.requests.changes import without

_CREDENTIALS = {"password", "oauth2"}
_REPLACED = (
    (NewMailbox.model_fields.keys() & MailboxChange.model_fields.keys()) - _CREDENTIALS - {"external_id"}
)


class MailboxReplacement(NewMailbox):
    """A mailbox as it is to be: what is not named gets its default.

    But credentials, which cannot be read back, and ``paused`` stay as they are where they are not named. A mailbox as
    it was read may be sent: what is to be read only is ignored.
    """

    paused: bool | None = Field(None, description="true: no sync until it is false again. null: as it is.")
    maildrop: MaildropMove | None = Field(
        None, description="As with `PATCH`: needed with another `host` or `port`, once something is known."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_to_be_read_only(cls, sent: Any) -> Any:
        return without(sent, MailboxAnswer.model_fields.keys() - cls.model_fields.keys())


@dataclass(frozen=True, slots=True)
class Put:
    """What a PUT did. ``changed``: the fields that are others now, for the log; None: the mailbox is new."""

    row: Mailbox
    changed: frozenset[str] | None


def put(
    db: Session,
    external_id: str,
    wanted: MailboxReplacement,
    *,
    existing: MailboxId | None,
    reach: Reach,
    vault: Vault,
    ledger: LedgerOfMailbox,
    now: datetime,
    allowed: Sequence[IpNetwork] = (),
    kept: LocalRule | None = None,
) -> Put:
    """Register the mailbox, or change the ``existing`` one. Raises AppError as these two do."""
    if wanted.external_id not in {None, external_id}:
        raise invalid_request("/external_id", "must be that of the address, or left out")
    wanted = wanted.model_copy(update={"external_id": external_id})
    if existing is None:
        row = register(db, wanted, reach=reach, vault=vault, allowed=allowed, now=now, kept=kept)
        return Put(row, None)
    row = service.existing(db, existing, reach=reach, to_change=True)
    change = _as_change(row, wanted, vault)
    named = frozenset(service.columns_to_change(row, change)) | (change.model_fields_set & _CREDENTIALS)
    row = service.change(
        db, existing, change, reach=reach, vault=vault, ledger=ledger, allowed=allowed, now=now, kept=kept
    )
    return Put(row, named)


def _as_change(row: Mailbox, wanted: MailboxReplacement, vault: Vault) -> MailboxChange:
    """The same ones, sent again and again, are no new credentials: each of these would be tried at once, though the
    server refuses them, and repeated refusals get accounts locked.
    """
    names = set(_REPLACED) | (wanted.model_fields_set & (_CREDENTIALS | {"maildrop"}))
    if wanted.paused is not None:
        names.add("paused")
    values = {name: getattr(wanted, name) for name in names}
    change = MailboxChange.model_construct(_fields_set=names, **values)
    is_moved = service.columns_to_change(row, change).keys() & service.LOGIN_FIELDS
    if not is_moved and names & _CREDENTIALS and _has(row, wanted, vault):
        change = MailboxChange.model_construct(
            _fields_set=names - _CREDENTIALS, **{name: values[name] for name in names - _CREDENTIALS}
        )
    return change


def _has(row: Mailbox, wanted: MailboxReplacement, vault: Vault) -> bool:
    credentials = credentials_of(wanted)
    if not row.credentials or credentials is None:
        return not row.credentials and credentials is None
    try:
        return vault.open(row.credentials, Binding.of(row)) == credentials
    except CredentialsUnreadable:
        return False


def refuse_absent(if_match: str | None) -> None:
    """Raises 412 where a state is wanted to be replaced, and there is none (RFC 9110 §13.1.1)."""
    if if_match is not None:
        raise AppError(
            412, "precondition_failed", "There is no mailbox with this external_id to be replaced."
        )


def find(db: Session, external_id: str, *, reach: Reach) -> MailboxId | None:
    """The mailbox in reach that is to be replaced, locked."""
    return repository.by_external_id(db, external_id, reach=reach)
