"""Fields that a mailbox has alike where it is sent and where it is answered."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from app.mailboxes.wanted.shapes import Shaped
from app.web.sent import Sent
from app.web.text import Line, written_as


class Security(StrEnum):
    """How the connection is protected. ``none`` sends everything in clear text."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


DEFAULT_PORTS = {Security.TLS: 995, Security.STARTTLS: 110, Security.NONE: 110}

Name = Annotated[Line, Field(min_length=1, max_length=200, examples=["Invoices"], description="For people.")]
_HOST_PATTERN = r"^[^\s/@\x00-\x1f\x7f]+$"
Host = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=_HOST_PATTERN,
        examples=["pop.example.org"],
        description="The POP3 server: a name or an address.",
    ),
    written_as(_HOST_PATTERN, "must be a name or an address, without blanks, / and @"),
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

ABOUT_LEGACY_TLS = (
    "Also TLS 1.0 and 1.1, and ciphers and keys that are thought too weak today: for old servers with which there is "
    "no common cipher."
)
ABOUT_TIMEOUT = "Seconds, instead of the setting of the service; null: that."
ABOUT_MECHANISM = (
    "Log in in this way and no other. null: the best that works; a way that is announced and refused is remembered, "
    "and another one used."
)
ABOUT_DELETE_SHORT = (
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


class ServerRetention(Shaped, Sent):
    """Deleted on the server is only what is stored here and was read back."""

    mode: RetentionMode = RetentionMode.KEEP
    days: int | None = Field(None, ge=1, le=36500)

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
