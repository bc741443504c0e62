"""How a retrieved message becomes rows: packed and summarised first, stored after, in the caller's transaction."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256 as new_sha256
from typing import IO, Any

import structlog
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.mail.envelope import received_at
from app.mail.fields.identification import thread_begun_by
from app.mail.fingerprint import Fingerprint, fingerprint, head_of, lasting, shown
from app.mail.mime import UNREADABLE, VERSION, Address, Summary, summarise
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId
from app.messages import recent, repository
from app.messages.indexed import header_rows
from app.messages.indexed.indexed_headers import NO_HEADERS, IndexDigest, IndexedHeaders
from app.messages.letters.contents import BLOCK_OCTETS, BlockDamaged, Packed, Packer, unpack
from app.messages.models import MessageSeq
from app.pop3.transaction.sizes import Meter, Size

_CLOCKS_DIFFER = timedelta(days=1)  # what a server's clock may be ahead of ours and still be believed

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message whose costly work is done: what is left is to insert it. ``headers``: those that are indexed."""

    unique_id: bytes
    occurrence: int
    packed: Packed
    summary: Summary
    fingerprint: Fingerprint
    warnings: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    headers_indexed: IndexDigest | None = None

    @property
    def octets(self) -> int:
        """The octets of the message."""
        return self.packed.octets


def prepare(
    packed: Packed, *, unique_id: bytes, occurrence: int, indexed: IndexedHeaders = NO_HEADERS
) -> Prepared:
    """Summarise a message. For a worker thread: no database, no network."""
    summary = summary_of(packed.head)
    marks = fingerprint(packed.head, packed.sha256)
    return Prepared(
        unique_id,
        occurrence,
        packed,
        summary,
        marks,
        summary.warnings,
        headers_of(packed.head, indexed),
        indexed.digest,
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """A stored content as it was read back. ``head``: what TOP would show; ``body``: digest of what is behind it;
    ``block``: the headers themselves."""

    head: Fingerprint
    body: bytes
    size: Size
    block: bytes = b""


def read_back(db: Session, sha256: bytes) -> Copy | None:
    """Read a stored content, block by block; None when it is not what was retrieved."""
    blocks = _blocks(db, sha256)
    first = next(blocks, None)
    if first is None:
        return None
    head = head_of(first)
    digest, body, meter = new_sha256(first), new_sha256(first[len(head) :]), Meter()
    meter.add(first)
    for octets in blocks:
        digest.update(octets)
        body.update(octets)
        meter.add(octets)
    return Copy(shown(head), body.digest(), meter.size, head) if digest.digest() == sha256 else None


def copy_of(db: Session, seq: MessageSeq) -> Copy | None:
    """The stored copy of a message, read back; None when it is not there or damaged."""
    message = repository.get(db, seq, reach=ALL_MAILBOXES)
    return read_back(db, message.raw_sha256) if message is not None else None


def content_under(db: Session, seq: MessageSeq, head: bytes) -> bytes | None:
    """The content digest (``fingerprint``) of a stored message if this were its header block; None: it is not there."""
    message = repository.get(db, seq, reach=ALL_MAILBOXES)
    blocks = _blocks(db, message.raw_sha256) if message is not None else iter(())
    first = next(blocks, None)
    if first is None:
        return None
    digest = new_sha256(lasting(head_of(head)))
    digest.update(first[len(head_of(first)) :])
    for octets in blocks:
        digest.update(octets)
    return digest.digest()


def body_digest(packed: Packed) -> bytes:
    """The digest of what is behind the header block. For a worker thread."""
    behind = len(head_of(packed.head))
    if packed.rest is None:
        return new_sha256(unpack(packed.first)[behind:]).digest()
    digest = new_sha256()
    packed.rest.seek(behind)
    while block := packed.rest.read(BLOCK_OCTETS):
        digest.update(block)
    return digest.digest()


def note_copies(db: Session, seq: MessageSeq) -> None:
    """Say on a message that the server holds it several times under one unique-id."""
    repository.warn(db, seq, "The server holds further copies of this message under its unique-id.")


def store(
    db: Session, mailbox_id: MailboxId, batch: Sequence[Prepared], *, now: datetime, is_quiet: bool = False
) -> list[MessageSeq]:
    """Store a batch and return the place of each in the feed. ``is_quiet``: readers of the feed are not told of them.

    What may take its time, or wait for others, comes before the places are taken, so that others wait for the feed as
    short as can be.
    """
    if not batch:
        return []
    repository.add_contents(db, [_content_row(message.packed) for message in batch])
    for message in batch:
        if message.packed.rest is not None:
            _complete(db, message.packed, message.packed.rest)
    rows = [_message_row(message, mailbox_id, now, is_quiet=is_quiet) for message in batch]
    mailboxes.change(db, mailbox_id, last_message_at=now)  # here, for somebody may just change the mailbox
    octets = sum(message.octets for message in batch)
    first = repository.take_places(db, len(batch), octets=octets)
    places = [MessageSeq(first + offset) for offset in range(len(batch))]
    if is_quiet:
        repository.note_quiet(db, places[-1])
    for seq, row in zip(places, rows, strict=True):
        row["seq"] = seq
    repository.add_messages(db, rows)
    header_rows.add(
        db, [(seq, *each) for seq, message in zip(places, batch, strict=True) for each in message.headers]
    )
    recent.count(db, messages=len(batch), octets=octets, now=now)
    return places


def store_block(db: Session, packed: Packed, number: int, data: bytes) -> None:
    """Store a further block of a large message ahead of the message."""
    repository.add_contents(db, [_content_row(packed)])
    repository.add_block(db, packed.sha256, number, data)


def _complete(db: Session, packed: Packed, body: IO[bytes]) -> None:
    """Store the further blocks of a large message that are not there. Somebody may have removed what was stored ahead,
    and does not from here on."""
    while not repository.hold_content(db, packed.sha256):
        repository.add_contents(db, [_content_row(packed)])
    there, packer = repository.further_blocks(db, packed.sha256), Packer()
    for number in range(1, packed.blocks):
        if number not in there:
            repository.add_block(db, packed.sha256, number, packer.further(body, number))


def summary_of(head: bytes) -> Summary:
    """Store first, parse after: even a mistake of our parser must not keep a message out of the store."""
    try:
        return summarise(head)
    except Exception:
        _log.exception("summary_failed")
        return UNREADABLE


def headers_of(head: bytes, indexed: IndexedHeaders) -> tuple[tuple[str, str], ...]:
    """What is kept of the indexed headers; nothing where a mistake of ours keeps them from being read."""
    try:
        return indexed.values_in(head)
    except Exception:
        _log.exception("headers_not_indexed")
        return ()


def _blocks(db: Session, sha256: bytes) -> Iterator[bytes]:
    """A stored content; what comes of a damaged one is shorter."""
    found = repository.first_block(db, sha256)
    if found is None:
        return
    data, blocks, _octets = found
    with suppress(BlockDamaged):
        yield unpack(data)
        for number in range(1, blocks):
            block = repository.further_block(db, sha256, number)
            if block is None:
                return
            yield unpack(block)


def _content_row(packed: Packed) -> dict[str, Any]:
    return {"sha256": packed.sha256, "octets": packed.octets, "blocks": packed.blocks, "data": packed.first}


def _message_row(
    message: Prepared, mailbox_id: MailboxId, now: datetime, *, is_quiet: bool
) -> dict[str, Any]:
    """All of it but its place."""
    row = columns_of(message.summary, raw_sha256=message.packed.sha256, retrieved_at=now)
    row |= {
        "mailbox_id": mailbox_id,
        "unique_id": message.unique_id,
        "occurrence": message.occurrence,
        "retrieved_at": now,
        "octets": message.packed.octets,
        "raw_sha256": message.packed.sha256,
        "warnings": message.warnings,
        "reader_version": VERSION,
        "headers_indexed": message.headers_indexed,
        "is_quiet": True if is_quiet else None,
    }
    return row


def columns_of(summary: Summary, *, raw_sha256: bytes, retrieved_at: datetime) -> dict[str, Any]:
    """What a message's row holds of its summary, but its warnings. A message without any id is a thread by itself.

    All lists are tuples: an empty one is always the same, so that it is made ready for the database once
    (``PreparedStatement``).
    """
    return {
        "message_id": summary.message_id,
        "subject": summary.subject,
        "from_name": summary.from_.name if summary.from_ else None,
        "from_address": summary.from_.address if summary.from_ else None,
        "authors": _addresses(summary.authors),
        "from_ambiguous": summary.from_ambiguous,
        "to": _addresses(summary.to),
        "cc": _addresses(summary.cc),
        "reply_to": _addresses(summary.reply_to),
        "date": summary.date,
        "has_attachments": summary.has_attachments,
        "snippet": summary.snippet,
        "in_reply_to": summary.in_reply_to,
        "references": summary.references,
        "thread_id": summary.thread or thread_begun_by(raw_sha256),
        "received_at": received_at(summary.received, not_after=retrieved_at + _CLOCKS_DIFFER),
        "bcc": _addresses(summary.bcc),
        "sender": asdict(summary.sender) if summary.sender else None,
        "delivered_to": summary.delivered_to,
        "list_id": summary.list_id,
        "automated": summary.automated,
        "automated_by": summary.automated_by,
        "kind": summary.kinds,
        "bounce": asdict(summary.bounce) if summary.bounce else None,
    }


def _addresses(addresses: Sequence[Address]) -> Sequence[dict[str, str]]:
    return tuple([{"name": address.name, "address": address.address} for address in addresses])
