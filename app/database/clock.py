"""The time as the database has it: what leases and due times of all processes are judged by.

Clocks of several machines differ, and are set. So a process asks the database for the time now and then, and counts on
from there by a clock that is never set (``time.monotonic``).
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session

from app.database.units import Database

ASK_EVERY_SECONDS = 10.0  # a machine that was suspended does not count on meanwhile
_MOST_SECONDS = 1.0  # an answer that took longer says less than what was known


class DatabaseClock:
    """Gives the time in UTC: on PostgreSQL that of the server, on SQLite ``own`` (there is one machine)."""

    def __init__(
        self, database: Database, *, own: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._own = own
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if self._known is None:
            return self._own()
        moment, at = self._known
        return moment + timedelta(seconds=self._monotonic() - at)

    async def ask(self) -> None:
        """Ask the database for the time. Raises StorageFailed."""
        if self._database.is_sqlite:
            return
        if self._known is None:
            await self._database.read(_moment)  # to connect is no part of the way
        begun = self._monotonic()
        moment = await self._database.read(_moment)
        ended = self._monotonic()
        if self._known is None or ended - begun <= _MOST_SECONDS:
            self._known = moment, (begun + ended) / 2


def _moment(db: Session) -> datetime:
    moment: datetime = db.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment
