"""Names that callers give to mailboxes: an id of their own, labels, a map of texts.

Revision: 0023, after 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
Octets = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
IS_NAMED = sa.text("external_id IS NOT NULL AND removed_at IS NULL")


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("external_id", Octets))
    op.add_column("mailboxes", sa.Column("namespace", Octets, nullable=False, server_default=""))
    op.add_column("mailboxes", sa.Column("labels", Json, nullable=False, server_default=sa.text("'[]'")))
    op.add_column(
        "mailboxes", sa.Column("caller_metadata", Json, nullable=False, server_default=sa.text("'{}'"))
    )
    op.create_index(
        "uq_mailboxes_external_id",
        "mailboxes",
        ["namespace", "external_id"],
        unique=True,
        sqlite_where=IS_NAMED,
        postgresql_where=IS_NAMED,
    )
    op.create_table(
        "mailbox_labels",
        sa.Column("label", Octets, primary_key=True),
        sa.Column(
            "mailbox_id",
            BigInt,
            sa.ForeignKey("mailboxes.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
    )
    op.create_index("ix_mailbox_labels_mailbox_id", "mailbox_labels", ["mailbox_id"])
