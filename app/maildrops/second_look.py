"""A second look at a port, where TLS and clear text may have been mixed up. Nobody logs in."""

import ssl
from dataclasses import replace

from app import pop3

_LONGEST = 5.0  # seconds, of each wait


async def plain_words(endpoint: pop3.Endpoint, *, limits: pop3.Limits) -> str | None:
    """What the port says first to one who comes without TLS. None: nothing."""
    plain = replace(endpoint, security=pop3.Security.NONE)
    try:
        async with await pop3.connect(plain, limits=_brief(limits)) as session:
            return f"+OK {session.greeting}"
    except pop3.ProtocolError as error:
        return error.reply
    except pop3.Pop3Error as error:
        return error.reply and f"-ERR {error.reply}"


async def speaks_tls(endpoint: pop3.Endpoint, *, limits: pop3.Limits, tls: ssl.SSLContext) -> bool:
    """Whether the port speaks TLS from the start, whatever it says then."""
    reached: list[pop3.Milestone] = []
    try:
        protected = replace(endpoint, security=pop3.Security.TLS)
        async with await pop3.connect(protected, limits=_brief(limits), tls=tls, reached=reached.append):
            return True
    except pop3.TlsFailed as error:
        return error.verify_code is not None
    except pop3.Pop3Error:
        return any(isinstance(milestone, pop3.Protected) for milestone in reached)


def _brief(limits: pop3.Limits) -> pop3.Limits:
    return limits.within(reply=_LONGEST, session=2 * _LONGEST)
