"""A mailbox as it is answered."""

from pydantic import BaseModel, Field

from app.mailboxes.credentials.secrets import AuthMethod, auth_method
from app.mailboxes.fields import (
    ABOUT_DELETE_SHORT,
    ABOUT_LEGACY_TLS,
    ABOUT_MECHANISM,
    ABOUT_TIMEOUT,
    Host,
    LoginMechanism,
    Name,
    Port,
    RetentionShape,
    Security,
    Username,
)
from app.mailboxes.health import Health, HealthState
from app.mailboxes.keeping.local_retention import ABOUT as ABOUT_LOCAL
from app.mailboxes.keeping.local_retention import LocalRetentionShape
from app.mailboxes.keeping.quotas import ABOUT as ABOUT_QUOTA
from app.mailboxes.keeping.quotas import Quota
from app.mailboxes.models import InitialSync, Mailbox, MailboxStatus
from app.mailboxes.naming import ExternalId, Labels, Metadata
from app.mailboxes.wanted.shapes import AllCriteria, AnyCriteria
from app.web.ids import encode_id
from app.web.times import UtcTime


class ServerFacts(BaseModel):
    """What the mail server announced at the last sync, and what is odd about it."""

    greeting: str | None = Field(None, examples=["Dovecot ready."], description="How it greets.")
    implementation: str | None = Field(None, examples=["Dovecot"], description="As CAPA names it (RFC 2449).")
    capabilities: list[str] = Field(
        default_factory=list, examples=[["UIDL", "TOP", "PIPELINING"]], description="What CAPA lists."
    )
    warnings: list[str] = Field(
        default_factory=list, examples=[[]], description="What is odd about the server, for people."
    )


class Counts(BaseModel):
    """The ledger of the mailbox by state, and what is missing on the server now."""

    unique_ids: int = Field(0, examples=[120], description="Every unique-id ever seen.")
    stored: int = Field(0, examples=[118], description="Retrieved; the message is or was here.")
    filtered: int = Field(0, examples=[2], description="Not wanted by the criteria.")
    failed: int = Field(0, description="Refused by the server when they were asked for.")
    too_large: int = Field(0, description="Larger than the service retrieves.")
    baseline: int = Field(
        0, description="Known from the start: there before the mailbox was, or another client's state had it."
    )
    imported: int = Field(
        0, description="Stored from a file; among them those that the server has shown since."
    )
    not_whole: int = Field(
        0,
        description="Of the stored ones, those whose copy is not confirmed whole: they are not deleted on the server.",
    )
    missing: int = Field(0, description="Of all these, those that the last listing did not show.")
    messages_stored: int = Field(0, examples=[118], description="Messages whose contents are here.")
    octets_stored: int = Field(
        0,
        examples=[6158336],
        description="Their octets as the server sent them, whoever else has the same content. After an upgrade that "
        "first counts it grows, for some minutes, up to what is stored.",
    )


class LastSync(BaseModel):
    """The last sync in brief."""

    id: str = Field(examples=["syn_12"], description="The id of the sync.")
    status: str = Field(examples=["succeeded"], description="How it ended, or how far it is.")
    finished_at: UtcTime | None = Field(description="When it ended; null: not yet.")
    error_code: str | None = Field(examples=[None], description="Why it failed; null: it did not.")


class HealthError(BaseModel):
    """Why the last sync failed."""

    code: str = Field(examples=["connect_failed"], description="Stable; what a program decides by.")
    detail: str = Field(examples=["The server refused the connection."], description="For people.")
    cause: str | None = Field(
        None, examples=["No server listens on port 995."], description="What is likely behind it."
    )
    remedy: str | None = Field(None, examples=["Check the port."], description="What to do about it.")
    server_reply: str | None = Field(
        None,
        examples=[None],
        description="The server's own words; withheld where they repeat part of a secret.",
    )


class HealthAnswer(BaseModel):
    """How a mailbox fares."""

    state: HealthState = Field(
        examples=["ok"],
        description="The first that applies: `paused`; `stopped` (`status` is `auth_failed` or `needs_review`); "
        "`failing`: three syncs in a row failed, or they have failed for half an hour (the settings say); "
        "`never_synced`: none succeeded yet; `stale`: polled, and for three intervals and a quarter of an hour none "
        "succeeded, so this service is late; `ok`. What was stored in part counts as success.",
    )
    since: UtcTime = Field(
        description="Since when it is so; of `failing`: since the first of these failures."
    )
    consecutive_failures: int = Field(examples=[0], description="How many syncs failed in a row.")
    last_success_at: UtcTime | None = Field(description="When a sync succeeded last; null: none did yet.")
    last_message_at: UtcTime | None = Field(description="When a message was stored last; null: none was.")
    error: HealthError | None = Field(
        examples=[None], description="Why the last sync failed; null: it did not."
    )


class MailboxStats(BaseModel):
    """What other features know about a mailbox."""

    counts: Counts = Field(default_factory=Counts)
    last_sync: LastSync | None = None


class MailboxAnswer(BaseModel):
    """A mailbox, without its credentials."""

    id: str = Field(examples=["mbx_7"], description="The id of the mailbox.")
    name: Name
    host: Host
    port: Port
    security: Security = Field(description="How the connection is protected.")
    username: Username
    has_credentials: bool = Field(examples=[True], description="A password or an OAuth 2.0 login is stored.")
    auth_method: AuthMethod | None = Field(description="How we log in; null: there are no credentials.")
    allow_cleartext_password: bool = Field(
        description="Whether a password may cross the network in clear text."
    )
    allow_apop: bool = Field(description="Whether APOP may be used.")
    mechanism: LoginMechanism | None = Field(examples=[None], description=ABOUT_MECHANISM)
    allow_legacy_tls: bool = Field(description=ABOUT_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(examples=[None], description=ABOUT_TIMEOUT)
    reply_timeout_seconds: int | None = Field(examples=[None], description=ABOUT_TIMEOUT)
    session_timeout_seconds: int | None = Field(examples=[None], description=ABOUT_TIMEOUT)
    ca_certificates: str | None = Field(
        examples=[None],
        description="The PEM certificates that the server's is verified against; null: the system's.",
    )
    poll_interval_seconds: int | None = Field(
        examples=[300], description="Seconds between polls; null: only on demand."
    )
    poll_interval_max_seconds: int | None = Field(
        examples=[None], description="How far the time between polls may grow; null: it does not."
    )
    initial_sync: InitialSync = Field(description="What the first sync does with mail that is there.")
    delete_short: bool = Field(description=ABOUT_DELETE_SHORT)
    server_retention: RetentionShape = Field(
        examples=[{"mode": "keep"}], description="What becomes of mail on the server."
    )
    local_retention: LocalRetentionShape | None = Field(examples=[None], description=ABOUT_LOCAL)
    quota: Quota | None = Field(examples=[None], description=ABOUT_QUOTA)
    criteria: AllCriteria | AnyCriteria | None = Field(
        examples=[None], description="Which messages to retrieve; null: all."
    )
    status: MailboxStatus = Field(description="Whether it is synced.")
    status_detail: str | None = Field(examples=[None], description="Why it is not, for people.")
    external_id: ExternalId | None
    labels: Labels
    metadata: Metadata
    paused: bool = Field(description="Whether `paused` was set.")
    health: HealthAnswer = Field(description="How it fares.")
    last_sync: LastSync | None = Field(description="The latest sync; null: there was none.")
    next_sync_at: UtcTime | None = Field(description="When it is polled next; null: only on demand.")
    server: ServerFacts | None = Field(description="What is known of the server; null: nothing yet.")
    counts: Counts = Field(description="The ledger in numbers.")
    created_at: UtcTime = Field(description="When it was registered.")


# What is answered as the row has it.
_AS_STORED = (MailboxAnswer.model_fields.keys() & Mailbox.model_fields.keys()) - {"id", "server"}


def health_answer(row: Mailbox, health: Health) -> HealthAnswer:
    """The health of a row."""
    error = {name: (row.last_error or {}).get(name) for name in HealthError.model_fields}
    return HealthAnswer(
        state=health.state,
        since=health.since,
        consecutive_failures=row.failures,
        last_success_at=row.last_success_at,
        last_message_at=row.last_message_at,
        error=HealthError.model_validate(error) if row.last_error else None,
    )


def answer(row: Mailbox, facts: MailboxStats, health: Health) -> MailboxAnswer:
    """Shape a row for the API."""
    assert row.id is not None
    return MailboxAnswer(
        **row.model_dump(include=_AS_STORED),
        metadata=row.caller_metadata,
        id=encode_id("mbx", row.id),
        has_credentials=row.credentials is not None,
        auth_method=auth_method(row.credentials),
        paused=row.status == MailboxStatus.PAUSED,
        server=ServerFacts.model_validate(row.server) if row.server else None,
        health=health_answer(row, health),
        counts=facts.counts,
        last_sync=facts.last_sync,
    )
