"""What programs decide by: threads, who delivered, what sent it and what it is.

Empty for what is stored already: a message is read again in the background, which fills them in.

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("in_reply_to", sa.Text),
        sa.Column("references", Json),
        sa.Column("thread_id", sa.LargeBinary),
        sa.Column("received_at", Time),
        sa.Column("bcc", Json),
        sa.Column("sender", Json),
        sa.Column("delivered_to", Json),
        sa.Column("list_id", sa.Text),
        sa.Column("automated", sa.Text),
        sa.Column("automated_by", sa.Text),
        sa.Column("kind", Json),
        sa.Column("bounce", Json),
    ):
        op.add_column("messages", column)
    op.create_index("ix_messages_thread_id_seq", "messages", ["thread_id", "seq"])
