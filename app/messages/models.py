"""The tables of messages, of their raw contents, and of the feed's place."""

from datetime import datetime
from typing import Any, NewType

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Text
from sqlmodel import Field, SQLModel

from app.database import BigInt, Json, UtcDateTime

MessageSeq = NewType("MessageSeq", int)

NO_CONTENT = b""
"""The digest of the one content, without octets, that messages have which expired and kept their headers."""


class Content(SQLModel, table=True):
    """The octets of a message, once however many messages have them: zstd, block 0; the rest in blocks.

    A trigger removes it when the last message that has it goes or expires.
    """

    __tablename__ = "contents"

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True))
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    octets: int = Field(sa_column=Column(BigInt, nullable=False))
    blocks: int = Field(sa_column=Column(Integer, nullable=False))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ContentBlock(SQLModel, table=True):
    """Blocks 1 and up of a content larger than one block, so that no message is ever in memory whole."""

    __tablename__ = "content_blocks"

    sha256: bytes = Field(
        sa_column=Column(LargeBinary, ForeignKey("contents.sha256", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Feed(SQLModel, table=True):
    """One row: the last place given. Whoever stores messages holds it until the commit.

    So places become visible in their order, and a reader that follows them never skips one. ``feed_id``: random, made
    with the database, and kept wherever that is moved to.

    ``stored_messages`` and ``stored_octets``: the sums of ``StoredSum``. Of the places up to ``to_count`` those up to
    ``counted_to`` are counted: what an earlier version stored is counted in steps.
    """

    __tablename__ = "feed"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    last_seq: int = Field(sa_column=Column(BigInt, nullable=False))
    feed_id: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    quiet_seq: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))
    stored_messages: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))
    stored_octets: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))
    counted_to: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))
    to_count: int = Field(default=0, sa_column=Column(BigInt, nullable=False, server_default="0"))


class StoredSum(SQLModel, table=True):
    """How many messages of a mailbox are stored with their contents, and their octets; no row: none was yet.

    Each message counts in its mailbox with the octets that its server sent, whoever else has the same content.
    """

    __tablename__ = "stored_sums"
    __table_args__ = (Index("ix_stored_sums_octets", "octets", "mailbox_id"),)

    mailbox_id: int = Field(
        sa_column=Column(
            BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    messages: int = Field(sa_column=Column(BigInt, nullable=False))
    octets: int = Field(sa_column=Column(BigInt, nullable=False))


class Message(SQLModel, table=True):
    """One message. Its place in the feed is its key: the table lies in feed order."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_mailbox_id_seq", "mailbox_id", "seq"),
        Index("ix_messages_raw_sha256", "raw_sha256"),
        Index("ix_messages_thread_id_seq", "thread_id", "seq"),
    )

    seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    mailbox_id: int = Field(
        sa_column=Column(BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False)
    )
    unique_id: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    occurrence: int = Field(sa_column=Column(Integer, nullable=False))
    message_id: str | None = Field(default=None, sa_column=Column(Text))
    subject: str = Field(sa_column=Column(Text, nullable=False))
    from_name: str | None = Field(default=None, sa_column=Column(Text))
    from_address: str | None = Field(default=None, sa_column=Column(Text))
    # Null, both: read by a version that did not ask, until it is read again.
    authors: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(Json))
    from_ambiguous: bool | None = Field(default=None, sa_column=Column(Boolean))
    to: list[dict[str, Any]] = Field(sa_column=Column("to", Json, nullable=False))
    cc: list[dict[str, Any]] = Field(sa_column=Column(Json, nullable=False))
    reply_to: list[dict[str, Any]] = Field(sa_column=Column(Json, nullable=False))
    date: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    retrieved_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    octets: int = Field(sa_column=Column(BigInt, nullable=False))
    raw_sha256: bytes = Field(sa_column=Column(LargeBinary, ForeignKey("contents.sha256"), nullable=False))
    has_attachments: bool = Field(sa_column=Column(Boolean, nullable=False))
    snippet: str = Field(sa_column=Column(Text, nullable=False))
    warnings: list[str] = Field(sa_column=Column(Json, nullable=False))
    # Made at storing since revision 0014. All null: stored before, and not yet read again; ``kind`` tells.
    in_reply_to: str | None = Field(default=None, sa_column=Column(Text))
    references: list[str] | None = Field(default=None, sa_column=Column("references", Json))
    thread_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    received_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    bcc: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(Json))
    sender: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    delivered_to: list[str] | None = Field(default=None, sa_column=Column(Json))
    list_id: str | None = Field(default=None, sa_column=Column(Text))
    automated: str | None = Field(default=None, sa_column=Column(Text))
    automated_by: str | None = Field(default=None, sa_column=Column(Text))
    kind: list[str] | None = Field(default=None, sa_column=Column(Json))
    bounce: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    # Of one that expired and kept its headers: what ``raw_sha256`` was. That is no octets now (``NO_CONTENT``).
    expired_sha256: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    # Which reader read it last; null: one before revision 0015, perhaps in a worker that still runs.
    reader_version: int | None = Field(default=None, sa_column=Column(Integer))
    # Imported without being told of: true; null: as all others.
    is_quiet: bool | None = Field(default=None, sa_column=Column(Boolean))
    # For which headers its rows of MessageHeader were written (``IndexedHeaders.digest``); null: for none.
    headers_indexed: int | None = Field(default=None, sa_column=Column(BigInteger))


class MessageHeader(SQLModel, table=True):
    """A value of a header by which the feed can be filtered, as it is compared (``indexed_headers``)."""

    __tablename__ = "message_headers"
    __table_args__ = (Index("ix_message_headers_seq", "seq"), {"sqlite_with_rowid": False})

    name: str = Field(sa_column=Column(Text, primary_key=True))
    value: str = Field(sa_column=Column(Text, primary_key=True))
    seq: int = Field(
        sa_column=Column(BigInt, ForeignKey("messages.seq", ondelete="CASCADE"), primary_key=True)
    )


class HeaderIndexing(SQLModel, table=True):
    """One row: how far stored messages have been read for the headers of a setting; none: there was never any.

    ``digest``, ``names``: which headers, those of the process that was started last; ``done_seq``, ``last_seq``: as of
    ``Rereading``.
    """

    __tablename__ = "header_indexing"

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    digest: int | None = Field(default=None, sa_column=Column(BigInteger))
    names: list[str] = Field(sa_column=Column(Json, nullable=False))
    done_seq: int = Field(sa_column=Column(BigInt, nullable=False))
    last_seq: int = Field(sa_column=Column(BigInt, nullable=False))


class RecentTotals(SQLModel, table=True):
    """How many messages were stored, and how many octets, in the ten minutes from ``begins_at`` on.

    Written by whoever holds the feed, so that no two write one row at once. What is older than two days is forgotten.
    """

    __tablename__ = "recent_totals"

    begins_at: datetime = Field(sa_column=Column(UtcDateTime, primary_key=True))
    messages: int = Field(sa_column=Column(BigInt, nullable=False))
    octets: int = Field(sa_column=Column(BigInt, nullable=False))


class ExpiredMessage(SQLModel, table=True):
    """The place of a message of which nothing is kept but that it was there: readers that come late are told so."""

    __tablename__ = "expired_messages"
    __table_args__ = (Index("ix_expired_messages_mailbox_id_seq", "mailbox_id", "seq"),)

    seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    mailbox_id: int = Field(
        sa_column=Column(BigInt, ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False)
    )
    retrieved_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Rereading(SQLModel, table=True):
    """One row: how far stored messages have been read again by the newest reader.

    ``version``: of the reader that is at it; ``done_seq``: the last place that it has looked at; ``last_seq``: the last
    one that there was when it began. What comes later is looked at too: workers of older versions may store mail.
    """

    __tablename__ = "rereading"

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    version: int = Field(sa_column=Column(Integer, nullable=False))
    done_seq: int = Field(sa_column=Column(BigInt, nullable=False))
    last_seq: int = Field(sa_column=Column(BigInt, nullable=False))
