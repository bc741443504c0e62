"""PURE  The header fields that guard a browser, and those who read what it keeps."""

from collections.abc import Iterable

# Answers hold mail, names of mailboxes, keys: nobody on the way keeps them, no page frames them, no browser guesses
# that one is a page. A route that says otherwise is left its word.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def guarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These headers of an answer, and those of the above that it does not set itself."""
    told = list(headers)
    names = {name.lower() for name, _ in told}
    return told + [header for header in SECURITY_HEADERS if header[0] not in names]
