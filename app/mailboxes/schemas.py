"""A mailbox as it is sent."""

import ssl
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from app.mailboxes.answers import MailboxAnswer
from app.mailboxes.credentials.destination import canonical_host
from app.mailboxes.credentials.oauth2 import OAuth2Login
from app.mailboxes.credentials.secrets import Credentials
from app.mailboxes.fields import (
    ABOUT_DELETE_SHORT,
    ABOUT_LEGACY_TLS,
    ABOUT_MECHANISM,
    ABOUT_TIMEOUT,
    DEFAULT_PORTS,
    CaCertificates,
    Host,
    LoginMechanism,
    LongestPollInterval,
    Name,
    Password,
    PollInterval,
    Port,
    Security,
    ServerRetention,
    Username,
)
from app.mailboxes.keeping.local_retention import ABOUT as ABOUT_LOCAL
from app.mailboxes.keeping.local_retention import LocalRetention
from app.mailboxes.keeping.quotas import ABOUT as ABOUT_QUOTA
from app.mailboxes.keeping.quotas import Quota
from app.mailboxes.models import InitialSync, MailboxStatus
from app.mailboxes.naming import ExternalId, Labels, Metadata
from app.mailboxes.wanted.criteria import Criteria
from app.network.addresses import literal_address
from app.web.requests.changes import without
from app.web.sent import Sent
from app.web.times import UtcTime

_ALLOW_DUPLICATE = (
    "true: also where another mailbox has the same host, port and username, which else is 409 `mailbox_exists`. It "
    "belongs to the request and is not stored."
)
_BY_TOKEN = {LoginMechanism.XOAUTH2, LoginMechanism.OAUTHBEARER}


class MaildropMove(StrEnum):
    """What stands behind a mailbox after its host or port changed."""

    SAME = "same"
    OTHER = "other"


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


class _Checks(Sent):
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
    mechanism: LoginMechanism | None = Field(None, description=ABOUT_MECHANISM)
    allow_legacy_tls: bool = Field(False, description=ABOUT_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(None, ge=1, le=120, description=ABOUT_TIMEOUT)
    reply_timeout_seconds: int | None = Field(None, ge=1, le=600, description=ABOUT_TIMEOUT)
    session_timeout_seconds: int | None = Field(None, ge=10, le=6 * 3600, description=ABOUT_TIMEOUT)
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
    delete_short: bool = Field(False, description=ABOUT_DELETE_SHORT)
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
    mechanism: LoginMechanism | None = Field(default_factory=_unset, description=ABOUT_MECHANISM)
    allow_legacy_tls: bool = Field(default_factory=_unset, description=ABOUT_LEGACY_TLS)
    connect_timeout_seconds: int | None = Field(
        default_factory=_unset, ge=1, le=120, description=ABOUT_TIMEOUT
    )
    reply_timeout_seconds: int | None = Field(default_factory=_unset, ge=1, le=600, description=ABOUT_TIMEOUT)
    session_timeout_seconds: int | None = Field(
        default_factory=_unset, ge=10, le=6 * 3600, description=ABOUT_TIMEOUT
    )
    ca_certificates: CaCertificates | None = Field(default_factory=_unset)
    poll_interval_seconds: PollInterval | None = Field(default_factory=_unset)
    poll_interval_max_seconds: LongestPollInterval | None = Field(default_factory=_unset)
    server_retention: ServerRetention = Field(
        default_factory=_unset, description="What becomes of mail on the server."
    )
    local_retention: LocalRetention | None = Field(default_factory=_unset, description=ABOUT_LOCAL)
    quota: Quota | None = Field(default_factory=_unset, description=ABOUT_QUOTA)
    delete_short: bool = Field(default_factory=_unset, description=ABOUT_DELETE_SHORT)
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
        "be read only. Another `username` is another maildrop, unless only its case differs: then it is compared. One "
        "that the mailbox had before is that maildrop again, if this is left out.",
    )
    allow_duplicate: bool = Field(default_factory=_unset, description=_ALLOW_DUPLICATE)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_to_be_read_only(cls, sent: Any) -> Any:
        return without(sent, MailboxAnswer.model_fields.keys() - cls.model_fields.keys())


# What a PATCH may change and an answer shows.
_WRITABLE = (MailboxChange.model_fields.keys() & MailboxAnswer.model_fields.keys()) - {
    "id",
    "status",
    "created_at",
}


def etag(mailbox: MailboxAnswer, *, login_changed_at: datetime | None) -> str:
    """Changes with what a PATCH may change (RFC 9110 §8.8.3), and not with each sync. Of credentials, which nobody is
    shown, it tells by the time of their change.
    """
    text = mailbox.model_dump_json(include=set(_WRITABLE) | {"auth_method"})
    text += login_changed_at.isoformat() if login_changed_at else ""
    return f'"{sha256(text.encode()).hexdigest()[:32]}"'
