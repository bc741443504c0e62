"""PURE  What a server says that it can (CAPA, RFC 2449 §5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.pop3.wire.redaction import Redaction

MOST_CAPABILITIES: Final = 100  # servers announce a dozen
MOST_OCTETS: Final = 100  # of each, blanks included
_MOST_OCTETS_OF_SASL: Final = 512  # RFC 2449 §4: no line is longer. The best mechanism may be named last
_LONGEST_LINE: Final = 8192
_MOST_LINES: Final = 1_000
_PRINTABLE: Final = bytes(octet if 0x20 < octet < 0x7F else 0x20 for octet in range(256))
_LONGEST_LOGIN_DELAY: Final = 24 * 3600  # seconds; servers have announced years
# https://www.iana.org/assignments/pop3-extension-mechanism, and CAPA, which Dovecot lists: we have just said it
_REGISTERED: Final = frozenset((
    "TOP", "USER", "SASL", "RESP-CODES", "LOGIN-DELAY", "PIPELINING", "EXPIRE", "UIDL", "IMPLEMENTATION", "STLS",
    "AUTH-RESP-CODE", "UTF8", "LANG", "APOP", "CAPA",
))  # fmt: skip
_LONGEST_EXPIRE: Final = 999_999_999  # days


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
    def auth_response_code(self) -> bool:
        """Every refusal for its credentials bears [AUTH], and no other one does (RFC 3206 §6)."""
        return "AUTH-RESP-CODE" in self.tags

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
        """Seconds that must lie between two logins (RFC 2449 §6.5); at most a day is believed."""
        return _number(self.tags.get("LOGIN-DELAY"), most=_LONGEST_LOGIN_DELAY)

    @property
    def expire(self) -> int | None:
        """Days that mail is kept after it was retrieved; 0 means not at all; None: not said, or never (§6.7)."""
        return _number(self.tags.get("EXPIRE"), most=_LONGEST_EXPIRE)

    def judged_by(self, redaction: Redaction) -> "Capabilities":
        """Without what repeats a secret; what IANA has registered is no secret, whatever the secret is."""
        tags = dict(self.tags)
        for name, arguments in self.tags.items():
            if name == "IMPLEMENTATION":
                tags[name] = (redaction.shown(" ".join(arguments)),)
            elif name not in _REGISTERED and redaction.is_repeated_in(name):
                del tags[name]
        others = [name for name in tags if name not in _REGISTERED]
        if len(others) < 2:  # each alone was judged
            return Capabilities(tags)
        if redaction.is_cut_up_in(others) or redaction.is_cut_up_in(sorted(others)):
            tags = {name: arguments for name, arguments in tags.items() if name in _REGISTERED}
        return Capabilities(tags)


def parse_capabilities(body: bytes) -> Capabilities:
    """Read the lines of a CAPA answer. What cannot be read is left out: it announces nothing.

    Kept, stored and shown are the first hundred, and of each a hundred octets.
    """
    tags: dict[str, tuple[str, ...]] = {}
    for line in body.split(b"\n", _MOST_LINES)[:_MOST_LINES]:
        # RFC 2449 §3: printable ASCII. Anything else must not get into what is stored and shown.
        words = line[:_LONGEST_LINE].translate(_PRINTABLE).decode("ascii").split()
        if not words:
            continue
        name = words[0].upper()
        most = _MOST_OCTETS_OF_SASL if name == "SASL" else MOST_OCTETS
        if name == "SASL" and name in tags:  # some announce them in two lines
            tags[name] = tuple(dict.fromkeys((*tags[name], *" ".join(words)[:most].split()[1:])))[
                :MOST_CAPABILITIES
            ]
        elif len(name) <= most and (name in tags or len(tags) < MOST_CAPABILITIES):
            tags[name] = tuple(" ".join(words)[:most].split()[1:])
    return Capabilities(tags)


def _number(arguments: tuple[str, ...] | None, *, most: int) -> int | None:
    """The first argument, cut to ``most`` before it is read: it may have any number of digits."""
    if not arguments or not (arguments[0].isascii() and arguments[0].isdigit()):
        return None
    digits = arguments[0].lstrip("0") or "0"
    return most if len(digits) > len(str(most)) else min(int(digits), most)
