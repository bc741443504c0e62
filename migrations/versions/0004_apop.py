"""A mailbox may log in by APOP.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default of the database: workers of the version before go on inserting rows without it.
    op.add_column("mailboxes", sa.Column("allow_apop", sa.Boolean, nullable=False, server_default=sa.false()))
