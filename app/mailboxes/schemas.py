"""A mailbox as it is sent and as it is answered."""

import ssl
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from app.mailboxes.credentials.destination import canonical_host
from app.mailboxes.credentials.oauth2 import OAuth2Login
from app.mailboxes.credentials.secrets import AuthMethod, Credentials, auth_method
from app.mailboxes.health import Health, HealthState
from app.mailboxes.keeping.local_retention import ABOUT as ABOUT_LOCAL
from app.mailboxes.keeping.local_retention import LocalRetention, LocalRetentionShape
from app.mailboxes.keeping.quotas import ABOUT as ABOUT_QUOTA
from app.mailboxes.keeping.quotas import Quota
from app.mailboxes.models import InitialSync, Mailbox, MailboxStatus
from app.mailboxes.naming import ExternalId, Labels, Metadata
from app.mailboxes.wanted.criteria import Criteria
from app.mailboxes.wanted.shapes import AllCriteria, AnyCriteria, Shaped
from app.network.addresses import literal_address
from app.web.ids import encode_id
from app.web.text import Line
from app.web.times import UtcTime


class Security(StrEnum):
    """How the connection is protected. ``none`` sends everything in clear text."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


DEFAULT_PORTS = {Security.TLS: 995, Security.STARTTLS: 110, Security.NONE: 110}

Name = Annotated[Line, Field(min_length=1, max_length=200, examples=["Invoices"], description="For people.")]
Host = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[^\s/@\x00-\x1f\x7f]+$",
        examples=["pop.example.org"],
        description="The POP3 server: a name or an address.",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535, examples=[995], description="Where the server listens.")]
Username = Annotated[
    str,
    Field(
        min_length=1,
        max_length=240,
        examples=["invoices@example.org"],
        description="The name to log in by; at many providers the whole address.",
    ),
]
Password = Annotated[
    SecretStr,
    Field(
        min_length=1, max_length=8192, examples=["correct horse battery staple"], description="Write-only."
    ),
]
PollInterval = Annotated[
    int,
    Field(ge=10, le=31 * 86400, examples=[300], description="Seconds between polls; null: only on demand."),
]
LongestPollInterval = Annotated[
    int,
    Field(
        ge=10,
        le=31 * 86400,
        examples=[3600],
        description="The time between polls grows by half with each sync that brings nothing new, up to so many "
        "seconds, and is `poll_interval_seconds` again once something came; null: it does not grow.",
    ),
]
CaCertificates = Annotated[
    str,
    Field(
        max_length=200_000,
        description="PEM certificates that the server's certificate is verified against, instead of the "
        "system's: for a mail server with a private certificate authority.",
    ),
]


_LEGACY_TLS = (
    "Also TLS 1.0 and 1.1, and ciphers and keys that are thought too weak today: for old servers with which there is "
    "no common cipher."
)
_OWN_TIMEOUT = "Seconds, instead of the setting of the service; null: that."
_MECHANISM = (
    "Log in in this way and no other. null: the best that works; a way that is announced and refused is remembered, "
    "and another one used."
)
_ALLOW_DUPLICATE = (
    "true: also where another mailbox has the same host, port and username, which else is 409 `mailbox_exists`. It "
    "belongs to the request and is not stored."
)
_DELETE_SHORT = (
    "true: messages that the server sends shorter than it says, each time they are retrieved, are deleted there as the "
    "others are. Else they stay, for what is stored of them may not be all."
)


class LoginMechanism(StrEnum):
    """How to log in: USER and PASS, or a SASL mechanism (RFC 5034)."""

    USER = "USER"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"
    CRAM_MD5 = "CRAM-MD5"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    XOAUTH2 = "XOAUTH2"
    OAUTHBEARER = "OAUTHBEARER"


_BY_TOKEN = {LoginMechanism.XOAUTH2, LoginMechanism.OAUTHBEARER}


class MaildropMove(StrEnum):
    """What stands behind a mailbox after its host or port changed."""

    SAME = "same"
    OTHER = "other"


class RetentionMode(StrEnum):
    """What becomes of mail on the server."""

    KEEP = "keep"
    DELETE_AFTER_RETRIEVE = "delete_after_retrieve"
    DELETE_AFTER_DAYS = "delete_after_days"


class KeepOnServer(BaseModel, extra="forbid"):
    """Nothing is deleted."""

    mode: Literal[RetentionMode.KEEP] = Field(description="Never a DELE.")


class DeleteAfterRetrieve(BaseModel, extra="forbid"):
    """What is stored here goes at the end of the sync."""

    mode: Literal[RetentionMode.DELETE_AFTER_RETRIEVE] = Field(description="As soon as it is stored here.")


class DeleteAfterDays(BaseModel, extra="forbid"):
    """What is stored here goes some days later."""

    mode: Literal[RetentionMode.DELETE_AFTER_DAYS] = Field(description="So many days later.")
    days: int = Field(ge=1, le=36500, examples=[30], description="How long after it was first seen.")


RetentionShape = Annotated[KeepOnServer | DeleteAfterRetrieve | DeleteAfterDays, Field(discriminator="mode")]


class ServerRetention(Shaped, BaseModel, extra="forbid"):
    """Deleted on the server is only what is stored here and was read back."""

    mode: RetentionMode = RetentionMode.KEEP
    days: int | None = Field(None, strict=True, ge=1, le=36500)

    @classmethod
    def shapes(cls) -> Any:
        return RetentionShape

    @model_validator(mode="after")
    def _days_belong_to_their_mode(self) -> Self:
        if (self.mode is RetentionMode.DELETE_AFTER_DAYS) != (self.days is not None):
            raise ValueError("days go with mode delete_after_days, and only with it")
        return self

    @model_serializer(mode="wrap")
    def _without_null(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


def _checked_line(value: str) -> str:
    if any(character in value for character in "\r\n\0"):
        raise ValueError("must not contain a line end or NUL")
    return value


def _checked_certificates(value: str | None) -> str | None:
    if value is not None:
        try:
            if not value:  # it would be taken for none given, which means the system's
                raise ValueError
            ssl.create_default_context(cadata=value)
        except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: it is not ASCII
            raise ValueError("holds no PEM certificate that can be read") from error
    return value


class _Checks(BaseModel, extra="forbid"):
    """What is checked in a new mailbox and in a change alike."""

    @field_validator("host", check_fields=False)
    @classmethod
    def _without_port(cls, value: str) -> str:
        if ":" in value and literal_address(value) is None:
            raise ValueError("must be a name or an address alone: a port belongs into port")
        if not canonical_host(value):
            raise ValueError("must be a name or an address")
        return value

    @field_validator("username", check_fields=False)
    @classmethod
    def _one_line(cls, value: str) -> str:
        return _checked_line(value)

    @field_validator("password", check_fields=False)
    @classmethod
    def _one_secret_line(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _checked_line(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        if getattr(self, "password", None) and getattr(self, "oauth2", None):
            raise ValueError("either password or oauth2, not both")
        return self

    @field_validator("mechanism", mode="before", check_fields=False)
    @classmethod
    def _in_upper_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _mechanism_fits(self) -> Self:
        mechanism = getattr(self, "mechanism", None)
        if mechanism is not None and (
            (getattr(self, "password", None) and mechanism in _BY_TOKEN)
            or (getattr(self, "oauth2", None) and mechanism not in _BY_TOKEN)
        ):
            raise ValueError("mechanism XOAUTH2 and OAUTHBEARER go with oauth2, the others with password")
        return self

    @field_validator("ca_certificates", check_fields=False)
    @classmethod
    def _readable_certificates(cls, value: str | None) -> str | None:
        return _checked_certificates(value)


def credentials_of(wanted: "NewMailbox | MailboxChange") -> Credentials | None:
    """What to log in with, when it was sent."""
    if wanted.oauth2 is not None:
        return wanted.oauth2.opened()
    return wanted.password.get_secret_value() if wanted.password else None


class NewMailbox(_Checks):
    """A mailbox to register."""

    name: Name
    host: Host
    port: Port | None = Field(None, description="Default: 995 with `tls`, else 110.")
    security: Security = Field(Security.TLS, description="How the connection is protected.")
    username: Username
    password: Password | None = None
    oauth2: OAuth2Login | None = Field(None, description="Instead of `password`.")
    allow_cleartext_password: bool = Field(
        False, description="With `security: none` the password crosses the network in clear text; say so."
    )
    allow_apop: bool = Field(
        False,
        description="Log in by APOP where the greeting has a timestamp and the password would else be sent by USER "
        "and PASS. Its MD5 is broken: better than clear text, worse than TLS.",
    )
    mechanism: LoginMechanism | None = Field(None, description=_MECHANISM)
    allow_legacy_tls: bool = Field(False, description=_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(None, ge=1, le=120, description=_OWN_TIMEOUT)
    reply_timeout_seconds: int | None = Field(None, ge=1, le=600, description=_OWN_TIMEOUT)
    session_timeout_seconds: int | None = Field(None, ge=10, le=6 * 3600, description=_OWN_TIMEOUT)
    ca_certificates: CaCertificates | None = None
    poll_interval_seconds: PollInterval | None = None
    poll_interval_max_seconds: LongestPollInterval | None = None
    initial_sync: InitialSync = Field(
        InitialSync.ALL,
        description="`from_now`: mail that is there at the first sync is known, not retrieved.",
    )
    server_retention: ServerRetention = Field(
        default_factory=ServerRetention, description="What becomes of mail on the server."
    )
    local_retention: LocalRetention | None = Field(None, description=ABOUT_LOCAL)
    quota: Quota | None = Field(None, description=ABOUT_QUOTA)
    delete_short: bool = Field(False, description=_DELETE_SHORT)
    criteria: Criteria | None = Field(None, description="Which messages to retrieve; null: all.")
    external_id: ExternalId | None = None
    labels: Labels = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    allow_duplicate: bool = Field(False, description=_ALLOW_DUPLICATE)

    @model_validator(mode="after")
    def _clear_text_is_said(self) -> Self:
        has_secret = self.password or self.oauth2
        if self.security is Security.NONE and has_secret and not self.allow_cleartext_password:
            raise ValueError(
                "with security 'none' a password is accepted only if allow_cleartext_password is true"
            )
        return self

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return self.port or DEFAULT_PORTS[self.security]


def _unset() -> Any:
    """Of a field that was not sent nothing is looked at. A default would stand in the document, and be sent."""
    return None


class MailboxChange(_Checks):
    """What to change; what is not named stays.

    A mailbox as it was read may be sent back whole: what cannot be changed is ignored, but ``id``, ``status`` and
    ``created_at``, which must be as they are.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"poll_interval_seconds": 600}]})

    id: str = Field(default_factory=_unset, description="Must be the mailbox's.")
    status: MailboxStatus = Field(default_factory=_unset, description="Must be as it is; see `paused`.")
    created_at: UtcTime = Field(default_factory=_unset, description="Must be as it is.")
    name: Name = Field(default_factory=_unset)
    host: Host = Field(default_factory=_unset)
    port: Port | None = Field(
        default_factory=_unset,
        description="null: the default of the security in force. Not named, it follows another `security` where it is "
        "the default one.",
    )
    security: Security = Field(default_factory=_unset, description="How the connection is protected.")
    username: Username = Field(default_factory=_unset)
    password: Password | None = Field(
        default_factory=_unset, description="null removes the stored credentials."
    )
    oauth2: OAuth2Login | None = Field(
        default_factory=_unset, description="Instead of `password`; each replaces the other. null like there."
    )
    allow_cleartext_password: bool = Field(
        default_factory=_unset,
        description="With `security: none` the password crosses the network in clear text; say so.",
    )
    allow_apop: bool = Field(
        default_factory=_unset, description="Log in by APOP where there is no better way."
    )
    mechanism: LoginMechanism | None = Field(default_factory=_unset, description=_MECHANISM)
    allow_legacy_tls: bool = Field(default_factory=_unset, description=_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(
        default_factory=_unset, ge=1, le=120, description=_OWN_TIMEOUT
    )
    reply_timeout_seconds: int | None = Field(default_factory=_unset, ge=1, le=600, description=_OWN_TIMEOUT)
    session_timeout_seconds: int | None = Field(
        default_factory=_unset, ge=10, le=6 * 3600, description=_OWN_TIMEOUT
    )
    ca_certificates: CaCertificates | None = Field(default_factory=_unset)
    poll_interval_seconds: PollInterval | None = Field(default_factory=_unset)
    poll_interval_max_seconds: LongestPollInterval | None = Field(default_factory=_unset)
    server_retention: ServerRetention = Field(
        default_factory=_unset, description="What becomes of mail on the server."
    )
    local_retention: LocalRetention | None = Field(default_factory=_unset, description=ABOUT_LOCAL)
    quota: Quota | None = Field(default_factory=_unset, description=ABOUT_QUOTA)
    delete_short: bool = Field(default_factory=_unset, description=_DELETE_SHORT)
    criteria: Criteria | None = Field(
        default_factory=_unset,
        description="Messages that were filtered are judged again by the new criteria.",
    )
    external_id: ExternalId | None = Field(default_factory=_unset)
    labels: Labels = Field(default_factory=_unset)
    metadata: Metadata = Field(default_factory=_unset)
    paused: bool = Field(default_factory=_unset, description="true: no sync until it is false again.")
    maildrop: MaildropMove | None = Field(
        default_factory=_unset,
        description="Needed with another `host` or `port`, once something is known of the maildrop. `same`: the "
        "maildrop was moved; what it shows is compared with what is known, and only what is unknown is new. `other`: "
        "another maildrop; all that it shows is new (or a baseline, as `initial_sync` says), and what was known is to "
        "be read only. Another `username` is another maildrop always.",
    )
    allow_duplicate: bool = Field(default_factory=_unset, description=_ALLOW_DUPLICATE)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_to_be_read_only(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        read_only = MailboxAnswer.model_fields.keys() - cls.model_fields.keys()
        return {name: value for name, value in sent.items() if name not in read_only}


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
    mechanism: LoginMechanism | None = Field(examples=[None], description=_MECHANISM)
    allow_legacy_tls: bool = Field(description=_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(examples=[None], description=_OWN_TIMEOUT)
    reply_timeout_seconds: int | None = Field(examples=[None], description=_OWN_TIMEOUT)
    session_timeout_seconds: int | None = Field(examples=[None], description=_OWN_TIMEOUT)
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
    delete_short: bool = Field(description=_DELETE_SHORT)
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
    columns = row.model_dump(
        exclude={"id", "credentials", "server", "listed_at", "failures", "ids_changed", "wanted_at"}
        | {"quiet_syncs", "login_after", "generation", "compares_all", "ids_are_numbers"}
        | {"ids_are_changing", "pace", "is_private"}
        | {"uidl_failures", "uidl_failed_at", "stat_excess"}
        | {
            "login_changed_at",
            "login_succeeded_at",
            "refusals",
            "refused_since",
            "refused_at",
            "refused_until",
        }
        | {"forced_at", "follow_ups", "waiting", "expired_to", "namespace", "caller_metadata"}
        | {"status_since", "failing_since", "last_error", "succeeding_since", "late_at"}
        | {"last_success_at", "last_message_at"}
    )
    return MailboxAnswer(
        **columns,
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


# What a PATCH may change and an answer shows.
_WRITABLE = (MailboxChange.model_fields.keys() & MailboxAnswer.model_fields.keys()) - {
    "id",
    "status",
    "created_at",
}


def etag(mailbox: MailboxAnswer) -> str:
    """Changes with what a PATCH may change (RFC 9110 §8.8.3), and not with each sync."""
    text = mailbox.model_dump_json(include=set(_WRITABLE) | {"auth_method"})
    return f'"{sha256(text.encode()).hexdigest()[:32]}"'
