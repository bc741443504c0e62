"""PURE  Whether two addresses are one, and whether a name or an address pretends to be another one."""

import contextlib
import re
import string
import unicodedata

_LONGEST_DOMAIN = 253
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ADDRESS_IN_NAME = re.compile(r"([^\s@<>()\[\],;:]++)@(\[[^\s\[\]]++\]|[^\s@<>()\[\],;:]++)")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"


def names_several(address: str) -> bool:
    """Whether an address has an ``@`` too many (``ceo@bank.example@evil.example``): what programs show differs."""
    return address.count("@") > 1 and "@" in _QUOTED.sub("", address.rpartition("@")[0])


def canonical(address: str) -> str:
    """An address as it is compared: ASCII letters in lower case, the domain as A-labels (RFC 5890) where it has any."""
    local, at, domain = address.strip().rpartition("@")
    if not domain.isascii() and len(domain) <= _LONGEST_DOMAIN:  # the codec takes quadratic time
        with contextlib.suppress(UnicodeError):
            domain = domain.encode("idna").decode("ascii")
    return f"{local}{at}{domain.rstrip('.')}".translate(_LOWER)


def in_unicode(address: str) -> str:
    """A canonical address with the A-labels of its domain as U-labels, as some senders write them."""
    local, at, domain = address.rpartition("@")
    if "xn--" in domain:
        with contextlib.suppress(UnicodeError):
            domain = domain[:_LONGEST_DOMAIN].encode("ascii").decode("idna")
    return f"{local}{at}{domain}"


def looks_like_another(name: str, address: str) -> bool:
    """Whether a name holds an address, in letters of any width and quoted in any way, that is not the one beside it."""
    plain = unicodedata.normalize("NFKC", name)
    own = canonical(address.replace('"', "")).casefold()
    return any(_unquoted(*one.groups()) != own for one in _ADDRESS_IN_NAME.finditer(plain))


def _unquoted(local: str, domain: str) -> str:
    return canonical(f"{local.strip(_QUOTES)}@{domain.strip(_QUOTES)}").casefold()
