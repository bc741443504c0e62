"""Who all wrote a message and whether that is certain; how far stored messages have been read again.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("messages", sa.Column("authors", Json))
    op.add_column("messages", sa.Column("from_ambiguous", sa.Boolean))
    op.create_table(
        "rereading",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("done_seq", BigInt, nullable=False),
        sa.Column("last_seq", BigInt, nullable=False),
    )
