"""Limits for each mail server, the moment before which nobody logs in, and polling that adapts.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Octets = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    # With defaults of the database: workers of the version before go on inserting rows without them.
    op.add_column("syncs", sa.Column("server", Octets, nullable=False, server_default="-"))
    op.execute(
        "UPDATE syncs SET server = (SELECT lower(host) || ':' || port FROM mailboxes"
        " WHERE mailboxes.id = syncs.mailbox_id) WHERE status IN ('queued', 'running')"
    )
    is_open = sa.text("status IN ('queued', 'running')")
    op.create_index(
        "ix_syncs_server",
        "syncs",
        ["status", "server", "id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.drop_index("ix_syncs_open", "syncs")  # the new one serves the same questions
    op.add_column("mailboxes", sa.Column("poll_interval_max_seconds", sa.Integer))
    op.add_column("mailboxes", sa.Column("quiet_syncs", sa.Integer, nullable=False, server_default="0"))
    op.add_column("mailboxes", sa.Column("login_after", sa.DateTime(timezone=True)))
