"""PURE  What a listing and the ledger say of one message: its line in each."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from hashlib import sha256
from typing import Protocol

from app.ledger.models import EntryId, EntryState
from app.mailboxes.models import MailboxId
from app.messages.wholeness import ASKED_FIRST, Before, Doubt

# Longer unique-ids (RFC 1939 allows 70 octets, servers send more) are kept as their start and their digest:
# a database index has a limit, and the comparison stays exact.
_LONGEST_KEY = 512

# Ids of ours for messages to which the server gives none. No server can give one that begins with a blank (UIDL's
# lines are stripped); those without the blank are of whole maildrops without UIDL.
_IMPORTED = b" imported-"
_MADE_UP = (b" headers-", b" content-", b"headers-", b"content-", _IMPORTED)


@dataclass(frozen=True, slots=True)
class MaildropId:
    """Which maildrop of a mailbox: another account behind it is another generation."""

    mailbox_id: MailboxId
    generation: int


class Listed(Protocol):
    """One line of a listing: UIDL joined with LIST."""

    @property
    def number(self) -> int: ...
    @property
    def unique_id(self) -> bytes: ...
    @property
    def octets(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """One line of the ledger, as far as the diff needs it."""

    entry_id: EntryId
    unique_id: bytes
    occurrence: int
    state: EntryState
    octets: int | None = None
    is_missing: bool = False
    attempts: int = 0
    next_attempt_at: datetime | None = None
    is_wanted: bool = False
    headers: bytes | None = None
    content: bytes | None = None
    message_seq: int | None = None
    is_whole: bool | None = None
    doubt: str | None = None
    doubtful: bytes | None = None
    names: bytes | None = None
    head_octets: int | None = None
    deletes: int = 0
    body: bytes | None = None

    @property
    def is_nameless(self) -> bool:
        """A version wrote it that did not note who its message is; the stored copy tells."""
        return self.head_octets is None and self.content is not None and self.message_seq is not None

    @property
    def is_deleted(self) -> bool:
        """It is gone because we deleted it."""
        return self.is_missing and self.deletes > 0

    @property
    def was_kept(self) -> bool:
        """It was listed again after a deletion, and then asked for again: who is gone then may be under another id."""
        return self.is_missing and self.deletes > 1


@dataclass(frozen=True, slots=True)
class Deletable:
    """A ledger line whose message is stored and was there at the last listing.

    ``must_agree``: the copy is shorter than a server said that overstates most of its sizes. It goes if the message
    comes out the same a day later. ``body``: the digest of what is behind the headers of the stored copy, once that was
    read back.
    """

    line: Known
    first_seen_at: datetime
    raw_sha256: bytes
    octets: int
    must_agree: bool = False
    body: bytes = b""


class Turn(Enum):
    """When a message is asked for. Alone is what may taint what stands beside it, or was tainted."""

    FIRST = auto()  # and alone: nothing behind its end mark confirmed it
    WITH_OTHERS = auto()
    LAST = auto()  # and alone: a session ended within it, or it was cut short


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed message that is not simply known.

    ``entry``: the ledger line that waits for it (failed or filtered before, and due again). ``occurrence``: the
    one it will have if it proves to be a message of its own.
    """

    number: int
    unique_id: bytes
    occurrence: int
    octets: int | None
    entry: Known | None = None

    @property
    def attempts(self) -> int:
        """How often it was tried before."""
        return self.entry.attempts if self.entry else 0

    @property
    def before(self) -> Before:
        """What came of it the last time, when that was in doubt."""
        return Before(self.entry.doubt, self.entry.attempts, self.entry.doubtful) if self.entry else Before()

    @property
    def turn(self) -> Turn:
        """When it is asked for."""
        doubt = self.before.doubt
        if doubt in ASKED_FIRST:
            return Turn.FIRST
        return Turn.LAST if doubt in {Doubt.ENDED, Doubt.SHORT} else Turn.WITH_OTHERS

    @property
    def is_forced(self) -> bool:
        """Somebody asked for this very message: no limit and no criteria stand against it."""
        return self.entry is not None and self.entry.is_wanted


def is_waiting(line: Known) -> bool:
    """Whether a message that failed is there and waits for a next attempt."""
    return line.state is EntryState.FAILED and line.next_attempt_at is not None and not line.is_missing


def ledger_key(unique_id: bytes) -> bytes:
    """The unique-id as the ledger keeps it: itself, or for a very long one its start and its sha256."""
    if len(unique_id) <= _LONGEST_KEY:
        return unique_id
    return unique_id[: _LONGEST_KEY - 32] + sha256(unique_id).digest()


def imported_id(content: bytes) -> bytes:
    """The id of ours for a message that came from a file, by its content digest."""
    return _IMPORTED + content.hex().encode()


def is_made_up(unique_id: bytes) -> bool:
    """Whether an id is one of ours, because the server gave none."""
    return unique_id.startswith(_MADE_UP)


def is_tellable(unique_id: bytes) -> bool:
    """Whether UIDL of one message can tell an id: it is the server's, and one word."""
    return len(unique_id.split()) == 1 and not is_made_up(unique_id)
