"""PURE  What a key may do."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """What a key may do. All but ``admin`` include ``read`` and themselves; ``admin`` includes all."""

    READ = "read"
    SYNC = "sync"
    WRITE = "write"
    MAILBOXES = "mailboxes"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


def included(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """All that a key with these may do."""
    given = frozenset(scopes)
    return ALL_SCOPES if Scope.ADMIN in given else given | {Scope.READ}
