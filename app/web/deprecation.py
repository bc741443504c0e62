"""What is on its way out says so itself: ``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594)."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from starlette.types import Message, Send


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecated:
    """A dependency of a route, of its ``dependencies``. ``since``, ``until``: in UTC; ``instead``: the path to use."""

    since: datetime
    until: datetime
    instead: str

    async def __call__(self) -> None:
        """As a dependency it does nothing."""

    def telling(self, send: Send, *, prefix: str) -> Send:
        """``send`` with these header fields in the answer. ``prefix``: that by which it was asked."""
        fields = [
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"sunset", format_datetime(self.until, usegmt=True).encode()),
            (b"link", f'<{prefix}{self.instead}>; rel="successor-version"'.encode()),
        ]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *fields]
            await send(message)

        return told
