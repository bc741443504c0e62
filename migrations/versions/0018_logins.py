"""How a mailbox's login stands: when it worked last, and for how long a refused one waits.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")

_REFUSED = sa.text("refused_at IS NOT NULL")


def upgrade() -> None:
    for name in ("login_changed_at", "login_succeeded_at", "refused_since", "refused_at", "refused_until"):
        op.add_column("mailboxes", sa.Column(name, sa.DateTime(timezone=True)))
    for name in ("refusals", "follow_ups"):
        op.add_column("mailboxes", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("mailboxes", sa.Column("forced_at", Json))
    op.add_column("mailboxes", sa.Column("mechanism", sa.Text()))
    op.execute("UPDATE mailboxes SET login_succeeded_at = listed_at WHERE listed_at IS NOT NULL")
    op.create_index(
        "ix_mailboxes_refused",
        "mailboxes",
        ["host", "port", "refused_at"],
        sqlite_where=_REFUSED,
        postgresql_where=_REFUSED,
    )
