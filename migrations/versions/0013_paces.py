"""Mailboxes that were quick last time have places of their own.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OPEN = sa.text("status IN ('queued', 'running')")


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("pace", sa.Text(), nullable=False, server_default="new"))
    op.add_column(
        "mailboxes", sa.Column("is_private", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("syncs", sa.Column("pace", sa.Text(), nullable=False, server_default="new"))
    op.execute("UPDATE mailboxes SET pace = 'quick' WHERE listed_at IS NOT NULL AND failures = 0")
    op.create_index(
        "ix_syncs_pace",
        "syncs",
        ["status", "pace", "server", "id"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
