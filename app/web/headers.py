"""PURE  Header fields: those that guard a browser and what it keeps, and lists that come in several lines."""

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
_LISTS = frozenset((b"accept", b"accept-encoding", b"if-match", b"if-none-match"))
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


def with_lists_joined(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These header fields of a request, each list that may come in several lines in one (RFC 9110 §5.3): who reads a
    field by its name gets the first line alone.
    """
    asked = list(headers)
    lists = [name for name, _ in asked if name in _LISTS]
    if len(lists) == len(set(lists)):
        return asked
    joined = {name: b", ".join(value for each, value in asked if each == name) for name in lists}
    return [field for field in asked if field[0] not in joined] + list(joined.items())
