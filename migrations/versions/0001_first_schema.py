"""The first schema: keys, mailboxes, contents, messages, the ledger, syncs.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Time = sa.DateTime(timezone=True)

_OPEN = sa.text("status IN ('queued', 'running')")

# The content of a message goes with the last message that has it. The row lock makes two transactions that
# remove the last two messages look one after the other.
_POSTGRESQL_TRIGGER = """
CREATE FUNCTION remove_unused_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM contents WHERE sha256 = OLD.raw_sha256 FOR UPDATE;
    DELETE FROM contents WHERE sha256 = OLD.raw_sha256
        AND NOT EXISTS (SELECT 1 FROM messages WHERE raw_sha256 = OLD.raw_sha256);
    RETURN NULL;
END $$;
CREATE TRIGGER messages_remove_unused_content AFTER DELETE ON messages
    FOR EACH ROW EXECUTE FUNCTION remove_unused_content();
"""
_SQLITE_TRIGGER = """
CREATE TRIGGER messages_remove_unused_content AFTER DELETE ON messages BEGIN
    DELETE FROM contents WHERE sha256 = OLD.raw_sha256
        AND NOT EXISTS (SELECT 1 FROM messages WHERE raw_sha256 = OLD.raw_sha256);
END
"""


def upgrade() -> None:
    _api_keys()
    _mailboxes()
    _contents()
    _messages()
    _unique_ids()
    _syncs()
    if op.get_bind().dialect.name == "postgresql":
        # Blocks are compressed already: do not try again, keep them out of line.
        op.execute("ALTER TABLE contents ALTER COLUMN data SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE content_blocks ALTER COLUMN data SET STORAGE EXTERNAL")
        op.execute(_POSTGRESQL_TRIGGER)
    else:
        op.execute(_SQLITE_TRIGGER)


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.UniqueConstraint("prefix"),
        sqlite_autoincrement=True,
    )


def _mailboxes() -> None:
    op.create_table(
        "mailboxes",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("security", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("credentials", sa.LargeBinary),
        sa.Column("allow_cleartext_password", sa.Boolean, nullable=False),
        sa.Column("ca_certificates", sa.Text),
        sa.Column("poll_interval_seconds", sa.Integer),
        sa.Column("initial_sync", sa.Text, nullable=False),
        sa.Column("server_retention", Json, nullable=False),
        sa.Column("criteria", Json),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("status_detail", sa.Text),
        sa.Column("server", Json),
        sa.Column("listed_at", Time),
        sa.Column("ids_changed", sa.Boolean, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_sync_at", Time),
        sa.Column("created_at", Time, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_mailboxes_next_sync_at", "mailboxes", ["next_sync_at"])


def _contents() -> None:
    op.create_table(
        "contents",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("octets", BigInt, nullable=False),
        sa.Column("blocks", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "content_blocks",
        sa.Column(
            "sha256", sa.LargeBinary, sa.ForeignKey("contents.sha256", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _messages() -> None:
    feed = op.create_table(
        "feed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_seq", BigInt, nullable=False),
    )
    op.bulk_insert(feed, [{"id": 1, "last_seq": 0}])
    op.create_table(
        "messages",
        sa.Column("seq", BigInt, primary_key=True, autoincrement=False),
        sa.Column("mailbox_id", BigInt, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False),
        sa.Column("unique_id", sa.LargeBinary, nullable=False),
        sa.Column("occurrence", sa.Integer, nullable=False),
        sa.Column("message_id", sa.Text),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("from_name", sa.Text),
        sa.Column("from_address", sa.Text),
        sa.Column("to", Json, nullable=False),
        sa.Column("cc", Json, nullable=False),
        sa.Column("reply_to", Json, nullable=False),
        sa.Column("date", Time),
        sa.Column("retrieved_at", Time, nullable=False),
        sa.Column("octets", BigInt, nullable=False),
        sa.Column("raw_sha256", sa.LargeBinary, sa.ForeignKey("contents.sha256"), nullable=False),
        sa.Column("has_attachments", sa.Boolean, nullable=False),
        sa.Column("snippet", sa.Text, nullable=False),
        sa.Column("warnings", Json, nullable=False),
    )
    op.create_index("ix_messages_mailbox_id_seq", "messages", ["mailbox_id", "seq"])
    op.create_index("ix_messages_raw_sha256", "messages", ["raw_sha256"])


def _unique_ids() -> None:
    op.create_table(
        "unique_ids",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("mailbox_id", BigInt, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False),
        sa.Column("unique_id", sa.LargeBinary, nullable=False),
        sa.Column("occurrence", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("octets", BigInt),
        sa.Column("first_seen_at", Time, nullable=False),
        sa.Column("last_seen_at", Time),
        sa.Column("missing_since", Time),
        sa.Column("message_seq", BigInt),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", Time),
        sa.Column("reason", sa.Text),
        sa.Column("is_wanted", sa.Boolean, nullable=False),
        sa.Column("headers_sha256", sa.LargeBinary),
        sa.Column("content_sha256", sa.LargeBinary),
        sa.Column("head", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "listing_marks",
        sa.Column(
            "mailbox_id",
            BigInt,
            sa.ForeignKey("mailboxes.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("uidl_octets", BigInt, nullable=False),
        sa.Column("uidl_sha256", sa.LargeBinary, nullable=False),
        sa.Column("sizes_octets", BigInt, nullable=False),
        sa.Column("sizes_sha256", sa.LargeBinary, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("is_confirmed", sa.Boolean, nullable=False),
    )
    key = ["mailbox_id", "unique_id", "occurrence"]
    op.create_index("uq_unique_ids_key", "unique_ids", key, unique=True)
    op.create_index("ix_unique_ids_mailbox_id_state", "unique_ids", ["mailbox_id", "state"])
    waits = sa.text("next_attempt_at IS NOT NULL")
    op.create_index(
        "ix_unique_ids_waiting",
        "unique_ids",
        ["mailbox_id", "next_attempt_at"],
        sqlite_where=waits,
        postgresql_where=waits,
    )


def _syncs() -> None:
    op.create_table(
        "syncs",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("mailbox_id", BigInt, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("queued_at", Time, nullable=False),
        sa.Column("started_at", Time),
        sa.Column("finished_at", Time),
        sa.Column("cancel_requested_at", Time),
        sa.Column("worker", sa.Text),
        sa.Column("lease_token", BigInt, nullable=False),
        sa.Column("lease_expires_at", Time),
        sa.Column("report", Json, nullable=False),
        sa.Column("error", Json),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_syncs_mailbox_id_id", "syncs", ["mailbox_id", "id"])
    only_open = {"sqlite_where": _OPEN, "postgresql_where": _OPEN}
    op.create_index("uq_syncs_active", "syncs", ["mailbox_id"], unique=True, **only_open)
    op.create_index("ix_syncs_open", "syncs", ["status", "id"], **only_open)
