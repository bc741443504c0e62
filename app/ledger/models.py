"""The tables of the ledger and of sync runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, Octets, UtcDateTime
from app.mailboxes.models import Pace

EntryId = NewType("EntryId", int)
SyncId = NewType("SyncId", int)


class EntryState(StrEnum):
    """What became of a unique-id."""

    STORED = "stored"
    FILTERED = "filtered"
    FAILED = "failed"
    TOO_LARGE = "too_large"
    BASELINE = "baseline"


class SyncStatus(StrEnum):
    """Where a sync is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


NO_SERVER = "-"  # of syncs that a version asked for which knew of no limits

ACTIVE = (SyncStatus.QUEUED.value, SyncStatus.RUNNING.value)


class Trigger(StrEnum):
    """Who asked for a sync."""

    MANUAL = "manual"
    SCHEDULE = "schedule"


class UniqueIdEntry(SQLModel, table=True):
    """One line of the ledger: a unique-id that was seen, and what became of it.

    ``is_whole``: the stored copy is confirmed whole (``wholeness``); null: a version stored it that did not ask.
    ``doubt``: why it is not, or why the message is retrieved again; ``doubtful_sha256``: what came the last time.
    ``unique_id`` is compared octet by octet (a binary column: no collation may fold ``aB`` and ``Ab``).
    While the entry is not missing its last sighting is the mailbox's ``listed_at``: a sync that finds
    everything in its place writes nothing here.

    ``generation``: of which maildrop it is, where another account stands behind the mailbox by now; lines of earlier
    ones are to be read only. ``names_sha256`` and ``head_octets``: Message-ID, Date and From, and how long the header
    block was (``app.mail.fingerprint``). ``deletes``: how often the server said that it deleted the message,
    ``delete_after``: before then it is not asked again.
    """

    __tablename__ = "unique_ids"
    __table_args__ = (
        Index("uq_unique_ids_key", "mailbox_id", "unique_id", "occurrence", unique=True),
        Index("ix_unique_ids_mailbox_id_id", "mailbox_id", "id"),
        Index("ix_unique_ids_state", "mailbox_id", "state", "missing_since", "first_seen_at"),
        Index(
            "ix_unique_ids_waiting",
            "mailbox_id",
            "next_attempt_at",
            sqlite_where=text("next_attempt_at IS NOT NULL"),
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index(
            "ix_unique_ids_missing",
            "mailbox_id",
            "content_sha256",
            sqlite_where=text("missing_since IS NOT NULL"),
            postgresql_where=text("missing_since IS NOT NULL"),
        ),
        Index(
            "ix_unique_ids_kept",
            "mailbox_id",
            sqlite_where=text("missing_since IS NULL AND delete_after IS NOT NULL"),
            postgresql_where=text("missing_since IS NULL AND delete_after IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    mailbox_id: int = Field(
        sa_column=Column(BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False)
    )
    unique_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    occurrence: int = Field(sa_column=Column(Integer, nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    octets: int | None = Field(default=None, sa_column=Column(BigInt))
    first_seen_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    last_seen_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    missing_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    message_seq: int | None = Field(default=None, sa_column=Column(BigInt))
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    next_attempt_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    reason: str | None = Field(default=None, sa_column=Column(Text))
    is_wanted: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    headers_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    content_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    head: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    is_whole: bool | None = Field(default=None, sa_column=Column(Boolean))
    doubt: str | None = Field(default=None, sa_column=Column(Text))
    doubtful_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    generation: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    names_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    head_octets: int | None = Field(default=None, sa_column=Column(Integer))
    deletes: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    delete_after: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class ListingMark(SQLModel, table=True):
    """What is remembered of a listing that was worked off completely (``recall.Mark``).

    Without a row everything is looked at. ``is_confirmed`` is false after a listing that was suddenly empty.
    """

    __tablename__ = "listing_marks"

    mailbox_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    uidl_octets: int = Field(sa_column=Column(BigInt, nullable=False))
    uidl_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sizes_octets: int = Field(sa_column=Column(BigInt, nullable=False))
    sizes_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    entries: int = Field(sa_column=Column(Integer, nullable=False))
    is_confirmed: bool = Field(sa_column=Column(Boolean, nullable=False))


class Learnt(SQLModel, table=True):
    """What was learnt about a server, or about one mailbox at it (``learnt``); forgotten when it is old."""

    __tablename__ = "learnt"

    subject: str = Field(sa_column=Column(Octets, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    facts: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    learnt_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Sync(SQLModel, table=True):
    """One run of list, diff, retrieve, store: the durable request for it, its lease and its report.

    At most one sync of a mailbox is queued or running (a partial unique index). ``lease_token`` grows with
    every claim; whoever writes for a sync shows the token, so that a worker that was thought dead and comes
    back can commit nothing. ``server``: the host of the mailbox when the sync was asked for (in private networks with
    its port), by which the limits for each mail server count; ``pace``: how the mailbox's last sync had gone.
    ``traceparent``: the span that asked for it (W3C Trace Context), if any.
    """

    __tablename__ = "syncs"
    __table_args__ = (
        Index("ix_syncs_mailbox_id_id", "mailbox_id", "id"),
        Index(
            "uq_syncs_active",
            "mailbox_id",
            unique=True,
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index(
            "ix_syncs_server",
            "status",
            "server",
            "id",
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index(
            "ix_syncs_pace",
            "status",
            "pace",
            "server",
            "id",
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    mailbox_id: int = Field(
        sa_column=Column(BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False)
    )
    server: str = Field(default=NO_SERVER, sa_column=Column(Octets, nullable=False, server_default=NO_SERVER))
    pace: str = Field(
        default=Pace.NEW.value, sa_column=Column(Text, nullable=False, server_default=Pace.NEW.value)
    )
    trigger: str = Field(sa_column=Column(Text, nullable=False))
    status: str = Field(sa_column=Column(Text, nullable=False))
    queued_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    started_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    finished_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    cancel_requested_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    worker: str | None = Field(default=None, sa_column=Column(Text))
    lease_token: int = Field(default=0, sa_column=Column(BigInt, nullable=False))
    lease_expires_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    report: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    traceparent: str | None = Field(default=None, sa_column=Column(Text))


class SyncTranscript(SQLModel, table=True):
    """What a failed sync and its server said to each other (``pop3.Transcript``), where the settings ask for it."""

    __tablename__ = "sync_transcripts"

    sync_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("syncs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    text: str = Field(sa_column=Column(Text, nullable=False))
