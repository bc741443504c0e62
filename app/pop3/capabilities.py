"""PURE  What a server says that it can (CAPA, RFC 2449 §5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities announced, by upper-case name, with their arguments."""

    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The names of all that was announced."""
        return frozenset(self.tags)

    @property
    def pipelining(self) -> bool:
        """Commands may be sent before earlier ones are answered (RFC 2449 §6.6)."""
        return "PIPELINING" in self.tags

    @property
    def stls(self) -> bool:
        """TLS can be started (RFC 2595)."""
        return "STLS" in self.tags

    @property
    def utf8(self) -> bool:
        """Messages with UTF-8 in their headers can be asked for as they are (RFC 6856 §2)."""
        return "UTF8" in self.tags

    @property
    def uidl(self) -> bool:
        """UIDL is announced; it often works when it is not."""
        return "UIDL" in self.tags

    @property
    def top(self) -> bool:
        """TOP is announced; it often works when it is not."""
        return "TOP" in self.tags

    @property
    def response_codes(self) -> bool:
        """Status texts may begin with a response code (RFC 2449 §6.4)."""
        return "RESP-CODES" in self.tags

    @property
    def user(self) -> bool:
        """USER and PASS are announced, or nothing is: a server without CAPA knows nothing else."""
        return "USER" in self.tags or not self.tags

    @property
    def sasl(self) -> frozenset[str]:
        """The names of the SASL mechanisms."""
        return frozenset(name.upper() for name in self.tags.get("SASL", ()))

    @property
    def implementation(self) -> str | None:
        """What the server calls itself (RFC 2449 §6.9)."""
        return " ".join(self.tags["IMPLEMENTATION"]) if "IMPLEMENTATION" in self.tags else None

    @property
    def login_delay(self) -> int | None:
        """Seconds that must lie between two logins (RFC 2449 §6.5)."""
        return _number(self.tags.get("LOGIN-DELAY"))

    @property
    def expire(self) -> int | None:
        """Days that mail is kept after it was retrieved; 0 means not at all; None: not said, or never (§6.7)."""
        return _number(self.tags.get("EXPIRE"))


def parse_capabilities(body: bytes) -> Capabilities:
    """Read the lines of a CAPA answer. What cannot be read is left out: it announces nothing."""
    tags: dict[str, tuple[str, ...]] = {}
    for line in body.split(b"\n"):
        # RFC 2449 §3: printable ASCII. Anything else must not get into what is stored and shown.
        words = "".join(chr(octet) if 0x20 < octet < 0x7F else " " for octet in line).split()
        if words:
            tags[words[0].upper()] = tuple(words[1:])
    return Capabilities(tags)


def _number(arguments: tuple[str, ...] | None) -> int | None:
    if arguments and arguments[0].isascii() and arguments[0].isdigit():
        return int(arguments[0][:9])
    return None
