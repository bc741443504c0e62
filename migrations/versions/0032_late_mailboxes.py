"""Count late mailboxes by their index alone: their rows are wide, and lie far from each other.

Revision: 0032, after 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_COLUMNS = ["late_at", "status", "failures", "failing_since", "last_success_at", "removed_at"]


def upgrade() -> None:
    where = sa.text("late_at IS NOT NULL")
    op.drop_index("ix_mailboxes_late", "mailboxes")
    op.create_index("ix_mailboxes_late", "mailboxes", _COLUMNS, sqlite_where=where, postgresql_where=where)
