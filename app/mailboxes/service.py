"""Changing a mailbox: row and credentials in one transaction; and what holds for registering one too."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlmodel import Session

from app.access.reach import Reach
from app.errors import AppError, InputFault, invalid_request, not_found, without_secrets
from app.mailboxes import repository
from app.mailboxes.credentials.destination import Destination, fields_that_need_credentials
from app.mailboxes.credentials.oauth2 import OAuth2Login
from app.mailboxes.credentials.secrets import (
    AuthMethod,
    Binding,
    Credentials,
    CredentialsUnreadable,
    OAuth2,
    Vault,
    auth_method,
)
from app.mailboxes.duplicates import (
    is_same_login,
    login_key,
    refuse_duplicate,
    refuse_external_id_of_another,
)
from app.mailboxes.fields import DEFAULT_PORTS, Security
from app.mailboxes.health import late_at
from app.mailboxes.keeping.local_rule import LocalRule, refuse_shorter
from app.mailboxes.labelling import labels_after_change
from app.mailboxes.maildrop_moves import LedgerOfMailbox, move_of, settle_maildrop
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus, Pace
from app.mailboxes.schemas import MailboxChange, NewMailbox, credentials_of
from app.network.addresses import (
    PortRefused,
    is_allowed,
    is_inside,
    literal_address,
    refuse_port,
    refuse_token_port,
)
from app.settings import IpNetwork
from app.web.ids import encode_id
from app.web.requests.changes import refuse_other_facts

# A change to one of these may be what a refused login was waiting for.
LOGIN_FIELDS = {
    "host",
    "port",
    "security",
    "username",
    "password",
    "oauth2",
    "ca_certificates",
    "mechanism",
    "allow_legacy_tls",
}
_WHO_LOGS_IN = {"host", "port", "username", "password", "oauth2"}
_CREDENTIALS = {"password", "oauth2"}
_NO_COLUMNS = _CREDENTIALS | {
    "paused",
    "maildrop",
    "id",
    "status",
    "created_at",
    "allow_duplicate",
    "metadata",
}
_POLL_FIELDS = {"poll_interval_seconds", "poll_interval_max_seconds"}


def change(
    db: Session,
    mailbox_id: MailboxId,
    wanted: MailboxChange,
    *,
    reach: Reach,
    vault: Vault,
    ledger: LedgerOfMailbox,
    now: datetime,
    allowed: Sequence[IpNetwork] = (),
    kept: LocalRule | None = None,
) -> Mailbox:
    """Change what is named. New login data let a mailbox whose login was refused be polled again."""
    row = existing(db, mailbox_id, reach=reach, to_change=True)
    _refuse_other_facts(row, wanted)
    before, bound = _destination(row), Binding.of(row)
    columns = columns_to_change(row, wanted)
    refuse_external_id_of_another(db, row, columns.get("external_id"), reach=reach)
    if "external_id" in columns:
        name_it(row, columns.pop("external_id"), reach)
        columns["external_id"] = row.external_id
    if "labels" in columns:
        giving = repository.giving_labels(db, mailbox_id)
        labelled = labels_after_change(columns["labels"], reach=reach, before=row.labels, giving=giving)
        columns["labels"] = labelled.labels
    for field, value in columns.items():
        setattr(row, field, value)
    named = columns.keys() | (wanted.model_fields_set & (_CREDENTIALS | {"paused"}))
    if named & {"host", "port"}:  # what is known of the pace is another server's
        row.pace, row.is_private = Pace.NEW.value, is_private(row.host, allowed)
    if named & _CREDENTIALS:
        seal(row, credentials_of(wanted), vault)
    elif row.credentials:
        refuse_new_destination(row.credentials, before, _destination(row))
        _bind_anew(row, bound, vault)
    if row.security == Security.NONE and row.credentials and not row.allow_cleartext_password:
        raise invalid_request(
            "/allow_cleartext_password", "with security 'none' a stored password needs this to be true"
        )
    refuse_turned_interval(row.poll_interval_seconds, row.poll_interval_max_seconds)
    if retained := sorted(named & {"local_retention", "server_retention"}):
        refuse_shorter(row.server_retention, row.local_retention, kept, pointer=f"/{retained[0]}")
    after = _destination(row)
    if not (wanted.allow_duplicate or is_same_login(before, after)):
        refuse_duplicate(db, row, reach=reach)
    move = move_of(before, after, wanted.maildrop, is_known=ledger.is_known(db, mailbox_id))
    is_moved = (before.host, before.port, before.username) != (after.host, after.port, after.username)
    back = None if wanted.maildrop else login_key(after)
    settle_maildrop(db, row, move, ledger=ledger, left=login_key(before), back=back, now=now)
    if move is not None or is_moved:
        ledger.compare_anew(db, mailbox_id)
    if "labels" in named:
        repository.index_labels(db, row, giving=labelled.giving)
    if "criteria" in named:
        ledger.judge_again(db, mailbox_id, now)
    _settle_status(row, wanted, named, now)
    return row


def name_it(row: Mailbox, external_id: str | None, reach: Reach) -> None:
    """Call a mailbox so. Names that bound keys give are no names for others: each has a namespace of its own, and is
    found by reach, so that none is refused for one that its caller does not see.
    """
    row.external_id = external_id
    row.namespace = "" if reach.is_all else encode_id("mbx", row.id or 0)


def columns_to_change(row: Mailbox, wanted: MailboxChange) -> dict[str, Any]:
    """PURE  The columns that a change names and that are to be others than they are. A port that is the default of the
    security before follows another security.
    """
    named = wanted.model_fields_set
    columns = wanted.model_dump(include=set(named) - _NO_COLUMNS, mode="json")
    if "metadata" in named:
        columns["caller_metadata"] = wanted.metadata
    security = Security(columns.get("security", row.security))
    follows = "port" not in named and row.port == DEFAULT_PORTS[Security(row.security)]
    if follows or ("port" in named and wanted.port is None):
        columns["port"] = DEFAULT_PORTS[security]
    return {name: value for name, value in columns.items() if getattr(row, name) != value}


def _refuse_other_facts(row: Mailbox, wanted: MailboxChange) -> None:
    """What cannot be changed, and is sent back as something else than it is."""
    facts = {"id": encode_id("mbx", row.id or 0), "status": row.status, "created_at": row.created_at}
    refuse_other_facts(wanted, facts)


def replace_oauth2(db: Session, mailbox_id: MailboxId, *, old: OAuth2, new: OAuth2, vault: Vault) -> None:
    """Store what a token server gave in place of ``old``; credentials that were changed meanwhile stay."""
    is_done = False
    while (
        not is_done
    ):  # sealed anew meanwhile, for a stronger protection or by a newer key: it is still the old data
        row = repository.snapshot(db, mailbox_id)
        if row is None or not row.credentials or vault.open(row.credentials, Binding.of(row)) != old:
            return
        sealed = vault.seal(new, Binding.of(row))
        is_done = repository.replace_credentials(db, mailbox_id, old=row.credentials, new=sealed)


def stored_oauth2(db: Session, mailbox_id: MailboxId, *, vault: Vault) -> OAuth2 | None:
    """What tokens are got with now; None: the mailbox is gone, or has none. Raises CredentialsUnreadable."""
    row = repository.snapshot(db, mailbox_id)
    if row is None or not row.credentials:
        return None
    credentials = vault.open(row.credentials, Binding.of(row))
    return credentials if isinstance(credentials, OAuth2) else None


def existing(db: Session, mailbox_id: MailboxId, *, reach: Reach, to_change: bool = False) -> Mailbox:
    """The mailbox, or 404, also where it is out of reach. ``to_change``: nobody else changes it until this transaction
    ends.
    """
    is_seen = reach.is_all or reach.sees(db, "mbx", mailbox_id)
    row = repository.get(db, mailbox_id, to_change=to_change) if is_seen else None
    if row is None:
        raise not_found("mailbox")
    return row


def refuse_new_destination(sealed: bytes, old: Destination, new: Destination) -> None:
    """Stored credentials go nowhere new, nor less protected: whoever wants that sends them in the same request."""
    if fields := fields_that_need_credentials(old, new):
        detail = (
            f"with another {' or '.join(fields)} the stored credentials would go where they were not given for: "
            "send them in the same request"
        )
        pointers = ["/oauth2", "/password"] if auth_method(sealed) is AuthMethod.OAUTH2 else ["/password"]
        raise AppError(
            422,
            "invalid_request",
            "The request is not valid.",
            tuple(InputFault(pointer, detail) for pointer in pointers),
        )


def destination_of(mailbox: Mailbox | NewMailbox, *, port: int) -> Destination:
    """Where the credentials of a mailbox go."""
    return Destination(
        host=mailbox.host,
        port=port,
        security=str(mailbox.security),
        username=mailbox.username,
        allow_cleartext_password=mailbox.allow_cleartext_password,
        allow_apop=mailbox.allow_apop,
        mechanism=mailbox.mechanism,
        allow_legacy_tls=mailbox.allow_legacy_tls,
        ca_certificates=mailbox.ca_certificates,
    )


def is_private(host: str, allowed: Sequence[IpNetwork]) -> bool:
    """Whether a host that is written as an address is in one of the networks; of a name its first sync finds out."""
    address = literal_address(host)
    return address is not None and is_inside(address, allowed)


def refuse_literal(host: str, allowed: Sequence[IpNetwork]) -> None:
    """Refuse at once what needs no resolver to be seen; names are judged when they are resolved."""
    address = _literal(host)
    if address is not None and not is_allowed(address, allowed):
        raise invalid_request(
            "/host",
            f"{address} is not a public address; MAILDELTA_ALLOWED_PRIVATE_NETWORKS lists the private "
            "networks that may be used",
        )


def refuse_other_port(row: Mailbox, ports: Collection[int]) -> None:
    """Refuse a port that mail servers may not have."""
    try:
        refuse_port(row.host, row.port, ports)
    except PortRefused as error:
        raise invalid_request("/port", str(error)) from error


def refuse_token_url(
    oauth2: OAuth2Login | None, allowed: Sequence[IpNetwork], ports: Collection[int]
) -> None:
    """Like ``refuse_literal`` and ``refuse_other_port``, for where tokens are to come from; in clear text only from a
    private network of ours.
    """
    if oauth2 is None or oauth2.token_url is None:
        return
    url = urlsplit(oauth2.token_url)
    try:
        refuse_token_port(url.scheme, url.hostname or "", url.port, ports)
    except PortRefused as error:
        raise invalid_request("/oauth2/token_url", str(error)) from error
    address = _literal(url.hostname or "")
    if address is None:
        return
    is_clear_text = oauth2.token_url.lower().startswith("http:")
    if not (is_inside(address, allowed) if is_clear_text else is_allowed(address, allowed)):
        raise invalid_request(
            "/oauth2/token_url",
            f"{address} is not an address that tokens may come from; MAILDELTA_ALLOWED_PRIVATE_NETWORKS lists the "
            "private networks that may be used, and http may be used only there",
        )


def _literal(host: str) -> str | None:
    return "127.0.0.1" if host.lower().rstrip(".") == "localhost" else literal_address(host)


def refuse_turned_interval(least: int | None, most: int | None) -> None:
    """Raises 422 for a longest interval that is shorter than the interval."""
    if least is not None and most is not None and most < least:
        raise invalid_request("/poll_interval_max_seconds", "must not be less than poll_interval_seconds")


def _settle_login(row: Mailbox, named: AbstractSet[str], now: datetime) -> None:
    """What was refused was another login; and whether this one works is not known."""
    if not named & LOGIN_FIELDS:
        return
    row.refusals = 0
    row.refused_since = row.refused_at = row.refused_until = row.forced_at = None
    if named & _WHO_LOGS_IN:
        row.login_changed_at, row.login_succeeded_at = now, None


def _settle_status(row: Mailbox, wanted: MailboxChange, named: AbstractSet[str], now: datetime) -> None:
    if row.status == MailboxStatus.ACTIVE and named & LOGIN_FIELDS and row.refusals:
        row.status_detail = None
    _settle_login(row, named, now)
    before = row.status
    if "paused" in named and wanted.paused:
        row.turn(MailboxStatus.PAUSED, now=now)
    elif "paused" in named and row.status == MailboxStatus.PAUSED:
        row.turn(MailboxStatus.ACTIVE, now=now)
    if row.status == MailboxStatus.AUTH_FAILED and named & LOGIN_FIELDS:
        row.turn(MailboxStatus.ACTIVE, now=now)
    if row.status == MailboxStatus.ACTIVE and named & _CREDENTIALS:
        row.status_detail = None
    polled = row.poll_interval_seconds is not None and row.status == MailboxStatus.ACTIVE
    if named & _POLL_FIELDS:
        row.quiet_syncs = 0
    if not polled:
        row.next_sync_at = None
    elif named & LOGIN_FIELDS:
        row.next_sync_at = now
    elif row.next_sync_at is None or named & _POLL_FIELDS or "quota" in named:
        row.next_sync_at = max(now, row.login_after or now)
    if row.poll_interval_seconds is None:
        row.late_at = None
    elif (named & _POLL_FIELDS or row.status != before) and row.last_success_at is not None:
        row.late_at = late_at(row.next_sync_at or now, row.poll_interval_seconds)


def _destination(row: Mailbox) -> Destination:
    return destination_of(row, port=row.port)


def seal(row: Mailbox, credentials: Credentials | None, vault: Vault) -> None:
    """Seal credentials for a row, which has its id. Raises AppError where there is no key."""
    if credentials and vault.is_closed:
        raise without_secrets()
    row.credentials = vault.seal(credentials, Binding.of(row)) if credentials else None


def _bind_anew(row: Mailbox, bound: Binding, vault: Vault) -> None:
    """Seal the stored credentials for where they go now, where a change may take them along."""
    binding = Binding.of(row)
    if binding == bound or not row.credentials:
        return
    if vault.is_closed:
        raise without_secrets()
    try:
        row.credentials = vault.seal(vault.open(row.credentials, bound), binding)
    except CredentialsUnreadable as error:
        detail = "the stored credentials cannot be opened by the secret key of this service: send them anew"
        raise invalid_request("/password", detail) from error
