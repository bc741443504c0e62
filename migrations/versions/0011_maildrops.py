"""Which maildrop a ledger line is of, who its message is, and what the server was asked to delete.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With defaults of the database: workers of the version before go on inserting rows without them.
    op.add_column("unique_ids", sa.Column("generation", sa.Integer, nullable=False, server_default="1"))
    op.add_column("unique_ids", sa.Column("names_sha256", sa.LargeBinary))
    op.add_column("unique_ids", sa.Column("head_octets", sa.Integer))
    op.add_column("unique_ids", sa.Column("deletes", sa.Integer, nullable=False, server_default="0"))
    op.add_column("unique_ids", sa.Column("delete_after", sa.DateTime(timezone=True)))
    op.add_column("mailboxes", sa.Column("generation", sa.Integer, nullable=False, server_default="1"))
    for name in ("compares_all", "ids_are_numbers", "ids_are_changing"):
        op.add_column("mailboxes", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("mailboxes", sa.Column("uidl_failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("mailboxes", sa.Column("uidl_failed_at", sa.DateTime(timezone=True)))
    op.add_column("mailboxes", sa.Column("stat_excess", sa.Integer))
    is_kept = sa.text("missing_since IS NULL AND delete_after IS NOT NULL")
    op.create_index(
        "ix_unique_ids_kept", "unique_ids", ["mailbox_id"], sqlite_where=is_kept, postgresql_where=is_kept
    )
