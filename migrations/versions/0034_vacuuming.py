"""Room that removed mail leaves is used again soon: PostgreSQL looks at large tables when a fiftieth of them is dead,
not a fifth, and at their indices with them.

Revision: 0034, after 0033
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_SHARES = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02"
_INSERTS = "autovacuum_vacuum_insert_scale_factor = 0.05"  # PostgreSQL 13
_TOAST = "toast.autovacuum_vacuum_scale_factor = 0.02"
_SMALL_AND_HOT = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("contents", "content_blocks"):
        op.execute(f"ALTER TABLE {table} SET ({_SHARES}, {_TOAST})")
    for table in ("messages", "unique_ids", "expired_messages"):
        op.execute(f"ALTER TABLE {table} SET ({_SHARES}, {_INSERTS})")
    op.execute(f"ALTER TABLE feed SET ({_SMALL_AND_HOT})")
    op.execute(f"ALTER TABLE stored_sums SET ({_SHARES}, fillfactor = 70)")
