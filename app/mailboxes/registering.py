"""Registering mailboxes, one or many in one transaction: row, labels and credentials of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from app.access.reach import Reach
from app.errors import AppError, without_secrets
from app.mailboxes import repository, service
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.duplicates import (
    LoginKey,
    external_id_exists,
    login_key,
    mailbox_exists,
    refuse_duplicate,
    refuse_external_id_of_another,
)
from app.mailboxes.keeping.local_rule import LocalRule, refuse_shorter
from app.mailboxes.labelling import Labelled, labels_of_new
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.schemas import NewMailbox, credentials_of
from app.settings import IpNetwork

_STORED_AT_ONCE = (NewMailbox.model_fields.keys() & Mailbox.model_fields.keys()) - {"port"}


@dataclass(frozen=True, kw_only=True)
class Registry:
    """For whom mailboxes are registered, and by which rules. ``allowed``: private networks that may be used.

    ``kept``: for how long contents are kept here, where a mailbox says nothing about it.
    """

    reach: Reach
    vault: Vault
    now: datetime
    allowed: Sequence[IpNetwork] = ()
    ports: Collection[int] = ()
    kept: LocalRule | None = None


@dataclass(slots=True)
class _Prepared:
    """A mailbox of which nothing is wrong by itself."""

    row: Mailbox
    new: NewMailbox
    labelled: Labelled
    external_id: str | None


def register(
    db: Session,
    new: NewMailbox,
    *,
    reach: Reach,
    vault: Vault,
    now: datetime,
    allowed: Sequence[IpNetwork] = (),
    kept: LocalRule | None = None,
) -> Mailbox:
    """Store a mailbox with its credentials sealed for its row. Raises AppError."""
    registry = Registry(reach=reach, vault=vault, now=now, allowed=allowed, kept=kept)
    one = _prepared(new, registry)
    # In the order of a batch: what locks both may not wait for what has locked the other.
    refuse_external_id_of_another(db, one.row, one.external_id, reach=reach)
    if not new.allow_duplicate:
        refuse_duplicate(db, one.row, reach=reach)
    _store(db, [one], registry)
    return one.row


def register_many(db: Session, wanted: Sequence[NewMailbox], registry: Registry) -> list[Mailbox | AppError]:
    """The same for each of these, in a few statements however many they are: its row, or why it is not registered."""
    found: list[Mailbox | AppError] = []
    prepared: list[_Prepared] = []
    told = {id(new): _prepared_or_error(new, registry) for new in wanted}
    there = _there(db, [one for one in told.values() if isinstance(one, _Prepared)], registry.reach)
    twins: dict[int, Mailbox] = {}
    for new in wanted:
        one = told[id(new)]
        if isinstance(one, _Prepared):
            key = login_key(one.row)
            other = None if new.allow_duplicate else there.logins.get(key)
            if one.external_id in there.external_ids:
                one = external_id_exists(there.external_ids[one.external_id])
            elif isinstance(other, Mailbox):
                twins[len(found)] = other
            elif other is not None:
                one = mailbox_exists(other)
            else:
                there.logins.setdefault(key, one.row)
                prepared.append(one)
        found.append(one.row if isinstance(one, _Prepared) else one)
    _store(db, prepared, registry)
    for index, row in twins.items():
        found[index] = mailbox_exists(MailboxId(row.id or 0))
    return found


@dataclass(frozen=True, slots=True)
class _There:
    """What is in reach already, and what this transaction adds: by login, and by its caller's id."""

    logins: dict[LoginKey, MailboxId | Mailbox]
    external_ids: dict[str | None, MailboxId]


def _there(db: Session, prepared: Sequence[_Prepared], reach: Reach) -> _There:
    asked = [(one.row.username, one.row.port) for one in prepared if not one.new.allow_duplicate]
    logins: dict[LoginKey, MailboxId | Mailbox] = {}
    for row in repository.same_logins(db, asked, reach=reach):
        logins.setdefault(login_key(row), MailboxId(row.id or 0))
    names = [one.external_id for one in prepared if one.external_id is not None]
    there: dict[str | None, MailboxId] = {}
    there.update(repository.by_external_ids(db, names, reach=reach))
    return _There(logins, there)


def _prepared_or_error(new: NewMailbox, registry: Registry) -> "_Prepared | AppError":
    try:
        return _prepared(new, registry)
    except AppError as error:
        return error


def _prepared(new: NewMailbox, registry: Registry) -> _Prepared:
    service.refuse_turned_interval(new.poll_interval_seconds, new.poll_interval_max_seconds)
    if credentials_of(new) and registry.vault.is_closed:
        raise without_secrets()
    labelled = labels_of_new(new.labels, reach=registry.reach)
    columns = new.model_dump(include=_STORED_AT_ONCE, mode="json")
    external_id = columns.pop("external_id")
    kept = registry.kept
    refuse_shorter(columns["server_retention"], columns["local_retention"], kept, pointer="/local_retention")
    row = Mailbox(
        **columns | {"labels": labelled.labels},
        port=new.effective_port,
        caller_metadata=new.metadata,
        created_at=registry.now,
        next_sync_at=registry.now if new.poll_interval_seconds else None,
    )
    row.is_private = service.is_private(new.host, registry.allowed)
    if getattr(new, "paused", None):
        row.turn(MailboxStatus.PAUSED, now=registry.now)
        row.next_sync_at = None
    service.refuse_other_port(row, registry.ports)
    return _Prepared(row, new, labelled, external_id)


def _store(db: Session, prepared: Sequence[_Prepared], registry: Registry) -> None:
    """Ids first, for credentials are sealed for that of their row."""
    rows = [one.row for one in prepared]
    repository.give_ids(db, rows)
    for one in prepared:
        service.name_it(one.row, one.external_id, registry.reach)
        service.seal(one.row, credentials_of(one.new), registry.vault)
    repository.add_all(db, rows)
    repository.add_labels(db, [(one.row, one.labelled.giving) for one in prepared])
