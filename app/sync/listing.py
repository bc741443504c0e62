"""The listing of a maildrop, also where the server knows no UIDL: then what a message is stands in for its id."""

import asyncio
from hashlib import sha256
from typing import IO

from app import pop3
from app.mail.fingerprint import fingerprint, head_of, headers_digest

_DIGITS = 40
_BLOCK = 512 * 1024


def most_entries(listed_before: int | None, limits: pop3.Limits) -> int:
    """PURE  How long a mailbox's listing may be: as long as any, and one that was longer may double."""
    return max(limits.listing_entries, 2 * (listed_before or 0))


async def list_maildrop(
    session: pop3.Pop3Session, *, most_entries: int, took: pop3.Took = pop3.nobody_counts
) -> tuple[pop3.RawListing, bool]:
    """STAT, UIDL and LIST; and whether the unique-ids are the server's own. ``took`` may have a long one wait.

    A server without UIDL is asked for the headers of every message (TOP), at every sync: their digest is the id,
    with the size where the headers do not name the message. Where TOP fails too, the digest of the whole message
    is. A message whose headers cannot be had either way is not listed, which shows as a short listing.
    """
    try:
        return await session.listing(most_entries=most_entries, took=took), True
    except pop3.UidlUnavailable as error:
        if error.without_ids is None:
            raise
        raw = error.without_ids
    by_number = await asyncio.to_thread(pop3.sizes_by_number, raw.sizes)
    sizes = {number: octets or 0 for number, octets in by_number.items()}
    ids: dict[int, bytes] = {}
    async for reply in session.top(list(sizes), lines=0):
        if isinstance(reply.body, bytes):
            ids[reply.number] = _id_by_headers(reply.body, sizes[reply.number])
        reply.close()
    rest = [(number, sizes[number]) for number in sizes if number not in ids]
    async for reply in session.retrieve(rest):
        if reply.body is not None:
            ids[reply.number] = _id_of_message(reply.body, sizes[reply.number])
        reply.close()
    uidl = b"".join(b"%d %s\r\n" % (number, ids[number]) for number in sizes if number in ids)
    return pop3.RawListing(raw.stat, uidl, raw.sizes), False


def _id_of_message(body: bytes | IO[bytes], octets: int) -> bytes:
    """The same id that TOP would have given, where the headers name the message; else by its content."""
    start = body if isinstance(body, bytes) else body.read(_BLOCK)
    if headers_digest(start) is not None:
        return _id_by_headers(head_of(start), octets)
    digest = sha256(start)
    while not isinstance(body, bytes) and (block := body.read(_BLOCK)):
        digest.update(block)
    content = fingerprint(start, digest.digest()).content if isinstance(body, bytes) else digest.digest()
    return b"content-" + content.hex().encode()[:_DIGITS]


def _id_by_headers(head: bytes, octets: int) -> bytes:
    digest = headers_digest(head)
    if digest is not None:
        return b"headers-" + digest.hex().encode()[:_DIGITS]
    return b"headers-%s-%d" % (sha256(head).hexdigest().encode()[:_DIGITS], octets)
