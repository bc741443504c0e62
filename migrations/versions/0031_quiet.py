"""Messages that readers of the feed are not told of; the last place that one has.

Revision: 0031, after 0030
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("messages", sa.Column("is_quiet", sa.Boolean(), nullable=True))
    op.add_column("feed", sa.Column("quiet_seq", BigInt, nullable=False, server_default="0"))
