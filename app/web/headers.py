"""PURE  The header fields that guard a browser, and those who read what it keeps."""

from collections.abc import Iterable

# Answers hold mail, names of mailboxes, keys: nobody on the way keeps them, no page frames them, no browser guesses
# that one is a page. A route that says otherwise is left its word.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_SET_BY_ROUTES = frozenset(name for name, _ in SECURITY_HEADERS)


def guarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These header fields of an answer, and those of the above that it does not set itself."""
    told = list(headers)
    for name, _ in told:
        if name in _SET_BY_ROUTES:
            names = {name for name, _ in told}
            return told + [field for field in SECURITY_HEADERS if field[0] not in names]
    told += SECURITY_HEADERS
    return told
