"""SQL of the walk through what is queued: the statement that claims."""

from functools import lru_cache

from sqlalchemy import TextClause, bindparam, text

from app.database import PreparedStatement, UtcDateTime

# Walks the queued syncs of one pace from server to server by their index, at each one from the oldest on, and steps
# over to the next server where no room is left: what it costs does not grow with what waits. ``room``: how many more
# this server takes, the row included; ``taken``: how many rows before this one had room. The first row stands for none.
# That the last condition is no comparison with ``status`` alone keeps a planner with old statistics from reading
# all that waits.
_WALK = """
WITH RECURSIVE walk (server, id, room, taken) AS (
    SELECT {behind}, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT)
    UNION ALL
    SELECT
        next.server,
        next.id,
        CASE WHEN next.server = walk.server THEN walk.room - 1 ELSE
            coalesce((SELECT CAST(value AS BIGINT) FROM {each}(CAST(:lowered AS {json})) WHERE key = next.server),
                CAST(:most_per_server AS BIGINT))
            - (SELECT count(*) FROM syncs
                WHERE status IN ('queued', 'running') AND status = 'running' AND server = next.server)
        END,
        walk.taken + CASE WHEN walk.room > 0 THEN 1 ELSE 0 END
    FROM walk JOIN syncs AS next ON next.id = (
        SELECT id FROM syncs
        WHERE status IN ('queued', 'running') AND status = 'queued'
            AND pace = :pace
            AND (server, id) > (walk.server, CASE WHEN walk.room > 1 THEN walk.id ELSE 9223372036854775807 END)
        ORDER BY server, id LIMIT 1
    )
    WHERE walk.taken + CASE WHEN walk.room > 0 THEN 1 ELSE 0 END < CAST(:most AS BIGINT)
)
UPDATE syncs SET
    status = 'running',
    started_at = coalesce(started_at, :now),
    worker = :worker,
    lease_token = lease_token + :step,
    lease_expires_at = :lease
WHERE id IN (SELECT id FROM walk WHERE room > 0) AND status || '' = 'queued'
RETURNING id, mailbox_id, lease_token, server, traceparent, CAST(report AS text) <> '{{}}'
"""


@lru_cache(maxsize=2)
def claim_of(dialect: str) -> PreparedStatement:
    """Claims up to ``most`` syncs of one pace."""
    return PreparedStatement(words_of(dialect))


def words_of(dialect: str) -> TextClause:
    """The same in SQL."""
    words = (
        {"behind": 'CAST(:behind AS text) COLLATE "C"', "each": "json_each_text", "json": "json"}
        if dialect == "postgresql"
        else {"behind": ":behind", "each": "json_each", "json": "text"}
    )
    times = [bindparam(name, type_=UtcDateTime) for name in ("now", "lease")]
    return text(_WALK.format(**words)).bindparams(*times)
