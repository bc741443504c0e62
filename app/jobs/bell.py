"""The bell: PostgreSQL's LISTEN and NOTIFY, by which processes wake each other within milliseconds.

A hint, never the truth: what was committed is in the database, and whoever waits looks there every few seconds besides.
So nothing here is confirmed, and a connection that is lost costs those seconds and nothing else. NOTIFY is sent outside
every transaction of ours: within one, all who commit would wait for a lock of the whole server.
"""

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress

import psycopg
import structlog
from psycopg import sql

from app.database import StorageFailed
from app.database.autocommit import Place, connect, place_of
from app.jobs.ending import end
from app.jobs.wakeups import Wakeups

GATHER_SECONDS = 0.02
AT_ONCE = 4  # after a rest: a short sync rings for its beginning, its messages and its end
_CHANNEL = "maildelta"
_NAME = "maildelta-bell"  # what PostgreSQL calls our connection
_MOST_OCTETS = 7_000  # of a payload; PostgreSQL refuses 8,000
_ANYTHING = "*"
_RETRY_SECONDS = 1.0
_RETRY_BROKEN_SECONDS = 60.0
_HANG_UP_WITHIN_SECONDS = 1.0
_ANYTHING_EVERY_SECONDS = 0.1  # at most: what wakes everybody is dear

_log = structlog.get_logger()


class Bell:
    """One connection of this process that listens and notifies.

    What fires in ``wakeups`` here is rung for others: at once ``AT_ONCE`` times after a rest, and gathered so that over
    time there is one NOTIFY in ``GATHER_SECONDS``. What others rang fires here.
    After an overflow, and after the connection was lost and made again, everything fires.

    ``url``: of the database itself; a pooler that hands out connections by the transaction forgets who listens.
    ``place``: where the rows are, which must be the same; it may raise StorageFailed.
    """

    def __init__(
        self, url: str, wakeups: Wakeups, *, place: Callable[[], Awaitable[Place]] | None = None
    ) -> None:
        self._url = url
        self._wakeups = wakeups
        self._place = place
        self._sender = secrets.token_hex(4)
        self._others: dict[str, Callable[[str], None]] = {}
        self._rung: dict[str, set[Hashable]] = defaultdict(set)
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0
        self._stirred = asyncio.Event()
        self._is_due = self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._is_anything = False
        self._anything: asyncio.TimerHandle | None = None

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call ``heard`` with the payloads of one more channel; to be said before the start."""
        self._others[channel] = heard

    def start(self) -> None:
        """Begin to listen and to ring, now and whenever the database can be reached."""
        self._wakeups.connect(self.ring)
        self._task = asyncio.create_task(self._stay_connected(), name="bell")

    async def stop(self) -> None:
        """Ring for what is left, if that can be done at once, and hang up."""
        if self._task is None:
            return
        self._is_stopping = True
        self._stirred.set()
        await asyncio.wait([self._task], timeout=_HANG_UP_WITHIN_SECONDS)
        await end([self._task])

    def ring(self, name: str, about: Hashable = None) -> None:
        """Wake the other processes, soon. To be called in the event loop's thread, after the commit."""
        if len(self._rung[name]) <= _MOST_OCTETS:  # beyond that it is anything
            self._rung[name].add(about)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._quiet_until), self._become_due)

    def _become_due(self) -> None:
        self._is_due = True
        self._stirred.set()

    async def _stay_connected(self) -> None:
        is_lost = False
        while not self._is_stopping:
            try:
                async with await connect(self._url, name=_NAME) as connection:
                    await self._begin(connection)
                    if is_lost:
                        _log.info("bell_found")
                    is_lost = False
                    self._wakeups.heard_anything()  # what was rung while nobody listened
                    await self._serve(connection)
            except (psycopg.Error, OSError) as error:
                if not is_lost:
                    _log.warning("bell_lost", reason=str(error).splitlines()[0] if str(error) else "")
                is_lost = True
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                _log.exception("bell_broken")
                await asyncio.sleep(_RETRY_BROKEN_SECONDS)

    async def _begin(self, connection: psycopg.AsyncConnection) -> None:
        connection.add_notify_handler(self._hear)
        for channel in (_CHANNEL, *self._others):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        served_by = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
        if served_by != (connection.info.backend_pid,):
            _log.warning("bell_behind_a_pooler", hint="unless it pools by session, set MAILDELTA_LISTEN_URL")
        if self._place is not None:
            with suppress(StorageFailed):
                if await place_of(connection) != await self._place():
                    _log.warning("bell_elsewhere", hint="MAILDELTA_LISTEN_URL is another database's")

    async def _serve(self, connection: psycopg.AsyncConnection) -> None:
        while True:
            if self._is_due or self._is_stopping:
                await self._ring_what_is_due(connection)
            if self._is_stopping:
                return
            await self._until_stirred(connection)
            self._take_in(connection)

    async def _ring_what_is_due(self, connection: psycopg.AsyncConnection) -> None:
        rung = dict(self._rung)
        self._rung.clear()
        self._is_due, self._timer = False, None
        saved = asyncio.get_running_loop().time() - (AT_ONCE - 1) * GATHER_SECONDS
        self._quiet_until = max(self._quiet_until, saved) + GATHER_SECONDS
        if rung:
            await self._notify(connection, payload_of(rung))

    async def _notify(self, connection: psycopg.AsyncConnection, payload: str) -> None:
        await connection.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, f"{self._sender} {payload}"])

    async def _until_stirred(self, connection: psycopg.AsyncConnection) -> None:
        """Until the server says something, or we have something to say. The driver's own wait would poll."""
        loop = asyncio.get_running_loop()
        loop.add_reader(connection.fileno(), self._stirred.set)
        try:
            await self._stirred.wait()
        finally:
            loop.remove_reader(connection.fileno())
            self._stirred.clear()

    def _take_in(self, connection: psycopg.AsyncConnection) -> None:
        connection.pgconn.consume_input()
        while notify := connection.pgconn.notifies():
            # Ours is ASCII; others' comes as the environment of this process says (PGCLIENTENCODING).
            payload = notify.extra.decode(errors="replace")
            self._hear(psycopg.Notify(notify.relname.decode(), payload, notify.be_pid))

    def _hear(self, notify: psycopg.Notify) -> None:
        if notify.channel != _CHANNEL:
            self._others[notify.channel](notify.payload)
            return
        sender, _, payload = notify.payload.partition(" ")
        if sender == self._sender:
            return
        rung = read(payload)
        if rung is None:
            self._is_anything = True
            if self._anything is None:
                self._hear_anything()
            return
        for name, abouts in rung.items():
            for about in abouts:
                self._wakeups.heard(name, about)

    def _hear_anything(self) -> None:
        self._anything = None
        if self._is_anything and not self._is_stopping:
            self._is_anything = False
            self._wakeups.heard_anything()
            loop = asyncio.get_running_loop()
            self._anything = loop.call_later(_ANYTHING_EVERY_SECONDS, self._hear_anything)


def payload_of(rung: Mapping[str, AbstractSet[Hashable]]) -> str:
    """What is sent for this: bounded, for who rings much wakes everybody."""
    if sum(map(len, rung.values())) <= _MOST_OCTETS:
        text = json.dumps({name: list(abouts) for name, abouts in rung.items()}, separators=(",", ":"))
        if len(text) <= _MOST_OCTETS:  # ASCII
            return text
    return _ANYTHING


def read(payload: str) -> dict[str, list[int | str | None]] | None:
    """What was rung; None: anything."""
    try:
        rung = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(rung, dict) or not all(isinstance(abouts, list) for abouts in rung.values()):
        return None
    if any(not isinstance(about, int | str | None) for abouts in rung.values() for about in abouts):
        return None
    return rung
