"""A mailbox's ledger is read page by page without sorting all of it for each.

Revision: 0007, after 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_unique_ids_mailbox_id_id", "unique_ids", ["mailbox_id", "id"])
