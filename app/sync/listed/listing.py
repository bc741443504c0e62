"""The listing of a maildrop. Where the server has no UIDL, ids made of the headers stand in for unique-ids."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import IO, Any

from app import pop3
from app.mail.fingerprint import fingerprint, head_of, headers_digest, is_stamped
from app.mailboxes.models import Mailbox
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.reading.slices import Slices
from app.runs.admission.schedule import is_without_uidl
from app.sync.listed.numbers import MOST_OCTETS

_DIGITS = 40
_BLOCK = 512 * 1024

IdsOfUnread = Callable[[Collection[bytes]], Awaitable[Collection[bytes]]]
"""Of ids made of sizes alone, for messages that cannot be read at all, those under which they are to be listed."""


async def nothing_unread(_ids: Collection[bytes]) -> Collection[bytes]:
    """What cannot be read is not listed."""
    return ()


def most_entries(listed_before: int | None, limits: pop3.Limits) -> int:
    """PURE  How long a mailbox's listing may be: as long as any, and one that was longer may double."""
    return max(limits.listing_entries, 2 * (listed_before or 0))


@dataclass
class UidlFailed(SyncFailed):
    """UIDL failed, and that may be for now; ``facts``: what is to be remembered of it at the mailbox."""

    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """STAT, UIDL and LIST as they came. ``has_ids``: the unique-ids are the server's own; else they are made of
    headers, as it has none, or as they ``are_numbers``. ``unstamped``: by number, those of the latter that other
    messages may have too, as no server stamped the headers; where the message is not too large to be compared.
    """

    raw: pop3.RawListing
    has_ids: bool
    are_numbers: bool = False
    unstamped: Mapping[int, bytes] = field(default_factory=dict)


async def list_maildrop(
    session: pop3.Pop3Session,
    mailbox: Mailbox,
    *,
    most_entries: int,
    now: datetime,
    took: pop3.Took = pop3.nobody_counts,
    ids_are_numbers: bool | None = None,
    of_unread: IdsOfUnread = nothing_unread,
) -> Listed:
    """The listing. Raises UidlFailed where UIDL may work the next time. ``took`` may have a long one wait.

    A server without UIDL, or with message-numbers for unique-ids, is asked for the headers of every message (TOP), at
    every sync: their digest is the id, with the size where the headers do not name the message. Where TOP fails too,
    the digest of the whole message is. A message whose headers cannot be had either way is not listed, which shows as
    a short listing, unless it was there at the beginning (``of_unread``).
    """
    ids_are_numbers = mailbox.ids_are_numbers if ids_are_numbers is None else ids_are_numbers
    try:
        raw = await session.listing(most_entries=most_entries, took=took)
        if not ids_are_numbers:
            return Listed(raw, has_ids=True)
    except pop3.UidlUnavailable as error:
        if error.without_ids is None:
            raise
        raw = error.without_ids
        failures, since = mailbox.uidl_failures + 1, mailbox.uidl_failed_at or now
        if not ids_are_numbers and not is_without_uidl(error.words, failures=failures, since=since, now=now):
            facts = {"uidl_failures": failures, "uidl_failed_at": since}
            raise UidlFailed(
                SyncErrorCode.SERVER_TEMPORARY,
                f"{error} It may be for now.",
                server_reply=error.reply,
                facts=facts,
            ) from error
    sizes = await asyncio.to_thread(pop3.sizes_by_number, raw.sizes)
    ids, unstamped = await _ids_by_headers(session, sizes, of_unread)
    uidl = b"".join(b"%d %s\r\n" % (number, ids[number]) for number in sizes if number in ids)
    return Listed(
        pop3.RawListing(raw.stat, uidl, raw.sizes),
        has_ids=False,
        are_numbers=ids_are_numbers,
        unstamped={n: ids[n] for n, size in sizes.items() if n in unstamped and (size or 0) <= MOST_OCTETS},
    )


async def with_every_id(
    session: pop3.Pop3Session,
    raw: pop3.RawListing,
    *,
    most_entries: int,
    slices: Slices,
    of_unread: IdsOfUnread = nothing_unread,
) -> pop3.Listing:
    """The listing, where messages to which the server gives no unique-id have one of ours."""
    listing = await slices.do(pop3.parsing(raw, most_entries=most_entries))
    if not pop3.lacks_ids(raw, listing):
        return listing
    octets = await asyncio.to_thread(pop3.without_ids, raw, listing)
    ids, _ = await _ids_by_headers(session, octets, of_unread)
    lines = [pop3.Line(number, b" " + ids[number], octets[number]) for number in ids]
    return await asyncio.to_thread(pop3.with_ids, listing, lines)


async def _ids_by_headers(
    session: pop3.Pop3Session, sizes: Mapping[int, int | None], of_unread: IdsOfUnread
) -> tuple[dict[int, bytes], set[int]]:
    """Ids by number, and the numbers of those whose headers have no server's stamp."""
    ids: dict[int, bytes] = {}
    unstamped: set[int] = set()
    async for reply in session.top(list(sizes), lines=0):
        if isinstance(reply.body, bytes):
            ids[reply.number] = _id_by_headers(reply.body, sizes[reply.number] or 0)
            if not is_stamped(reply.body):
                unstamped.add(reply.number)
        reply.close()
    rest = [(number, sizes[number] or 0) for number in sizes if number not in ids]
    async for reply in session.retrieve(rest):
        if reply.body is not None:
            ids[reply.number], is_of_one = _id_of_message(reply.body, sizes[reply.number] or 0)
            if not is_of_one:
                unstamped.add(reply.number)
        reply.close()
    unread = {number: b"content-unread-%d" % octets for number, octets in rest if number not in ids}
    if unread:
        some = await of_unread(set(unread.values()))
        ids |= {number: one for number, one in unread.items() if one in some}
    return ids, unstamped


def _id_of_message(body: bytes | IO[bytes], octets: int) -> tuple[bytes, bool]:
    """The same id that TOP would have given, where the headers name the message; else by its content. Whether no other
    message has it."""
    start = body if isinstance(body, bytes) else body.read(_BLOCK)
    if headers_digest(start) is not None:
        return _id_by_headers(head_of(start), octets), is_stamped(start)
    digest = sha256(start)
    while not isinstance(body, bytes) and (block := body.read(_BLOCK)):
        digest.update(block)
    content = fingerprint(start, digest.digest()).content if isinstance(body, bytes) else digest.digest()
    return b"content-" + content.hex().encode()[:_DIGITS], True


def _id_by_headers(head: bytes, octets: int) -> bytes:
    digest = headers_digest(head)
    if digest is not None:
        return b"headers-" + digest.hex().encode()[:_DIGITS]
    return b"headers-%s-%d" % (sha256(head).hexdigest().encode()[:_DIGITS], octets)
