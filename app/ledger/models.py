"""The tables of the ledger."""

from datetime import datetime
from enum import StrEnum
from typing import NewType

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Text
from sqlmodel import Field, Session, SQLModel

from app.database import BigInt, UtcDateTime
from app.database.indices import partial_index

EntryId = NewType("EntryId", int)

Leased = NewType("Leased", Session)
"""A transaction that began with the check of a lease, which alone makes one (``app.runs.repository``). What was found
out in a session is written only by functions that take it: whoever lost the lease has none.
"""


class EntryState(StrEnum):
    """What became of a unique-id."""

    STORED = "stored"
    FILTERED = "filtered"
    FAILED = "failed"
    TOO_LARGE = "too_large"
    BASELINE = "baseline"
    IMPORTED = "imported"  # from a file: no server has shown it yet, or it was recognised there


class UniqueIdEntry(SQLModel, table=True):
    """One line of the ledger: a unique-id that was seen, and what became of it.

    ``is_whole``: the stored copy is confirmed whole (``wholeness``); null: a version stored it that did not ask.
    ``doubt``: why it is not, or why the message is retrieved again; ``doubtful_sha256``: what came the last time.
    ``unique_id`` is compared octet by octet (a binary column: no collation may fold ``aB`` and ``Ab``).
    While the entry is not missing its last sighting is the mailbox's ``listed_at``: a sync that finds
    everything in its place writes nothing here.

    ``generation``: of which maildrop it is, where another account stands behind the mailbox by now; lines of earlier
    ones are to be read only. ``names_sha256`` and ``head_octets``: Message-ID, Date and From, and how long the header
    block was (``app.mail.fingerprint``). ``body_sha256``: of the octets behind the header block, noted when the stored
    copy goes. ``deletes``: how often the server said that it deleted the message,
    ``delete_after``: before then it is not asked again.
    """

    __tablename__ = "unique_ids"
    __table_args__ = (
        Index("uq_unique_ids_key", "mailbox_id", "unique_id", "occurrence", unique=True),
        Index("ix_unique_ids_mailbox_id_id", "mailbox_id", "id"),
        Index("ix_unique_ids_state", "mailbox_id", "state", "missing_since", "first_seen_at"),
        partial_index(
            "ix_unique_ids_waiting",
            "mailbox_id",
            "next_attempt_at",
            where="next_attempt_at IS NOT NULL",
        ),
        partial_index(
            "ix_unique_ids_missing",
            "mailbox_id",
            "content_sha256",
            where="missing_since IS NOT NULL",
        ),
        partial_index(
            "ix_unique_ids_kept",
            "mailbox_id",
            where="missing_since IS NULL AND delete_after IS NOT NULL",
        ),
        partial_index(
            "ix_unique_ids_message_seq",
            "message_seq",
            where="message_seq IS NOT NULL",
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
    body_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    deletes: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    delete_after: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))


class ListingMark(SQLModel, table=True):
    """What is remembered of a listing that was worked off completely (``listing_digest.ListingDigest``).

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
