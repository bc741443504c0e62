"""PURE  Finds the ledger line that the message of a candidate belongs to.

It knows which lines a candidate may be, in which order, and gives each of them away once; whether the candidate is one
of them, ``identity`` decides. By its
headers, which TOP gives, a suspect is compared with the lines of its own unique-id; where the server gives no id, and
after a wholesale change, also with those that are not listed. Whatever is retrieved is compared by its content with
those of its own id, and with all that are not listed: a message that was moved away and back has another id, and is
no other.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from app.ledger.identity import (
    BY_FIELDS,
    UNDER_ITS_ID,
    Circumstances,
    Relation,
    fits_size,
    is_proposed,
    is_same_by_content,
    is_same_by_headers,
    is_same_by_stamp,
    is_unread,
)
from app.ledger.import_state import other_spellings
from app.ledger.lines import Candidate, Known, is_made_up
from app.ledger.models import EntryId, EntryState
from app.mail.fingerprint import Fingerprint

_MOST_COMPARED = 64  # lines that are alike

_Index = defaultdict[Hashable, deque[Known]]


@dataclass(frozen=True, slots=True)
class SameAs:
    """The candidate is the message of this ledger line. ``marks``: what it looks like by now, as far as was looked."""

    line: Known
    marks: Fingerprint | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CopyOf:
    """The candidate has exactly the content of a message that is listed beside it under the same unique-id."""

    unique_id: bytes
    occurrence: int
    message_seq: int | None


Verdict = SameAs | CopyOf | None


class Matcher:
    """Knows which ledger lines are still to be found, and what was stored meanwhile.

    ``own``: the lines of the suspects' ids. ``absent``: lines whose ids are not listed.
    """

    def __init__(
        self,
        *,
        own: Iterable[Known],
        absent: Iterable[Known],
        circumstances: Circumstances,
    ) -> None:
        self._circumstances = circumstances
        self._by_headers: _Index = defaultdict(deque)
        self._by_names: _Index = defaultdict(deque)
        self._by_content: _Index = defaultdict(deque)
        self._own_by_headers: _Index = defaultdict(deque)
        self._own_by_content: _Index = defaultdict(deque)
        self._never_looked_into: _Index = defaultdict(deque)
        self._failed: _Index = defaultdict(deque)
        self._present: defaultdict[bytes, list[Known]] = defaultdict(list)
        self._unread_by_size: _Index = defaultdict(deque)
        self._imported: dict[bytes, Known] = {}
        self._contents: dict[tuple[bytes, bytes], CopyOf] = {}
        self._expected: Counter[bytes] = Counter()
        self._alike: Counter[bytes | None] = Counter()
        self.found: set[EntryId] = set()
        own = tuple(own)
        for line in own:
            self._add_own(line)
            if circumstances.compares_all:
                self._alike.update((line.headers, line.names))
        self.add((*absent, *own))  # an id may have been given away, and its message be there under another

    def add(self, lines: Iterable[Known]) -> None:
        """Further lines that a message under another id may be."""
        for line in lines:
            if line.headers is not None:
                self._by_headers[line.headers].append(line)
            if line.names is not None:
                self._by_names[line.names].append(line)
            if line.content is not None:
                self._by_content[line.content].append(line)
            if line.state is EntryState.BASELINE and line.octets is None:
                self._imported[line.unique_id] = line
            if is_unread(line) and line.octets is not None and not line.is_missing:
                self._unread_by_size[line.octets].append(line)

    def _add_own(self, line: Known) -> None:
        if line.headers is not None:
            self._own_by_headers[line.unique_id, line.headers].append(line)
        if line.content is not None:
            self._own_by_content[line.unique_id, line.content].append(line)
        if line.state is EntryState.FAILED:
            self._failed[line.unique_id].append(line)
        elif is_unread(line):
            self._never_looked_into[line.unique_id].append(line)
        if not line.is_missing and line.state is not EntryState.FAILED:  # that one never had a message
            self._present[line.unique_id].append(line)

    def expect(self, shown: Iterable[Fingerprint]) -> None:
        """What TOP shows of listed messages: a line whose headers are among it is there, and is no other message."""
        self._expected.update(digest for one in shown for digest in (one.headers, one.names) if digest)

    def take_by_import(self, candidate: Candidate) -> SameAs | None:
        """Take the line of an id that another client recorded in another spelling."""
        if not self._imported:
            return None
        spellings = other_spellings(candidate.unique_id)
        return self._take(candidate, (self._imported[one] for one in spellings if one in self._imported))

    def take_by_own_headers(self, candidate: Candidate, shown: Fingerprint) -> SameAs | None:
        """Take a line of the suspect's id, by what TOP shows."""
        unique_id = candidate.unique_id
        lines = [*self._steady(unique_id), *self._left(self._own_by_headers, (unique_id, shown.headers))]
        return self._take(candidate, self._same_by_headers(candidate, lines, shown), shown)

    def take_by_headers(self, candidate: Candidate, shown: Fingerprint) -> SameAs | None:
        """Take any line that is still to be found, by what TOP shows."""
        lines = [*self._left(self._by_headers, shown.headers), *self._left(self._by_names, shown.names)]
        return self._take(candidate, self._same_by_headers(candidate, lines, shown), shown)

    def proposed(self, candidate: Candidate, shown: Fingerprint) -> list[Known]:
        """Lines whose message it is if, once it is retrieved, the octets behind the headers agree too."""
        lines = (*self._steady(candidate.unique_id), *self._left(self._by_names, shown.names))
        return [
            line
            for line in lines
            if line.entry_id not in self.found
            and is_proposed(relation := self._relation(candidate, line), line, shown)
            and (
                relation in UNDER_ITS_ID
                or line.headers == shown.headers
                or line.headers not in self._expected
            )
        ]

    def is_by_fields(self, candidate: Candidate, line: Known) -> bool:
        """Whether also the header fields have to be those of the line's letter."""
        return self._relation(candidate, line) in BY_FIELDS

    def rewritten(self, candidate: Candidate, shown: Fingerprint) -> Known | None:
        """The line of its id whose message it is, by what TOP shows, under a header block that was written anew."""
        if shown.head_octets is None:
            return None
        lines = [
            one for one in self._steady(candidate.unique_id) if one.content and one.headers != shown.headers
        ]
        return next(self._same_by_headers(candidate, lines, shown), None)

    def is_told_by_octets_alone(self, candidate: Candidate, shown: Fingerprint) -> bool:
        """Whether its headers are those of lines of its id, and may be those of several."""
        lines = self._left(self._own_by_headers, (candidate.unique_id, shown.headers))
        return any(self._tell_nothing(self._relation(candidate, one), candidate, one, shown) for one in lines)

    def may_have_come_out_of_step(self, candidate: Candidate) -> bool:
        """Whether the stored copy of its line may be that of another message (``compare_again``), of the same headers
        perhaps. So octets decide; and what was compared so is settled, however soon the session ends."""
        lines = () if self._circumstances.compares_all else self._present.get(candidate.unique_id, ())
        return any(line.octets is None and line.content is not None for line in lines)

    def has_headers_of(self, candidate: Candidate) -> bool:
        """Whether a line of its id says what the headers were."""
        return any(line.headers is not None for line in self._steady(candidate.unique_id))

    def is_steady_and_nameless(self, candidate: Candidate) -> bool:
        """Whether it may be known under its id, and nobody has read yet who the known message is."""
        return any(line.is_nameless for line in self._steady(candidate.unique_id))

    def take_by_size(self, candidate: Candidate) -> SameAs | None:
        """Take a line whose message was never looked into (a baseline, an import), by unique-id and size.

        A line that failed is not taken: its message was never stored, and recognising it would lose it.
        """
        lines = self._left(self._never_looked_into, candidate.unique_id)
        return self._take(candidate, (one for one in lines if fits_size(one, candidate.octets)))

    def is_baseline(self, candidate: Candidate) -> bool:
        """Whether its id stood for a message from the start that nobody has looked into."""
        return bool(self._baseline(candidate))

    def take_as_old(
        self, candidate: Candidate, shown: Fingerprint, *, gone: Collection[EntryId] = ()
    ) -> SameAs | None:
        """Take the line of the baseline under its id, for the server took the message before it showed that line; or
        one of its size among those that are ``gone``."""
        others = self._left(self._unread_by_size, candidate.octets) if gone else ()
        lines = [*self._baseline(candidate), *(line for line in others if line.entry_id in gone)]
        return self._take(candidate, lines, shown)

    def _baseline(self, candidate: Candidate) -> list[Known]:
        if self._circumstances.compares_all or self._circumstances.is_in_doubt:
            return []
        lines = self._steady(candidate.unique_id)
        return [line for line in lines if line.state is EntryState.BASELINE and is_unread(line)]

    def take_by_size_alone(self, candidate: Candidate) -> SameAs | None:
        """Take a line whose message was there last time and was never looked into, where the server gives no id now."""
        if not is_made_up(candidate.unique_id) or candidate.octets is None:
            return None
        return self._take(candidate, self._left(self._unread_by_size, candidate.octets))

    def take_failed_before(self, candidate: Candidate) -> Known | None:
        """Take a line of the candidate's id whose message could not be retrieved yet."""
        same = self._take(candidate, self._left(self._failed, candidate.unique_id))
        return same.line if same else None

    def take_by_content(
        self,
        candidate: Candidate,
        marks: Fingerprint,
        *,
        is_shared: bool,
        same_body: frozenset[EntryId] = frozenset(),
        is_stamped_part: bool = False,
    ) -> Verdict:
        """Take a line by the content of a retrieved message. None: it is a message of its own.

        ``is_shared``: its id is listed more than once, so that the next one may be a copy of it. ``same_body``: lines
        whose stored copies have the same octets behind the headers. ``is_stamped_part``: no more of it is to be had
        than may be a part, and a server stamped it.
        """
        content = marks.content
        own = self._own_by_content.get((candidate.unique_id, content), ())
        alike = self._same_by_content(candidate, self._left(self._by_content, content), marks, same_body)
        verdict: Verdict = self._take(candidate, (*islice(own, _MOST_COMPARED), *alike), marks)
        if verdict is None:  # each known line once, and what is left over is a copy
            verdict = self._contents.get((candidate.unique_id, content))
        if verdict is None and own:
            return SameAs(own[0], marks)  # found under another id before: there are two, and both are known
        if verdict is None:
            proposed = self.proposed(candidate, marks)
            verdict = self._take(
                candidate, self._same_by_content(candidate, proposed, marks, same_body), marks
            )
        if verdict is None and is_stamped_part:
            lines = self._left(self._by_headers, marks.headers)
            verdict = self._take(candidate, self._same_by_stamp(candidate, lines, marks))
        if verdict is None and is_shared:
            self.remember(candidate.unique_id, candidate.occurrence, content, None)
        return verdict

    def take_by_doubtful_content(
        self, candidate: Candidate, marks: Fingerprint, *, same_body: frozenset[EntryId], is_astray: bool
    ) -> SameAs | None:
        """Take a line by the content of a message that may not be whole: one of its own id, else one that its headers
        name, as what is left of two messages may be the same nothing. ``is_astray``: it may be the content of another
        listed message, so that it tells of its own id alone."""
        lines = list(self._left(self._own_by_content, (candidate.unique_id, marks.content)))
        if not is_astray:
            lines += self._left(self._by_content, marks.content) if marks.names is not None else ()
            lines += self.proposed(candidate, marks)
        return self._take(candidate, self._same_by_content(candidate, lines, marks, same_body), marks)

    def remember(self, unique_id: bytes, occurrence: int, content: bytes, message_seq: int | None) -> None:
        """Note a message that is listed under this id: another one with the same content is a copy of it."""
        self._contents[unique_id, content] = CopyOf(unique_id, occurrence, message_seq)

    def _same_by_headers(
        self, candidate: Candidate, lines: Iterable[Known], shown: Fingerprint
    ) -> Iterator[Known]:
        for line in lines:
            relation = self._relation(candidate, line)
            tells_nothing = line.content is not None and self._tell_nothing(relation, candidate, line, shown)
            if not tells_nothing and is_same_by_headers(relation, line, shown, candidate.octets):
                yield line

    def _tell_nothing(
        self, relation: Relation, candidate: Candidate, line: Known, shown: Fingerprint
    ) -> bool:
        """Whether its headers may be those of several, while its id does not tell which it is. A device may send the
        same each time; a server's stamp makes them those of one message."""
        digest = shown.headers if line.headers == shown.headers else shown.names
        is_of_several = digest is not None and max(self._alike[digest], self._expected[digest]) > 1
        if relation is Relation.NUMBERED or candidate.unique_id in self._circumstances.unproven:
            return is_of_several or not shown.is_stamped
        return relation is Relation.MOVED and is_of_several

    def _same_by_content(
        self, candidate: Candidate, lines: Iterable[Known], marks: Fingerprint, same_body: frozenset[EntryId]
    ) -> Iterator[Known]:
        for line in lines:
            if is_same_by_content(
                self._relation(candidate, line), line, marks,
                is_body_same=line.entry_id in same_body, ids_changed=self._circumstances.ids_changed,
            ):  # fmt: skip
                yield line

    def _same_by_stamp(
        self, candidate: Candidate, lines: Iterable[Known], marks: Fingerprint
    ) -> Iterator[Known]:
        for line in lines:
            if is_same_by_stamp(self._relation(candidate, line), line, marks, candidate.octets):
                yield line

    def _relation(self, candidate: Candidate, line: Known) -> Relation:
        is_steady = bool(self._steady(line.unique_id))
        return self._circumstances.relate(candidate.unique_id, line, is_steady=is_steady)

    def _steady(self, unique_id: bytes) -> list[Known]:
        """The line of an id that is listed once and was never missing since; at most one."""
        present = self._present.get(unique_id, [])
        return present if len(present) == 1 and unique_id not in self._circumstances.shared else []

    def _left(self, index: "_Index", key: Hashable) -> Iterable[Known]:
        """Lines under a key that may still be to be found, a bounded number of them: senders can make many alike."""
        lines = index.get(key)
        while lines and lines[0].entry_id in self.found:
            lines.popleft()
        return tuple(islice(lines, _MOST_COMPARED)) if lines else ()

    def _take(
        self, candidate: Candidate, lines: Iterable[Known], marks: Fingerprint | None = None
    ) -> SameAs | None:
        for line in lines:
            if line.entry_id not in self.found:
                self.found.add(line.entry_id)
                if (content := marks.content if marks and marks.content else line.content) is not None:
                    self.remember(candidate.unique_id, line.occurrence, content, line.message_seq)
                return SameAs(line, marks)
        return None
