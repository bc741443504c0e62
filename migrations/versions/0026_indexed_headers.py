"""Headers by which the feed can be filtered, where the settings name any.

Revision: 0026, after 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("messages", sa.Column("headers_indexed", sa.BigInteger()))  # null: no row of it is written
    op.create_table(
        "message_headers",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), primary_key=True),
        sa.Column("seq", BigInt, sa.ForeignKey("messages.seq", ondelete="CASCADE"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_headers_seq", "message_headers", ["seq"])
    op.create_table(
        "header_indexing",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.BigInteger()),
        sa.Column("names", Json, nullable=False),
        sa.Column("done_seq", BigInt, nullable=False),
        sa.Column("last_seq", BigInt, nullable=False),
    )
