"""PURE  Is a suspect one of the messages that the ledger knows?

A suspect is compared first by its headers, which TOP gives, with the ledger lines it could be: those of its own
unique-id, and after a wholesale change all that are not listed. Each line can be recognised once. A suspect whose
headers decide nothing is retrieved and compared by its content.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
    """Knows which ledger lines are still to be found, and what was stored meanwhile."""

    def __init__(self, *, own: Iterable[Known], absent: Iterable[Known]) -> None:
        self._own: dict[bytes, list[Known]] = {}
        for line in own:
            self._own.setdefault(line.unique_id, []).append(line)
        lines = tuple(absent)
        self._absent_by_headers = _index(lines, "headers")
        self._absent_by_content = _index(lines, "content")
        self._contents: dict[tuple[bytes, bytes], CopyOf] = {}
        self.found: set[EntryId] = set()

    def by_headers(self, candidate: Candidate, headers: bytes | None) -> SameAs | None:
        """Compare a suspect by the digest of its headers (None: they decide nothing)."""
        if headers is None:
            return None
        own = self._own.get(candidate.unique_id)
        if own is None:
            return self._take(candidate, self._absent_by_headers.get(headers, ()))
        return self._take(candidate, (line for line in own if line.headers == headers))

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

    def by_content(self, candidate: Candidate, content: bytes, *, is_shared: bool) -> Verdict:
        """Compare a message that was retrieved. None: it is one of its own.

        ``is_shared``: its id is listed more than once, so that the next one may be a copy of it.
        """
        own = self._own.get(candidate.unique_id)
        if own is None:
            same = self._take(candidate, self._absent_by_content.get(content, ()))
        else:
            same = self._take(candidate, (line for line in own if line.content == content))
        verdict = same or self._contents.get((candidate.unique_id, content))
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


def _index(lines: Iterable[Known], name: str) -> dict[bytes, list[Known]]:
    index: dict[bytes, list[Known]] = {}
    for line in lines:
        digest: bytes | None = getattr(line, name)
        if digest is not None:
            index.setdefault(digest, []).append(line)
    return index
