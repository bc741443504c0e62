"""PURE  What a session takes from a server before it has had enough."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session takes from a server. Octets, seconds and counts.

    ``progress_octets``: within ``reply_timeout`` seconds a server must end a reply or send so many octets; a drip
    is no progress. ``octets_per_second``: what a whole session must bring at least, beyond two such time-outs (a
    modem of 2,400 baud brings 240). ``memory_octets``: a larger body goes to a temporary file. ``head_octets``: a
    longer answer to TOP is cut there. ``silence``: how long nothing may come behind what ended without CR LF and a dot,
    before that is taken for an end.
    """

    line_octets: int = 8192
    capabilities_octets: int = 256 * 1024
    listing_entries: int = 200_000
    listing_octets: int = 256 * 1024 * 1024
    message_octets: int = 100 * 1024 * 1024
    memory_octets: int = 4 * 1024 * 1024
    head_octets: int = 256 * 1024
    connect_timeout: float = 15.0
    reply_timeout: float = 60.0
    silence: float = 1.0
    session_timeout: float = 1800.0
    quit_timeout: float = 5.0
    progress_octets: int = 1024
    octets_per_second: int = 64
    window_commands: int = 100
    window_octets: int = 8 * 1024 * 1024

    def within(self, *, reply: float, session: float) -> Self:
        """The same, with at most so many seconds for connecting, for a reply, and for all."""
        return replace(
            self,
            connect_timeout=min(self.connect_timeout, reply),
            reply_timeout=min(self.reply_timeout, reply),
            session_timeout=min(self.session_timeout, session),
        )
