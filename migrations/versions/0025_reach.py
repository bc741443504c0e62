"""What API keys reach, until when and from where they may be used, and secrets that they had before.

Revision: 0025, after 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("mailbox_ids", Json),
        sa.Column("labels", Json),
        sa.Column("expires_at", Time),
        sa.Column("allowed_networks", Json),
        sa.Column("created_by", sa.Text()),
        sa.Column("last_used_at", Time),
    ):
        op.add_column("api_keys", column)
    op.create_table(
        "api_key_old_secrets",
        sa.Column("prefix", sa.Text(), primary_key=True),
        sa.Column("key_id", BigInt, sa.ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("until", Time, nullable=False),
    )
    op.create_index("ix_api_key_old_secrets_key_id", "api_key_old_secrets", ["key_id"])
    op.add_column(
        "mailbox_labels", sa.Column("gives_reach", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    is_named = sa.text("external_id IS NOT NULL")
    op.create_index(
        "ix_mailboxes_external_id",
        "mailboxes",
        ["external_id"],
        sqlite_where=is_named,
        postgresql_where=is_named,
    )
