"""How many messages of a mailbox that failed wait for a next attempt.

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("waiting", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE mailboxes SET waiting = (SELECT count(*) FROM unique_ids WHERE unique_ids.mailbox_id = mailboxes.id "
        "AND next_attempt_at IS NOT NULL AND state = 'failed' AND missing_since IS NULL)"
    )
