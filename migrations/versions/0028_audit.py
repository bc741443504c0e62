"""The audit: who did what to what.

Revision: 0028, after 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", BigInt, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text()),
        sa.Column("mailbox_id", BigInt),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("omitted", sa.Integer(), nullable=False, server_default="0"),
        sqlite_autoincrement=True,
    )
    for column in ("at", "key", "action", "mailbox_id"):
        op.create_index(f"ix_audit_entries_{column}", "audit_entries", [column, "id"])
