"""A mailbox that is removed is gone at once, and what belongs to it by and by.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_IS_REMOVED = sa.text("removed_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("removed_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_mailboxes_removed",
        "mailboxes",
        ["removed_at"],
        sqlite_where=_IS_REMOVED,
        postgresql_where=_IS_REMOVED,
    )
