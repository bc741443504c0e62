"""Find the mailboxes of one login: no two are registered unless that is said.

Revision: 0021, after 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_mailboxes_login", "mailboxes", ["username", "port"])
