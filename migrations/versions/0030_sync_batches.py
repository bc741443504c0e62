"""Batches of syncs: many mailboxes that somebody asked for at once.

Revision: 0030, after 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
UNENDED = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "sync_batches",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("reach", Json),
        sa.Column("wanted", Json, nullable=False),
        sa.Column("last_mailbox", BigInt, nullable=False),
        sa.Column("done_to", BigInt, nullable=False),
        sa.Column("mailboxes", BigInt, nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("refused", Json, nullable=False),
        sa.Column("traceparent", sa.Text()),
        sa.Column("cancel_requested_at", Moment),
        sa.Column("ended_at", Moment),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_sync_batches_unended",
        "sync_batches",
        ["created_by"],
        sqlite_where=UNENDED,
        postgresql_where=UNENDED,
    )
    op.create_table(
        "sync_batch_syncs",
        sa.Column(
            "batch_id",
            BigInt,
            sa.ForeignKey("sync_batches.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("sync_id", BigInt, primary_key=True, autoincrement=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
    )
