"""What is missing is found by its content, what may be deleted on the server by its age; a mailbox
says when somebody last asked for one message.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MISSING = sa.text("missing_since IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_unique_ids_missing",
        "unique_ids",
        ["mailbox_id", "content_sha256"],
        sqlite_where=_MISSING,
        postgresql_where=_MISSING,
    )
    op.create_index(
        "ix_unique_ids_state", "unique_ids", ["mailbox_id", "state", "missing_since", "first_seen_at"]
    )
    op.drop_index("ix_unique_ids_mailbox_id_state", "unique_ids")
    op.add_column("mailboxes", sa.Column("wanted_at", sa.DateTime(timezone=True)))
