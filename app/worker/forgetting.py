"""Forgetting syncs that ended long ago, and what nobody learnt again of a server, in batches."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlmodel import Session

from app.database import Database
from app.jobs.port import Job
from app.maildrops import learnt
from app.runs import repository as runs
from app.runs.models import SyncId

_EVERY_SECONDS = 3600.0
_PER_BATCH = 1_000
_EVERYTHING = "all"


def forgetting(
    database: Database,
    *,
    clock: Callable[[], datetime],
    keep_finished: timedelta | None,
    keep_quiet: timedelta | None,
) -> Job:
    """``keep_finished``, ``keep_quiet``: for how long ended syncs, and polls that found nothing, stay (None: ever)."""

    async def keys() -> list[str]:
        return [] if keep_finished is None else [_EVERYTHING]

    async def run(_everything: str) -> None:
        assert keep_finished is not None
        quiet = min(keep_quiet or keep_finished, keep_finished)
        reached: SyncId | None = SyncId(0)
        while reached is not None:
            now = clock()
            some = partial(
                _forget_some, now=now, before=now - keep_finished, quiet_before=now - quiet, after=reached
            )
            reached = await database.write(some, durable=False)

    return Job(name="forget_syncs", keys=keys, run=run, every_seconds=_EVERY_SECONDS)


def _forget_some(
    db: Session, *, now: datetime, before: datetime, quiet_before: datetime, after: SyncId
) -> SyncId | None:
    learnt.forget_old(db, now=now)
    return runs.forget_finished(db, before=before, quiet_before=quiet_before, after=after, limit=_PER_BATCH)
