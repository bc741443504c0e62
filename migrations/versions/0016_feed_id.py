"""A feed has an id of its own, so that a cursor of another one is known as such.

Revision: 0016, after 0015
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feed", sa.Column("feed_id", sa.Text(), nullable=False, server_default=""))
    op.execute(sa.text("UPDATE feed SET feed_id = :feed_id").bindparams(feed_id=secrets.token_hex(8)))
