"""PURE  Whether a listing is the last one again, or the last one with more at its end.

A listing whose every message is settled leaves its lengths and digests behind. When the next one is the same,
nothing is read per unique-id; when it begins with the same octets, only what follows is looked at. A digest of
100,000 lines takes a millisecond, reading 100,000 ledger lines a hundred.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from app.pop3 import RawListing, Sliced, Stat

_SLICE_OCTETS = 1024 * 1024

_SLICE_LINES = 2048
_LINE = re.compile(rb"[^\n]*\n")
_NUMBER = re.compile(rb"[0-9]+(?=[ \t\r\n])")


class Change(StrEnum):
    """How a listing differs from the one that was worked off last."""

    NONE = "none"
    GROWN = "grown"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ListingDigest:
    """What is remembered of a listing: lengths in octets, digests, and how many messages it showed."""

    uidl_octets: int
    uidl_sha256: bytes
    sizes_octets: int
    sizes_sha256: bytes
    entries: int
    is_confirmed: bool = True


def digesting(raw: RawListing, *, entries: int, is_confirmed: bool) -> Sliced[ListingDigest]:
    """The digest that a listing leaves. ``is_confirmed`` is false for one that was suddenly empty."""
    uidl = yield from _digest(raw.uidl, len(raw.uidl))
    sizes = yield from _digest(raw.sizes, len(raw.sizes))
    return ListingDigest(len(raw.uidl), uidl, len(raw.sizes), sizes, entries, is_confirmed)


def comparing(raw: RawListing, last_digest: ListingDigest | None) -> Sliced[Change]:
    """Compare a listing with the digest of the last one. Both answers must have grown, or neither."""
    if (
        last_digest is None
        or not last_digest.is_confirmed
        or len(raw.uidl) < last_digest.uidl_octets
        or len(raw.sizes) < last_digest.sizes_octets
    ):
        return Change.OTHER
    if (yield from _digest(raw.uidl, last_digest.uidl_octets)) != last_digest.uidl_sha256:
        return Change.OTHER
    if (yield from _digest(raw.sizes, last_digest.sizes_octets)) != last_digest.sizes_sha256:
        return Change.OTHER
    uidl_grew, sizes_grew = len(raw.uidl) > last_digest.uidl_octets, len(raw.sizes) > last_digest.sizes_octets
    if uidl_grew != sizes_grew:
        return Change.OTHER
    return Change.GROWN if uidl_grew else Change.NONE


def _digest(body: bytes | bytearray, octets: int) -> Sliced[bytes]:
    digest = sha256()
    with memoryview(body) as view:
        for start in range(0, octets, _SLICE_OCTETS):
            digest.update(view[start : min(start + _SLICE_OCTETS, octets)])
            if octets > _SLICE_OCTETS:
                yield
    return digest.digest()


def grown_part(raw: RawListing, last_digest: ListingDigest) -> RawListing:
    """What a grown listing shows behind the last one."""
    stat = Stat(max(raw.stat.count - last_digest.entries, 0), raw.stat.octets)
    return RawListing(stat, raw.uidl[last_digest.uidl_octets :], raw.sizes[last_digest.sizes_octets :])


def without(raw: RawListing, numbers: Collection[int]) -> Sliced[RawListing | None]:
    """What the next session shows once these are deleted and nothing else happens: the others, numbered anew.

    None when that cannot be told, as the numbers do not run from 1 (RFC 1939 §4 wants that).
    """
    uidl = yield from _renumbered(raw.uidl, numbers)
    sizes = yield from _renumbered(raw.sizes, numbers)
    if uidl is None or sizes is None:
        return None
    return RawListing(Stat(max(raw.stat.count - len(numbers), 0), raw.stat.octets), uidl, sizes)


def _renumbered(body: bytes | bytearray, gone: Collection[int]) -> Sliced[bytes | None]:
    kept: list[bytes] = []
    if not body.endswith(b"\n"):
        return None if body else b""
    for place, found in enumerate(_LINE.finditer(body), 1):
        line = found[0]
        number = _NUMBER.match(line)
        if number is None or int(number[0]) != place:
            return None
        if place not in gone:
            kept.append(b"%d%b" % (len(kept) + 1, line[number.end() :]))
        if not place % _SLICE_LINES:
            yield
    return b"".join(kept)
