"""Messages whose contents are kept no longer, how long those of a mailbox are, and what its ledger keeps of them.

A content goes with the last message that has it, also when that message keeps its headers: its row then has no octets
for its digest.

Revision: 0029, after 0028
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_HAS_MESSAGE = sa.text("message_seq IS NOT NULL")

_POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION remove_unused_content() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF length(OLD.raw_sha256) > 0 THEN
            PERFORM 1 FROM contents WHERE sha256 = OLD.raw_sha256 FOR UPDATE;
            DELETE FROM contents WHERE sha256 = OLD.raw_sha256
                AND NOT EXISTS (SELECT 1 FROM messages WHERE raw_sha256 = OLD.raw_sha256);
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER messages_remove_expired_content AFTER UPDATE OF raw_sha256 ON messages
        FOR EACH ROW WHEN (OLD.raw_sha256 IS DISTINCT FROM NEW.raw_sha256) EXECUTE FUNCTION remove_unused_content()
    """,
)
_SQLITE_REMOVAL = """
    BEGIN
        DELETE FROM contents WHERE sha256 = OLD.raw_sha256
            AND NOT EXISTS (SELECT 1 FROM messages WHERE raw_sha256 = OLD.raw_sha256);
    END
"""
_SQLITE = (
    "DROP TRIGGER messages_remove_unused_content",
    "CREATE TRIGGER messages_remove_unused_content AFTER DELETE ON messages WHEN length(OLD.raw_sha256) > 0"
    + _SQLITE_REMOVAL,
    "CREATE TRIGGER messages_remove_expired_content AFTER UPDATE OF raw_sha256 ON messages "
    "WHEN length(OLD.raw_sha256) > 0 AND OLD.raw_sha256 <> NEW.raw_sha256" + _SQLITE_REMOVAL,
)


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("local_retention", Json))
    op.add_column("mailboxes", sa.Column("expired_to", BigInt, nullable=False, server_default="0"))
    op.add_column("messages", sa.Column("expired_sha256", sa.LargeBinary))
    op.add_column("unique_ids", sa.Column("body_sha256", sa.LargeBinary))
    op.create_index(
        "ix_unique_ids_message_seq",
        "unique_ids",
        ["message_seq"],
        sqlite_where=_HAS_MESSAGE,
        postgresql_where=_HAS_MESSAGE,
    )
    op.create_table(
        "expired_messages",
        sa.Column("seq", BigInt, primary_key=True, autoincrement=False),
        sa.Column("mailbox_id", BigInt, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False),
        sa.Column("retrieved_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_expired_messages_mailbox_id_seq", "expired_messages", ["mailbox_id", "seq"])
    for statement in _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)
