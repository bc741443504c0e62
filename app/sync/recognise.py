"""PURE  Is a candidate one of the messages that the ledger knows?

By its headers, which TOP gives, a suspect is compared with the ledger lines of its own unique-id, and after a
wholesale change with all that are not listed. Whatever is retrieved is compared by its content with those of its
own id, and with all that are not listed: a message that was moved away and back has another id, and is no other.
Each line can be recognised once.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from app.mail.fingerprint import Fingerprint
from app.sync.import_state import other_spellings
from app.sync.models import EntryId, EntryState
from app.sync.plan import Candidate, Known


@dataclass(frozen=True, slots=True)
class SameAs:
    """The candidate is the message of this ledger line."""

    line: Known


@dataclass(frozen=True, slots=True)
class CopyOf:
    """The candidate has exactly the content of a message that is listed beside it under the same unique-id."""

    unique_id: bytes
    occurrence: int
    message_seq: int | None


Verdict = SameAs | CopyOf | None


class Recogniser:
    """Knows which ledger lines are still to be found, and what was stored meanwhile.

    ``own``: the lines of the suspects' ids. ``absent``: lines whose ids are not listed. ``ids_changed``: unique-ids
    changed wholesale, now or before, so that also a message which its headers do not name may be one under a new
    id. Else it may as well be another of the same words.
    """

    def __init__(self, *, own: Iterable[Known], absent: Iterable[Known], ids_changed: bool) -> None:
        self._own: defaultdict[bytes, list[Known]] = defaultdict(list)
        self._by_headers: defaultdict[bytes, list[Known]] = defaultdict(list)
        self._by_content: defaultdict[bytes, list[Known]] = defaultdict(list)
        self._ids_changed = ids_changed
        self._imported: dict[bytes, Known] = {}
        self._contents: dict[tuple[bytes, bytes], CopyOf] = {}
        self.found: set[EntryId] = set()
        own = tuple(own)
        for line in own:
            self._own[line.unique_id].append(line)
        self.add((*absent, *own))  # an id may have been given away, and its message be there under another

    def add(self, lines: Iterable[Known]) -> None:
        """Further lines that a message under another id may be."""
        for line in lines:
            if line.headers is not None:
                self._by_headers[line.headers].append(line)
            if line.content is not None:
                self._by_content[line.content].append(line)
            if line.state is EntryState.BASELINE and line.octets is None:
                self._imported[line.unique_id] = line

    def by_import(self, candidate: Candidate) -> SameAs | None:
        """An id that another client recorded, and wrote down differently."""
        if not self._imported:
            return None
        spellings = other_spellings(candidate.unique_id)
        return self._take(candidate, (self._imported[one] for one in spellings if one in self._imported))

    def by_own_headers(self, candidate: Candidate, headers: bytes | None) -> SameAs | None:
        """Compare a suspect with the lines of its id, by the digest of its headers (None: they decide nothing)."""
        own = self._own.get(candidate.unique_id, ())
        return self._take(candidate, (line for line in own if headers and line.headers == headers))

    def by_headers(self, candidate: Candidate, headers: bytes | None) -> SameAs | None:
        """Compare a suspect with all lines that are still to be found, by the digest of its headers."""
        return self._take(candidate, self._by_headers.get(headers, ())) if headers else None

    def by_size(self, candidate: Candidate) -> SameAs | None:
        """A line that was never looked into (a baseline, an import) is taken at its unique-id and its size.

        Not one that failed: its message is still to be had, and recognising it would lose it.
        """
        own = self._own.get(candidate.unique_id, ())
        return self._take(
            candidate,
            (
                line
                for line in own
                if line.state is not EntryState.FAILED
                and line.headers is None
                and line.content is None
                and (line.octets is None or candidate.octets is None or line.octets == candidate.octets)
            ),
        )

    def failed_before(self, candidate: Candidate) -> Known | None:
        """A line of the candidate's id whose message could not be retrieved yet: this may be it."""
        own = self._own.get(candidate.unique_id, ())
        same = self._take(candidate, (line for line in own if line.state is EntryState.FAILED))
        return same.line if same else None

    def by_content(self, candidate: Candidate, marks: Fingerprint, *, is_shared: bool) -> Verdict:
        """Compare a message that was retrieved. None: it is one of its own.

        ``is_shared``: its id is listed more than once, so that the next one may be a copy of it.
        """
        content = marks.content
        own = [line for line in self._own.get(candidate.unique_id, ()) if line.content == content]
        verdict = self._take(candidate, own) or self._contents.get((candidate.unique_id, content))
        if verdict is None and own:
            return SameAs(own[0])  # found under another id before: there are two, and both are known
        if verdict is None and (marks.headers is not None or self._ids_changed):
            verdict = self._take(candidate, self._by_content.get(content, ()))
        if verdict is None and is_shared:
            self.remember(candidate.unique_id, candidate.occurrence, content, None)
        return verdict

    def remember(self, unique_id: bytes, occurrence: int, content: bytes, message_seq: int | None) -> None:
        """A message is there under this id, listed now: another of the same content is a copy of it."""
        self._contents[unique_id, content] = CopyOf(unique_id, occurrence, message_seq)

    def _take(self, candidate: Candidate, lines: Iterable[Known]) -> SameAs | None:
        for line in lines:
            if line.entry_id not in self.found:
                self.found.add(line.entry_id)
                if line.content is not None:
                    self.remember(candidate.unique_id, line.occurrence, line.content, line.message_seq)
                return SameAs(line)
        return None
