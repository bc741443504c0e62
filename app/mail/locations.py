"""PURE  What a Content-Location means, and which part an address in HTML names (RFC 2557 §4.2 and §5)."""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urljoin

from app.mail.budget import Budget, Work

MAX_LOCATION = 998  # characters
_STEPS_OF_JOINING = 10
_CHARACTERS_OF_A_STEP = 16


def joined(base: str, location: str) -> str:
    """A location as an address, seen from ``base`` (RFC 3986 §5.2); as it is where that is none, or too long."""
    address = location
    with suppress(ValueError):
        address = urljoin(base, location)
    return address if len(address) <= MAX_LOCATION else location


def content_id_at(ids: Mapping[str, str], base: str, budget: Budget, source: str) -> str | None:
    """The Content-ID of the part that ``source`` names in HTML whose own address is ``base``.

    ``ids``: the Content-ID of each part by its address, and by its location as it was written: some programs compare
    only that.
    """
    if not ids or not source or len(source) > MAX_LOCATION:
        return None
    if base:
        steps = _STEPS_OF_JOINING + (len(base) + len(source)) // _CHARACTERS_OF_A_STEP
        if budget.take(Work.STEPS, steps) < steps:
            return None
        if (found := ids.get(joined(base, source))) is not None:
            return found
    return ids.get(source)
