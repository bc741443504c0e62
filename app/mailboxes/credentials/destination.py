"""PURE  Where stored credentials are sent, and whether a change may take them along."""

import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_RANKS: Final = {"none": 0, "starttls": 1, "tls": 2}
_HIDES_IT: Final = frozenset(("SCRAM-SHA-256", "CRAM-MD5"))
_USUAL_PORTS: Final = frozenset((110, 995))
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))  # RFC 3490 §3.1
# IDNA 2003, which resolvers of Python use, and IDNA 2008 give these different names.
_AMBIGUOUS: Final = frozenset("\N{LATIN SMALL LETTER SHARP S}\N{GREEK SMALL LETTER FINAL SIGMA}\u200c\u200d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """To whom credentials are sent, and how they are protected on the way."""

    host: str
    port: int
    security: str
    username: str
    allow_cleartext_password: bool = False
    allow_apop: bool = False
    mechanism: str | None = None
    allow_legacy_tls: bool = False
    ca_certificates: str | None = None


def fields_that_need_credentials(old: Destination, new: Destination) -> tuple[str, ...]:
    """Which changes would send stored credentials somewhere new, or less protected than when they were given.

    Empty when they may go along: nothing of it changes, the protection gets stronger, or the same host is reached by
    TLS from the start instead of STARTTLS or clear text, which is the other of the two usual ports.
    """
    is_stronger = _RANKS[new.security] > _RANKS[old.security]
    is_move_to_tls = is_stronger and new.security == "tls" and {old.port, new.port} <= _USUAL_PORTS
    needs = {
        "host": canonical_host(old.host) != canonical_host(new.host),
        "port": old.port != new.port and not is_move_to_tls,
        "username": old.username != new.username,
        "security": _RANKS[new.security] < _RANKS[old.security],
        "allow_cleartext_password": new.allow_cleartext_password and not old.allow_cleartext_password,
        # Beside TLS, APOP's MD5 is the weaker one; without it, the password itself is.
        "allow_apop": new.allow_apop != old.allow_apop and (new.allow_apop or new.security == "none"),
        # In clear text another one may send the password itself.
        "mechanism": old.mechanism != new.mechanism
        and new.security == "none"
        and new.mechanism not in _HIDES_IT,
        "allow_legacy_tls": new.allow_legacy_tls and not old.allow_legacy_tls,
        "ca_certificates": not _trusts_no_others(old.ca_certificates, new.ca_certificates),
    }
    return tuple(field for field, needed in needs.items() if needed)


def canonical_host(host: str) -> str:
    """The same text for the same host: addresses in one form, names in lower case, as A-labels, without a last dot."""
    text = unicodedata.normalize("NFC", host.strip("[]")).lower().translate(_DOTS).rstrip(".")
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    if text.isascii() or not _AMBIGUOUS.isdisjoint(text):
        return text
    try:
        return canonical_host(text.encode("idna").decode())  # it may have a last dot now
    except UnicodeError:
        return text


def _trusts_no_others(old: str | None, new: str | None) -> bool:
    """Whether all whom ``new`` trusts were trusted before. No certificates: whom the system trusts, maybe anybody."""
    before, after = _certificates(old or ""), _certificates(new or "")
    return after <= before if before and after else before == after


def _certificates(pem: str) -> frozenset[str]:
    """The certificates of a PEM text, however it is broken into lines, and whatever stands between them."""
    blocks = pem.split("-----BEGIN ")[1:]
    return frozenset("".join(block.partition("-----END ")[0].split()) for block in blocks)
