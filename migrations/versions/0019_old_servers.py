"""Old servers and slow ones: TLS as it was, and time-outs of a mailbox's own.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "mailboxes", sa.Column("allow_legacy_tls", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    for name in ("connect", "reply", "session"):
        op.add_column("mailboxes", sa.Column(f"{name}_timeout_seconds", sa.Integer()))
