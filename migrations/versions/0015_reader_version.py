"""Which reader has read each message.

Null for what is stored already, and for what a worker of an older version stores from now on: it is read again.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("reader_version", sa.Integer))
