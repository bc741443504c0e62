"""Sessions with the fake server, for tests."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app import pop3
from tests.fakes.pop3_server import FakePop3Server

QUICK = pop3.Limits(connect_timeout=5, reply_timeout=5, session_timeout=20, quit_timeout=2)


def limits(**changes: Any) -> pop3.Limits:
    """Limits that no test waits long for."""
    given = {name: getattr(QUICK, name) for name in QUICK.__slots__}
    return pop3.Limits(**(given | changes))


def endpoint(server: FakePop3Server, security: pop3.Security = pop3.Security.NONE) -> pop3.Endpoint:
    """The fake server, under the name that its certificate is for."""
    return pop3.Endpoint("localhost", (server.host,), server.port, security)


async def opened(
    server: FakePop3Server,
    *,
    security: pop3.Security = pop3.Security.NONE,
    tls: ssl.SSLContext | None = None,
    **changes: Any,
) -> pop3.Pop3Session:
    """A session that is not logged in."""
    return await pop3.connect(
        endpoint(server, security), limits=limits(**changes), tls=tls, allow_cleartext_password=True
    )


@asynccontextmanager
async def logged_in(server: FakePop3Server, **changes: Any) -> AsyncIterator[pop3.Pop3Session]:
    """A session of the server's first maildrop."""
    maildrop = next(iter(server.maildrops.values()))
    async with await opened(server, **changes) as session:
        await session.login(maildrop.username, maildrop.password)
        yield session


async def all_of(session: pop3.Pop3Session, count: int, octets: int = 0) -> list[pop3.Retrieved]:
    """RETR 1 to ``count``."""
    return [reply async for reply in session.retrieve([(number, octets) for number in range(1, count + 1)])]
