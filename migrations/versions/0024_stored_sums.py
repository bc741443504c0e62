"""What is stored, in numbers: of each mailbox, and of all.

What is there already is counted by the service, in steps: up to ``counted_to`` of the places up to ``to_count``.

Revision: 0024, after 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stored_sums",
        sa.Column(
            "mailbox_id",
            BigInt,
            sa.ForeignKey("mailboxes.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("messages", BigInt, nullable=False),
        sa.Column("octets", BigInt, nullable=False),
    )
    op.create_index("ix_stored_sums_octets", "stored_sums", ["octets", "mailbox_id"])
    for name in ("stored_messages", "stored_octets", "counted_to", "to_count"):
        op.add_column("feed", sa.Column(name, BigInt, nullable=False, server_default="0"))
    op.execute("UPDATE feed SET to_count = last_seq")
