"""The tables of sync runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from sqlalchemy import Boolean, Column, ForeignKey, Index, Text
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, Octets, UtcDateTime
from app.database.indices import partial_index
from app.mailboxes.models import Pace

SyncId = NewType("SyncId", int)
BatchId = NewType("BatchId", int)


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
        partial_index(
            "uq_syncs_active",
            "mailbox_id",
            unique=True,
            where="status IN ('queued', 'running')",
        ),
        partial_index(
            "ix_syncs_server",
            "status",
            "server",
            "id",
            where="status IN ('queued', 'running')",
        ),
        partial_index(
            "ix_syncs_pace",
            "status",
            "pace",
            "server",
            "id",
            where="status IN ('queued', 'running')",
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


class SyncBatch(SQLModel, table=True):
    """Syncs of many mailboxes that somebody asked for at once.

    ``reach``: what the key reached (null: all); ``wanted``: which mailboxes of these. Of those up to ``last_mailbox``
    those up to ``done_to`` were come to. ``mailboxes``: how many fitted at the beginning. ``counts``: how many of its
    syncs ended how; ``refused``: how many mailboxes were not to be synced, by code.
    """

    __tablename__ = "sync_batches"
    __table_args__ = (
        partial_index(
            "ix_sync_batches_unended",
            "created_by",
            where="ended_at IS NULL",
        ),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    created_by: str = Field(sa_column=Column(Text, nullable=False))
    reach: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    wanted: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    last_mailbox: int = Field(sa_column=Column(BigInt, nullable=False))
    done_to: int = Field(default=0, sa_column=Column(BigInt, nullable=False))
    mailboxes: int = Field(sa_column=Column(BigInt, nullable=False))
    counts: dict[str, int] = Field(sa_column=Column(Json, nullable=False))
    refused: dict[str, int] = Field(sa_column=Column(Json, nullable=False))
    traceparent: str | None = Field(default=None, sa_column=Column(Text))
    cancel_requested_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class SyncBatchSync(SQLModel, table=True):
    """A sync of a batch that was not counted yet. ``is_own``: nobody else had asked for it before."""

    __tablename__ = "sync_batch_syncs"

    batch_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("sync_batches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    sync_id: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    is_own: bool = Field(sa_column=Column(Boolean, nullable=False))


class SyncTranscript(SQLModel, table=True):
    """What a failed sync and its server said to each other (``pop3.Transcript``), where the settings ask for it."""

    __tablename__ = "sync_transcripts"

    sync_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("syncs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    text: str = Field(sa_column=Column(Text, nullable=False))
