"""Forgetting syncs that ended long ago, requests that will not come again, who did what long ago, what nobody learnt
again of a server, and large contents that were stored ahead of messages that never were.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlmodel import Session

from app.access import repository as access
from app.database import Database
from app.idempotency import repository as requests
from app.jobs.port import Job
from app.maildrops import learnt
from app.messages import recent
from app.messages import repository as messages
from app.runs import repository as runs
from app.runs.many import batches
from app.runs.models import SyncId

_EVERY_SECONDS = 3600.0
_PER_BATCH = 1_000
_CONTENTS = 10  # of up to 100 MiB each
_EVERYTHING = "all"


def forgetting(
    database: Database,
    *,
    clock: Callable[[], datetime],
    keep_finished: timedelta | None,
    keep_quiet: timedelta | None,
    keep_audit: timedelta | None,
) -> Job:
    """``keep_finished``, ``keep_quiet``: for how long ended syncs, and polls that found nothing, stay (None: ever).
    ``keep_audit``: the same of entries of the audit.
    """

    async def keys() -> list[str]:
        return [_EVERYTHING]

    async def run(_everything: str) -> None:
        await database.write(partial(_forget_what_is_over, now=clock()), durable=False)
        unused = partial(messages.unused_contents, limit=_CONTENTS)
        while digests := await database.search(unused):
            await database.write(partial(messages.remove_unused, digests=digests), durable=False)
        if keep_audit is not None:
            old = partial(access.forget_entries, before=clock() - keep_audit, limit=_PER_BATCH)
            while await database.write(old, durable=False):
                pass
        if keep_finished is None:
            return
        quiet = min(keep_quiet or keep_finished, keep_finished)
        reached: SyncId | None = SyncId(0)
        while reached is not None:
            now = clock()
            some = partial(
                runs.forget_finished,
                before=now - keep_finished,
                quiet_before=now - quiet,
                after=reached,
                limit=_PER_BATCH,
            )
            reached = await database.write(some, durable=False)

    return Job(name="forget_syncs", keys=keys, run=run, every_seconds=_EVERY_SECONDS)


def _forget_what_is_over(db: Session, *, now: datetime) -> None:
    learnt.forget_old(db, now=now)
    requests.forget_old(db, now=now)
    recent.forget_old(db, now=now)
    batches.forget_old(db, now=now)
