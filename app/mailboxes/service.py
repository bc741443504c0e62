"""Registering and changing a mailbox: row and credentials in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr
from sqlmodel import Session

from app.errors import invalid_request, not_found
from app.mailboxes import repository
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.schemas import DEFAULT_PORTS, MailboxChange, NewMailbox, Security
from app.mailboxes.secrets import Vault
from app.network import is_allowed, literal_address
from app.settings import IpNetwork

# A change to one of these may be what a refused login was waiting for.
_LOGIN_FIELDS = {"host", "port", "security", "username", "password", "ca_certificates"}


def register(db: Session, new: NewMailbox, *, vault: Vault, now: datetime) -> Mailbox:
    """Store a mailbox with its credentials sealed for its row."""
    columns = new.model_dump(exclude={"password", "port"}, mode="json")
    due = now if new.poll_interval_seconds else None
    row = Mailbox(**columns, port=new.effective_port, created_at=now, next_sync_at=due)
    mailbox_id = repository.add(db, row)
    _seal(row, mailbox_id, new.password, vault)
    return row


def change(
    db: Session, mailbox_id: MailboxId, wanted: MailboxChange, *, vault: Vault, now: datetime
) -> Mailbox:
    """Change what is named. New login data let a mailbox whose login was refused be polled again."""
    row = existing(db, mailbox_id)
    named = wanted.model_fields_set
    for field, value in wanted.model_dump(
        include=named - {"password", "paused"} - ({"port"} if wanted.port is None else set()), mode="json"
    ).items():
        setattr(row, field, value)
    if named & {"port", "security"} and wanted.port is None:
        row.port = DEFAULT_PORTS[Security(row.security)]
    if "password" in named:
        _seal(row, mailbox_id, wanted.password, vault)
    if row.security == Security.NONE and row.credentials and not row.allow_cleartext_password:
        raise invalid_request(
            "/allow_cleartext_password", "with security 'none' a stored password needs this to be true"
        )
    _settle_status(row, wanted, now)
    return row


def existing(db: Session, mailbox_id: MailboxId) -> Mailbox:
    """The mailbox, or 404."""
    row = repository.get(db, mailbox_id)
    if row is None:
        raise not_found("mailbox")
    return row


def refuse_literal(host: str, allowed: Sequence[IpNetwork]) -> None:
    """Refuse at once what needs no resolver to be seen; names are judged when they are resolved."""
    address = "127.0.0.1" if host.lower().rstrip(".") == "localhost" else literal_address(host)
    if address is not None and not is_allowed(address, allowed):
        raise invalid_request(
            "/host",
            f"{address} is not a public address; MAILDELTA_ALLOWED_PRIVATE_NETWORKS lists the private "
            "networks that may be used",
        )


def _settle_status(row: Mailbox, wanted: MailboxChange, now: datetime) -> None:
    named = wanted.model_fields_set
    if "paused" in named and wanted.paused:
        row.status, row.status_detail = MailboxStatus.PAUSED.value, None
    elif "paused" in named and row.status == MailboxStatus.PAUSED:
        row.status, row.status_detail = MailboxStatus.ACTIVE.value, None
    if row.status == MailboxStatus.AUTH_FAILED and named & _LOGIN_FIELDS:
        row.status, row.status_detail = MailboxStatus.ACTIVE.value, None
    polled = row.poll_interval_seconds is not None and row.status == MailboxStatus.ACTIVE
    if not polled:
        row.next_sync_at = None
    elif row.next_sync_at is None or named & (_LOGIN_FIELDS | {"poll_interval_seconds"}):
        row.next_sync_at = now


def _seal(row: Mailbox, mailbox_id: MailboxId, password: SecretStr | None, vault: Vault) -> None:
    row.credentials = vault.seal(mailbox_id, password.get_secret_value()) if password else None
