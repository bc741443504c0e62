"""The tables of sync runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from sqlalchemy import Column, ForeignKey, Index, Text, text
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, Octets, UtcDateTime
from app.mailboxes.models import Pace

SyncId = NewType("SyncId", int)


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
