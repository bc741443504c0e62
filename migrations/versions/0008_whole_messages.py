"""Whether the stored copy of a message is whole, what is in doubt of it, and what was learnt about servers.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Octets = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    # Null: the line was written by a version that did not ask.
    op.add_column("unique_ids", sa.Column("is_whole", sa.Boolean))
    op.add_column("unique_ids", sa.Column("doubt", sa.Text))
    op.add_column("unique_ids", sa.Column("doubtful_sha256", sa.LargeBinary))
    op.add_column(
        "mailboxes", sa.Column("delete_short", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_table(
        "learnt",
        sa.Column("subject", Octets, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("facts", Json, nullable=False),
        sa.Column("learnt_at", sa.DateTime(timezone=True), nullable=False),
    )
