"""The only socket: connecting, TLS, and octets in and out, each with its time-out."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence

from app.pop3.errors import ConnectFailed, ConnectionLost, Timeout, TlsFailed

READ_OCTETS = 256 * 1024


def client_tls_context(cadata: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 at least, chain and host name verified (RFC 8314). ``cadata``: PEM, instead of the system's store."""
    context = ssl.create_default_context(cadata=cadata)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Stream:
    """A connection to a mail server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        tls: ssl.SSLContext | None,
        server_name: str,
        within: float,
    ) -> "Stream":
        """Connect to the first address that answers. ``within`` seconds for each, TLS included."""
        failure: Exception = ConnectFailed("there is no address to connect to")
        for address in addresses:
            try:
                async with asyncio.timeout(within):
                    reader, writer = await asyncio.open_connection(
                        address,
                        port,
                        ssl=tls,
                        server_hostname=server_name if tls else None,
                        limit=READ_OCTETS,
                    )
            except ssl.SSLError as error:
                raise TlsFailed(f"TLS with {server_name}: {_reason(error)}") from error
            except TimeoutError:
                failure = Timeout(f"{address} port {port} did not answer within {within:g} s")
            except (ConnectionError, OSError) as error:
                failure = ConnectFailed(f"{address} port {port}: {_reason(error)}")
            else:
                with contextlib.suppress(OSError):
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return cls(reader, writer)
        raise failure

    async def start_tls(self, context: ssl.SSLContext, *, server_name: str, within: float) -> None:
        """Go over to TLS. Octets that were received before and not read are a sign of an injection."""
        try:
            async with asyncio.timeout(within):
                await self._writer.start_tls(context, server_hostname=server_name)
        except ssl.SSLError as error:
            raise TlsFailed(f"TLS with {server_name}: {_reason(error)}") from error
        except TimeoutError as error:
            raise Timeout(f"the TLS handshake took more than {within:g} s") from error
        except (ConnectionError, OSError) as error:
            raise TlsFailed(f"the connection ended during the TLS handshake: {_reason(error)}") from error

    @property
    def holds_unread(self) -> bool:
        """Octets were received that nobody has read."""
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    def write(self, octets: bytes) -> None:
        """Send, soon. Commands are short: the window bounds what can pile up."""
        self._writer.write(octets)

    async def read(self) -> bytes:
        """What has come, at least one octet. Raises ConnectionLost at the end."""
        try:
            octets = await self._reader.read(READ_OCTETS)
        except (ConnectionError, OSError) as error:
            raise ConnectionLost(f"the connection was lost: {_reason(error)}") from error
        if not octets:
            raise ConnectionLost("the server closed the connection")
        return octets

    async def close(self) -> None:
        """Close at once; what the other side thinks of it is of no interest."""
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").replace("_", " ").lower()
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
