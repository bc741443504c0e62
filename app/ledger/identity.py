"""PURE  Whether a listed message is the one of a ledger line: the one table that decides it.

What a line keeps of its message is compared with what TOP shows of the listed one, and where that does not decide
with what RETR brings. Senders choose Message-ID, Date and From, and copy whole letters: so these only propose. Servers
choose unique-ids, movers and scanners add header fields that differ from day to day: so a difference there says
nothing. What decides then is sizes that agree, or the octets behind the header block.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.ledger.lines import Known, is_made_up
from app.ledger.models import EntryState
from app.ledger.numbering import PLAIN, Numbering
from app.mail.fingerprint import Fingerprint


class Relation(StrEnum):
    """How a listed message and a ledger line have met.

    ``STEADY``: under the line's unique-id, which is listed once and was never missing since. ``DELETED``: under the
    line's unique-id, which is listed once, after the server was told to delete it. ``RETURNED``: under the line's
    unique-id, which was away or is listed several times. ``REAPPEARED``: under the line's unique-id, which is listed
    once and was away, as most that is listed was. ``NAMELESS``: the server gives no id, or gave none then.
    ``RENAMED``: under another id, where most known ids have vanished. ``REVIEWED``: the same, where a person decides
    and nothing is retrieved. ``MOVED``: under the line's id, in a maildrop
    that was moved to another host. ``NUMBERED``: under the line's message-number, where these were seen to show other
    messages than they did, or may. ``RENUMBERED``: under another message-number, where ids may be numbers, and the
    line's own shows another message now. ``ELSEWHERE``: under another id.
    """

    STEADY = "steady"
    DELETED = "deleted"
    RETURNED = "returned"
    REAPPEARED = "reappeared"
    NAMELESS = "nameless"
    RENAMED = "renamed"
    REVIEWED = "reviewed"
    MOVED = "moved"
    NUMBERED = "numbered"
    RENUMBERED = "renumbered"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What holds for all unique-ids of a listing.

    ``shared``: ids that are listed several times. ``ids_changed``: ids changed wholesale, now or before.
    ``most_returned``: most of what is listed was away. ``is_wholesale``: most known ids have vanished from this
    listing. ``is_in_doubt``: all ids equal the message-numbers, which they may be; ``compares_all``: they were seen to
    show other messages, or the maildrop was moved, and no id is enough.
    ``is_reviewed``: a person decides about a change of ids. ``unproven``: ids made of headers that several messages may
    have, where one of these is not known.
    """

    shared: frozenset[bytes] = frozenset()
    ids_changed: bool = False
    most_returned: bool = False
    is_wholesale: bool = False
    is_in_doubt: bool = False
    compares_all: bool = False
    is_reviewed: bool = False
    unproven: frozenset[bytes] = frozenset()

    def relate(self, unique_id: bytes, line: Known, *, is_steady: bool) -> Relation:
        """How a message that is listed under an id and a ledger line have met. ``is_steady``: of the line's id."""
        if line.unique_id == unique_id:
            if line.is_deleted and unique_id not in self.shared:
                return Relation.DELETED
            if line.is_missing and self.most_returned and unique_id not in self.shared:
                return Relation.REAPPEARED
            if line.is_missing or not is_steady:
                return Relation.RETURNED
            if not self.compares_all:
                return Relation.STEADY
            return Relation.NUMBERED if self.is_in_doubt else Relation.MOVED
        if is_made_up(unique_id) or is_made_up(line.unique_id):
            return Relation.NAMELESS
        if self.is_wholesale:
            return Relation.REVIEWED if self.is_reviewed else Relation.RENAMED
        return Relation.RENUMBERED if self.is_in_doubt and not line.is_missing else Relation.ELSEWHERE


_ENOUGH = 3  # messages that all moved by as many places: of fewer there may be copies

# Where equal Message-ID, Date and From may be the same message although the other header fields differ.
_PROPOSED = {
    Relation.STEADY,
    Relation.DELETED,
    Relation.REAPPEARED,
    Relation.NAMELESS,
    Relation.RENAMED,
    Relation.REVIEWED,
    Relation.MOVED,
    Relation.NUMBERED,
    Relation.RENUMBERED,
}

# Where the header fields have to be those of the same letter, too: an id or a number that was free may be given to what
# a list sends of it, and with retention that would go unread.
BY_FIELDS = {Relation.DELETED, Relation.NUMBERED, Relation.RENUMBERED}

UNDER_ITS_ID = {
    Relation.STEADY,
    Relation.DELETED,
    Relation.RETURNED,
    Relation.REAPPEARED,
    Relation.MOVED,
}

_OWN = {*UNDER_ITS_ID, Relation.NUMBERED}


def fits_size(line: Known, octets: int | None) -> bool:
    """Whether LIST's size speaks for the message of the line's unique-id, or at least not against it.

    That is enough for an id that is listed once and was there last time, or whose message was never looked into.
    """
    return line.octets is None or octets is None or line.octets == octets


def is_known_by_size(line: Known, octets: int | None) -> bool:
    """Whether the message of the line's id needs no look, if the id is listed once and was there last time.

    A size that LIST says for the first time says nothing of a message that something else tells of.
    """
    has_marks = line.headers is not None or line.content is not None
    is_first_size = line.octets is None and octets is not None
    return fits_size(line, octets) and not (is_first_size and has_marks)


def is_unread(line: Known) -> bool:
    """Whether nothing tells who the line's message is, as nobody has looked into it; one that failed has none yet."""
    return line.headers is None and line.content is None and line.state is not EntryState.FAILED


def is_same_by_headers(relation: Relation, line: Known, shown: Fingerprint, octets: int | None) -> bool:
    """Whether headers and LIST's size are enough to know the message again, without retrieving it."""
    is_equal = line.headers is not None and line.headers == shown.headers
    match relation:
        case Relation.STEADY | Relation.MOVED:
            is_same = is_alike(line, shown) and _has_grown_by_headers(line, shown, octets)
            return is_same or (is_equal and line.content is None)
        case Relation.DELETED:  # what goes next must not go unread, and headers and a size may be another's
            return is_equal and line.content is None
        case Relation.RETURNED | Relation.REAPPEARED | Relation.NAMELESS if (
            line.is_missing and line.content is not None and not shown.is_stamped
        ):  # a device sends the same headers each time
            return False
        case Relation.RETURNED | Relation.REAPPEARED | Relation.NUMBERED:
            return is_equal and (line.content is None or _has_grown_by_headers(line, shown, octets))
        case Relation.NAMELESS if not line.is_missing:
            return is_equal and _has_grown_by_headers(line, shown, octets)
        case Relation.RENAMED if line.content is not None:  # a device sends the same headers each time
            return False
        case Relation.NAMELESS | Relation.RENAMED | Relation.REVIEWED:
            return is_equal and octets is not None and line.octets == octets
        case Relation.RENUMBERED | Relation.ELSEWHERE:
            return False


def is_proposed(relation: Relation, line: Known, shown: Fingerprint) -> bool:
    """Whether the octets behind the headers decide: Message-ID, Date and From are those of the line's message.

    Under its own steady id a message that has neither of them is proposed too; under one that was away, alone, it takes
    all headers.
    """
    if relation is Relation.RETURNED and line.content is not None:
        return line.headers is not None and line.headers == shown.headers
    if relation not in _PROPOSED or line.content is None:
        return False
    if relation is Relation.NAMELESS and line.is_missing:  # who knows what was sent since
        return False
    return line.names == shown.names and (shown.names is not None or relation is Relation.STEADY)


def is_same_by_content(
    relation: Relation, line: Known, marks: Fingerprint, *, is_body_same: bool, ids_changed: bool
) -> bool:
    """Whether a message that was retrieved is that of the line.

    ``is_body_same``: the octets behind the headers are those of the stored copy, and where it is decided ``BY_FIELDS``
    it is the same letter.
    ``ids_changed``: unique-ids changed wholesale, now or before, so that also a message which its headers do not name
    may be one under a new id. Else it may as well be another of the same words; but not where the server gave no id,
    for what mbox servers note in the headers changes the ids that we make of them.
    """
    if line.content is not None and line.content == marks.content:
        is_own = relation in {*_OWN, Relation.RENUMBERED} or (
            relation is Relation.NAMELESS and not line.is_deleted
        )
        return is_own or line.was_kept or marks.headers is not None or ids_changed
    return is_body_same and is_proposed(relation, line, marks)


def is_same_by_stamp(relation: Relation, line: Known, marks: Fingerprint, octets: int | None) -> bool:
    """Whether a message that a server stamped (``Received``), and of which no more than a part came, is the line's.

    The part proves nothing, for senders choose what it is; but no other message has these headers.
    """
    is_equal = line.headers is not None and line.headers == marks.headers
    return relation is not Relation.ELSEWHERE and is_equal and _has_grown_by_headers(line, marks, octets)


def is_alike(line: Known, shown: Fingerprint) -> bool:
    """Whether the headers are those of the line's message, as far as movers and scanners leave them."""
    is_equal = line.headers is not None and line.headers == shown.headers
    return is_equal or (line.names is not None and line.names == shown.names)


def numbers_shown(
    lines: Iterable[Known], shown: Mapping[int, Fingerprint], numbering: Numbering = PLAIN
) -> bool:
    """Whether unique-ids that follow from message-numbers are nothing else: a number shows other headers than it had,
    and those that it had stand under a lower number; or all have moved up by as many, where the newest comes first."""
    numbered = [(numbering.number_of(line.unique_id), line) for line in lines if not line.is_missing]
    alike: Counter[bytes | None] = Counter(line.headers for _, line in numbered if line.headers)
    stood = {
        n: line for n, line in numbered if n is not None and alike[line.headers] < 2
    }  # else they say nothing
    if _have_moved_up(stood, shown):
        return True
    lowest: dict[bytes, int] = {}
    for number in sorted(shown, reverse=True):
        lowest |= {digest: number for digest in (shown[number].headers, shown[number].names) if digest}
    for number, line in stood.items():
        if number in shown and not is_alike(line, shown[number]):
            there = (lowest.get(digest, number) for digest in (line.headers, line.names) if digest)
            if min(there, default=number) < number:
                return True
    return False


def _have_moved_up(lines: Mapping[int, Known], shown: Mapping[int, Fingerprint]) -> bool:
    """Whether all messages stand so many places higher than they stood, as far as headers tell and were looked at."""
    stood = {number: line for number, line in lines.items() if line.headers or line.names}
    if not stood:
        return False
    first = min(stood)
    steps = [number - first for number in shown if number > first and is_alike(stood[first], shown[number])]
    for step in steps:
        agree = [is_alike(line, shown[at + step]) for at, line in stood.items() if at + step in shown]
        if all(agree) and len(agree) >= _ENOUGH:
            return True
    return False


def _has_grown_by_headers(line: Known, shown: Fingerprint, octets: int | None) -> bool:
    """Whether LIST's size differs by just what the header block does."""
    if line.octets is None or octets is None:
        return line.headers is not None and line.headers == shown.headers
    if line.head_octets is None or shown.head_octets is None:
        return line.octets == octets
    return octets - line.octets == shown.head_octets - line.head_octets
