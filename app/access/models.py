"""The tables of API keys. A key itself is never stored, only its digest."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Text
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, UtcDateTime


class ApiKey(SQLModel, table=True):
    """One key: the sha256 of a 256-bit random token, found by its prefix.

    ``mailbox_ids``, ``labels``: what it reaches (``reach``); null, both: all mailboxes. ``allowed_networks``: CIDRs
    from which it may be used; null: any. ``created_by``: the name of the key that made it; null: the command line, or a
    version that did not keep it. ``last_used_at``: within a minute or so.
    """

    __tablename__ = "api_keys"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    prefix: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scopes: list[str] = Field(sa_column=Column(Json, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    mailbox_ids: list[int] | None = Field(default=None, sa_column=Column(Json))
    labels: list[str] | None = Field(default=None, sa_column=Column(Json))
    expires_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    allowed_networks: list[str] | None = Field(default=None, sa_column=Column(Json))
    created_by: str | None = Field(default=None, sa_column=Column(Text))
    last_used_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class OldSecret(SQLModel, table=True):
    """A secret that a key had before it was rotated, which works on until a moment."""

    __tablename__ = "api_key_old_secrets"

    prefix: str = Field(sa_column=Column(Text, primary_key=True))
    key_id: int = Field(
        sa_column=Column(BigInt, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    until: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class AuditEntry(SQLModel, table=True):
    """Who did what to what, when, and with which result: a request that changed something, or was to.

    ``key``: the name of the key. ``action``: the operation, as the API's document names it. ``target``: the id of what
    it was about. ``mailbox_id``: also of mailboxes that are gone. ``status`` and ``code``: of the answer. ``omitted``:
    how many entries of this key were left out before this one, for there were too many.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at", "at", "id"),
        Index("ix_audit_entries_key", "key", "id"),
        Index("ix_audit_entries_action", "action", "id"),
        Index("ix_audit_entries_mailbox_id", "mailbox_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    key: str = Field(sa_column=Column(Text, nullable=False))
    address: str = Field(sa_column=Column(Text, nullable=False))
    action: str = Field(sa_column=Column(Text, nullable=False))
    target: str | None = Field(default=None, sa_column=Column(Text))
    mailbox_id: int | None = Field(default=None, sa_column=Column(BigInt))
    status: int = Field(sa_column=Column(Integer, nullable=False))
    code: str | None = Field(default=None, sa_column=Column(Text))
    request_id: str = Field(sa_column=Column(Text, nullable=False))
    omitted: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
