"""How a session begins: an address that answers, a connection that is protected, a greeting, capabilities."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from secrets import token_urlsafe

from app.pop3.endpoint import Endpoint, Security
from app.pop3.errors import CleartextRefused, ConnectFailed, Pop3Error, TlsFailed, TooSlow
from app.pop3.limits import Limits
from app.pop3.session import Pop3Session
from app.pop3.wire.capabilities import Capabilities
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.milestones import Announced, Greeted, Reached, unwatched
from app.pop3.wire.progress import Progress
from app.pop3.wire.redaction import Redaction
from app.pop3.wire.stream import LONGEST_CONNECTING, Stream, client_tls_context
from app.pop3.wire.transcript import Transcript


async def connect(
    endpoint: Endpoint,
    *,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    allow_cleartext_password: bool = False,
    transcript: Transcript | None = None,
    reached: Reached = unwatched,
    new_nonce: Callable[[], str] = token_urlsafe,
    known: Capabilities | None = None,
    progress: Progress | None = None,
    secrets: Sequence[str] = (),
    without_capa: bool = False,
) -> Pop3Session:
    """Connect, protect the connection as the endpoint asks, read the greeting, ask for the capabilities.

    The next address is tried where one of these fails, for nothing secret was sent yet; not behind a certificate that
    is not accepted, nor when connecting has taken three times what one address may take.

    ``known``: what a session of before with this endpoint ended with as ``known``. CAPA then goes out with USER and
    PASS, which spares a round trip, and Announced is not reached.
    ``transcript`` is told of all that is sent and received, ``reached`` of each milestone, in the order in which
    they come: with STARTTLS Protected is the last one, once the capabilities were told anew. ``new_nonce`` makes
    what SCRAM needs: printable ASCII without a comma, another one each time. ``secrets`` are not repeated in anything
    that is shown of the server's words: from the greeting on, for a server may know them from sessions of before.
    ``without_capa``: CAPA is not asked, and nothing is known of what the server can.
    ``progress`` is told how the session moves; whom it does not admit is not connected to, and by it somebody may call
    the session back.

    Raises NotAdmitted, TooSlow, ConnectFailed, TlsFailed, Timeout, ConnectionLost, ProtocolError, LimitExceeded,
    and for a greeting of -ERR what its words mean.
    """
    limits = limits or Limits()
    redaction = Redaction(*secrets)
    if transcript is not None:
        transcript.judge_by(redaction)
    clock = asyncio.get_running_loop().time
    enough = clock() + LONGEST_CONNECTING * limits.connect_timeout
    failure: Pop3Error = ConnectFailed("there is no address to connect to")
    for address in endpoint.addresses:
        try:
            return await _connect_to(
                replace(endpoint, addresses=(address,)),
                limits=limits,
                tls=tls,
                allow_cleartext_password=allow_cleartext_password,
                transcript=transcript,
                reached=reached,
                new_nonce=new_nonce,
                known=known,
                progress=progress or Progress(),
                redaction=redaction,
                without_capa=without_capa,
            )
        except (CleartextRefused, TooSlow):
            raise
        except Pop3Error as error:
            # A certificate that is not accepted is a warning, not a broken server.
            if clock() >= enough or (isinstance(error, TlsFailed) and error.verify_code is not None):
                raise
            failure = error
    raise failure


async def _connect_to(
    endpoint: Endpoint,
    *,
    limits: Limits,
    tls: ssl.SSLContext | None,
    allow_cleartext_password: bool,
    transcript: Transcript | None,
    reached: Reached,
    new_nonce: Callable[[], str],
    known: Capabilities | None,
    progress: Progress,
    redaction: Redaction,
    without_capa: bool,
) -> Pop3Session:
    context = tls if tls is not None or endpoint.security is Security.NONE else client_tls_context()
    stream = await Stream.open(
        endpoint.addresses,
        endpoint.port,
        tls=context if endpoint.security is Security.TLS else None,
        server_name=endpoint.host,
        within=limits.connect_timeout,
        reached=reached,
        progress=progress,
    )
    session = Pop3Session(
        Dialogue(stream, limits, redaction=redaction, transcript=transcript, progress=progress),
        limits,
        endpoint=endpoint,
        allow_cleartext_password=allow_cleartext_password,
        new_nonce=new_nonce,
        without_capa=without_capa,
    )
    try:
        await session.authorization.greet()
        reached(Greeted(session.greeting))
        if known is not None and endpoint.security is not Security.STARTTLS:
            session.authorization.presume(known)
            return session
        await session.authorization.ask_capabilities()
        reached(Announced(session.capabilities))
        if endpoint.security is Security.STARTTLS:
            assert context is not None
            reached(await session.authorization.start_tls(context))
        await session.authorization.ask_for_messages_as_they_are()
    except BaseException:
        await session.abort()
        raise
    return session
