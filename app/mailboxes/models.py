"""The table of mailboxes."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Text, false, text, true
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, Octets, UtcDateTime
from app.database.indices import partial_index

MailboxId = NewType("MailboxId", int)

EXPIRY_JOB = "expire_messages"  # what is kept no longer goes in the background
REMOVAL_JOB = "remove_mailboxes"  # what belongs to removed mailboxes goes in the background


class MailboxStatus(StrEnum):
    """Whether we poll, and if not, why."""

    ACTIVE = "active"
    PAUSED = "paused"
    AUTH_FAILED = "auth_failed"
    NEEDS_REVIEW = "needs_review"


class Pace(StrEnum):
    """How a mailbox's last sync went, by which it gets its slot for the next one (``runs/slots.py``)."""

    QUICK = "quick"
    NEW = "new"
    SLOW = "slow"


class InitialSync(StrEnum):
    """What the first sync does with the mail that is already there."""

    ALL = "all"
    FROM_NOW = "from_now"


class Mailbox(SQLModel, table=True):
    """One maildrop that we poll: where it is, how to log in, and what we last saw there.

    ``login_after``: no poll comes before it, whatever is changed, for the server or the provider wants so much
    time between two logins. ``is_private``: in a network where each port of a host is a server of its own.
    ``waiting``: how many messages that failed are listed and wait for a next attempt.
    ``follow_ups``: how many sessions have gone on with what one left that was cut. ``quiet_syncs``: how many in a row
    have brought nothing new. ``listed_entries``: how many messages the last listing showed.

    ``generation``: how many maildrops have stood behind it: another account is another one. ``earlier_maildrops``: what
    is remembered of those before, to know them again (``earlier_maildrops.py``). ``compares_all``: the
    maildrop was moved, so that the next listing is compared message by message. ``ids_are_numbers``: its unique-ids
    proved to be message-numbers. ``ids_are_changing``: most known ids had vanished, and not all that is there
    instead was looked at yet. ``uidl_failures``, since ``uidl_failed_at``: how often UIDL failed in a row.
    ``login_changed_at``: since when its login is what it is. ``login_succeeded_at``: when that worked last.
    ``refusals``: how often it was refused in a row, since ``refused_since``, last at ``refused_at``; no login before
    ``refused_until``, but those of which ``forced_at`` keeps the latest.
    ``stat_excess``: how many messages more than it listed STAT counted last; null: none.
    ``quota``: how much of it may be stored; null: as the settings say.
    ``local_retention``: how long contents are kept here; null: as the settings say. ``expired_to``: all its messages up
    to this place in the feed have expired, or are gone.
    ``removed_at``: it is gone for all who ask, and what belongs to it goes by and by.

    ``status_since``: when it got its status. ``failures`` in a row, the first one at ``failing_since``, the latest one
    ``last_error``. ``last_success_at``: when a sync succeeded last, in part or whole; ``succeeding_since``: the first
    time behind the last failure. ``late_at``: when three intervals without a success are over (``health.py``).
    ``last_message_at``: when a message of it was stored last. Triggers keep how many mailboxes there are by status,
    success and failures (``mailbox_tallies``): a migration that makes this table anew makes them anew.

    ``namespace``: in which no other one has its ``external_id``; empty: that of all who reach every mailbox. One that
    a bound key named has one of its own.
    ``labels`` has an index, the table of ``MailboxLabel``. ``caller_metadata``: ``metadata`` in the API.
    """

    __tablename__ = "mailboxes"
    __table_args__ = (
        partial_index(
            "ix_mailboxes_removed",
            "removed_at",
            where="removed_at IS NOT NULL",
        ),
        partial_index(
            "ix_mailboxes_refused",
            "host",
            "port",
            "refused_at",
            where="refused_at IS NOT NULL",
        ),
        Index("ix_mailboxes_login", "username", "port"),
        partial_index(
            "ix_mailboxes_status",
            "status",
            "id",
            where="removed_at IS NULL",
        ),
        partial_index(
            "ix_mailboxes_failing",
            "failures",
            "failing_since",
            where="failures > 0",
        ),
        partial_index(
            "ix_mailboxes_never_synced",
            "id",
            where="last_success_at IS NULL",
        ),
        partial_index(
            "ix_mailboxes_late",  # with all that says whether one is stale: rows are wide
            "late_at",
            "status",
            "failures",
            "failing_since",
            "last_success_at",
            "removed_at",
            where="late_at IS NOT NULL",
        ),
        partial_index(
            "uq_mailboxes_external_id",
            "namespace",
            "external_id",
            unique=True,
            where="external_id IS NOT NULL AND removed_at IS NULL",
        ),
        partial_index(
            "ix_mailboxes_external_id",
            "external_id",
            where="external_id IS NOT NULL",
        ),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    host: str = Field(sa_column=Column(Text, nullable=False))
    port: int = Field(sa_column=Column(Integer, nullable=False))
    security: str = Field(sa_column=Column(Text, nullable=False))
    username: str = Field(sa_column=Column(Text, nullable=False))
    credentials: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    allow_cleartext_password: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    allow_apop: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    mechanism: str | None = Field(default=None, sa_column=Column(Text))
    allow_legacy_tls: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    connect_timeout_seconds: int | None = Field(default=None, sa_column=Column(Integer))
    reply_timeout_seconds: int | None = Field(default=None, sa_column=Column(Integer))
    session_timeout_seconds: int | None = Field(default=None, sa_column=Column(Integer))
    ca_certificates: str | None = Field(default=None, sa_column=Column(Text))
    poll_interval_seconds: int | None = Field(default=None, sa_column=Column(Integer))
    poll_interval_max_seconds: int | None = Field(default=None, sa_column=Column(Integer))
    delete_short: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    initial_sync: str = Field(default=InitialSync.ALL.value, sa_column=Column(Text, nullable=False))
    server_retention: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    local_retention: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    quota: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    expired_to: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))
    criteria: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    status: str = Field(default=MailboxStatus.ACTIVE.value, sa_column=Column(Text, nullable=False))
    status_detail: str | None = Field(default=None, sa_column=Column(Text))
    server: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    listed_entries: int | None = Field(default=None, sa_column=Column(Integer))
    listed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    ids_changed: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    generation: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    earlier_maildrops: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(Json))
    compares_all: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    ids_are_numbers: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    ids_are_changing: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )
    uidl_failures: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    uidl_failed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    stat_excess: int | None = Field(default=None, sa_column=Column(Integer))
    failures: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    quiet_syncs: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    waiting: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    follow_ups: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    login_after: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    login_changed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    login_succeeded_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    refusals: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    refused_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    refused_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    refused_until: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    forced_at: list[str] | None = Field(default=None, sa_column=Column(Json))
    wanted_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    pace: str = Field(
        default=Pace.NEW.value, sa_column=Column(Text, nullable=False, server_default=Pace.NEW.value)
    )
    is_private: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    next_sync_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, index=True))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    removed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    external_id: str | None = Field(default=None, sa_column=Column(Octets))
    namespace: str = Field(default="", sa_column=Column(Octets, nullable=False, server_default=""))
    labels: list[str] = Field(
        default_factory=list, sa_column=Column(Json, nullable=False, server_default=text("'[]'"))
    )
    caller_metadata: dict[str, str] = Field(
        default_factory=dict, sa_column=Column(Json, nullable=False, server_default=text("'{}'"))
    )
    status_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    failing_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    last_error: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    last_success_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    succeeding_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    late_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    last_message_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))

    def turn(self, status: MailboxStatus, *, now: datetime, detail: str | None = None) -> None:
        """Give it a status; one that it has already it keeps since when it has it."""
        if self.status != status:
            self.status, self.status_since = status.value, now
        self.status_detail = detail


class MailboxLabel(SQLModel, table=True):
    """The labels of mailboxes once more, to find these by: a row for each label of each mailbox that is there.

    ``gives_reach``: keys that are bound to the label reach the mailbox (``labelling``).
    """

    __tablename__ = "mailbox_labels"
    __table_args__ = (Index("ix_mailbox_labels_mailbox_id", "mailbox_id"),)

    label: str = Field(sa_column=Column(Octets, primary_key=True))
    mailbox_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    gives_reach: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=true()))
