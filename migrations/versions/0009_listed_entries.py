"""How many messages a mailbox listed last: so long its listing may be again, and twice that.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_SHORT = 100_000  # what is shorter may double anyway


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("listed_entries", sa.Integer()))
    op.execute(
        f"""
        UPDATE mailboxes SET listed_entries = long.entries
        FROM (
            SELECT mailbox_id, count(*) AS entries FROM unique_ids
            WHERE missing_since IS NULL GROUP BY mailbox_id HAVING count(*) > {_SHORT}
        ) AS long
        WHERE long.mailbox_id = mailboxes.id
        """  # noqa: S608  # a number of ours
    )
