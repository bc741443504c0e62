"""How mailboxes fare: since when they fail, when they last succeeded, when they are late; and how many fare how.

Revision: 0027, after 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)

_INDICES = (
    ("ix_mailboxes_status", ["status", "id"], "removed_at IS NULL"),
    ("ix_mailboxes_failing", ["failures", "failing_since"], "failures > 0"),
    ("ix_mailboxes_never_synced", ["id"], "last_success_at IS NULL"),
    ("ix_mailboxes_late", ["late_at"], "late_at IS NOT NULL"),
)

# The latest sync of each mailbox that succeeded, and the latest that failed: some steps in an index for each.
_FROM_SYNCS = """
UPDATE mailboxes SET
    last_success_at = (SELECT finished_at FROM syncs WHERE syncs.mailbox_id = mailboxes.id
        AND syncs.status IN ('succeeded', 'partial') ORDER BY syncs.id DESC LIMIT 1),
    failing_since = CASE WHEN failures > 0 THEN (SELECT finished_at FROM syncs WHERE syncs.mailbox_id = mailboxes.id
        AND syncs.status = 'failed' ORDER BY syncs.id DESC LIMIT 1) END,
    last_error = CASE WHEN failures > 0 THEN (SELECT error FROM syncs WHERE syncs.mailbox_id = mailboxes.id
        AND syncs.status = 'failed' ORDER BY syncs.id DESC LIMIT 1) END,
    last_message_at = (SELECT retrieved_at FROM messages WHERE messages.mailbox_id = mailboxes.id
        ORDER BY messages.seq DESC LIMIT 1)
"""
_FROM_SUCCESS = """
UPDATE mailboxes SET
    succeeding_since = CASE WHEN failures = 0 THEN last_success_at END,
    late_at = CASE WHEN poll_interval_seconds IS NOT NULL THEN {late} END
WHERE last_success_at IS NOT NULL
"""
_INTERVAL = "(3 * coalesce(poll_interval_max_seconds, poll_interval_seconds))"
_LATE_ON_SQLITE = f"strftime('%Y-%m-%d %H:%M:%f', last_success_at, '+' || {_INTERVAL} || ' seconds') || '000'"
_LATE_ON_POSTGRESQL = f"last_success_at + make_interval(secs => {_INTERVAL})"

_KIND = "{0}.status, CASE WHEN {0}.last_success_at IS NULL THEN 0 ELSE 1 END, {least}({0}.failures, 10)"
_ADD = "INSERT INTO mailbox_tallies (status, succeeded, failures, difference) SELECT " + _KIND + ", {count}"
_IS_ANOTHER = """
    OLD.status <> NEW.status OR (OLD.last_success_at IS NULL) <> (NEW.last_success_at IS NULL)
    OR {least}(OLD.failures, 10) <> {least}(NEW.failures, 10) OR (OLD.removed_at IS NULL) <> (NEW.removed_at IS NULL)
"""


def upgrade() -> None:
    for name in (
        "status_since",
        "failing_since",
        "last_success_at",
        "succeeding_since",
        "late_at",
        "last_message_at",
    ):
        op.add_column("mailboxes", sa.Column(name, Moment))
    op.add_column("mailboxes", sa.Column("last_error", Json))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute(_FROM_SYNCS)
    op.execute(_FROM_SUCCESS.format(late=_LATE_ON_POSTGRESQL if is_postgresql else _LATE_ON_SQLITE))
    for name, columns, condition in _INDICES:
        where = sa.text(condition)
        op.create_index(name, "mailboxes", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "mailbox_tallies",
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("difference", sa.Integer(), nullable=False),
    )
    op.create_table(
        "recent_totals",
        sa.Column("begins_at", Moment, primary_key=True),
        sa.Column("messages", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("octets", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
    )
    _count_by_triggers(is_postgresql=is_postgresql)
    least = "least" if is_postgresql else "min"
    counted = _ADD.format("mailboxes", least=least, count="1")
    op.execute(f"{counted} FROM mailboxes WHERE removed_at IS NULL")


def _count_by_triggers(*, is_postgresql: bool) -> None:
    least = "least" if is_postgresql else "min"
    out = _ADD.format("OLD", least=least, count="-1") + " WHERE OLD.removed_at IS NULL;"
    into = _ADD.format("NEW", least=least, count="1") + " WHERE NEW.removed_at IS NULL;"
    when = _IS_ANOTHER.format(least=least)
    for event, statements, condition in (
        ("INSERT", into, ""),
        ("UPDATE", f"{out} {into}", f"WHEN ({when})"),
        ("DELETE", out, ""),
    ):
        name = f"mailboxes_tally_{event.lower()}"
        if not is_postgresql:
            op.execute(f"CREATE TRIGGER {name} AFTER {event} ON mailboxes {condition} BEGIN {statements} END")
            continue
        body = f"BEGIN {statements} RETURN NULL; END"
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON mailboxes FOR EACH ROW {condition} EXECUTE FUNCTION {name}()"
        )
