"""From the pieces of a file to messages that are ready to be stored: for a thread."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from app.archives.events import ArchiveRefused, Event, Mark, Passed
from app.ledger.lines import imported_id
from app.mail.fingerprint import Fingerprint, fingerprint
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.messages.intake import Prepared, prepare
from app.messages.letters.contents import BLOCK_OCTETS, Packed, Packer
from app.reading.threads import Steps

_HEAD_OCTETS: Final = 512 * 1024
_CR_LF, _LF = b"\r\n", b"\n"

Body = bytes | IO[bytes]


@dataclass(slots=True)
class Collector:
    """Puts messages together. One larger than ``most_octets`` is left out; ``most_overall``: of all together.

    ``directory``: where large ones wait, in temporary files that may raise OSError; ``passed``: why entries were left
    out, and how many; ``octets``: of what has come so far.
    """

    most_octets: int
    most_overall: int
    directory: Path
    passed: Counter[str] = field(default_factory=Counter)
    octets: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _held: int = 0
    _file: IO[bytes] | None = None

    def take(self, events: Iterable[Event]) -> Iterator[Body | None]:
        """What each event completes: a message, or nothing. Raises ArchiveRefused."""
        for event in events:
            yield self._taken(event)

    def drop(self) -> None:
        """Forget the message that is coming."""
        if self._file is not None:
            self._file.close()
        self._pieces, self._held, self._file = [], 0, None

    def _taken(self, event: Event) -> Body | None:
        if isinstance(event, bytes):
            self._add(event)
        elif isinstance(event, Passed):
            self.passed[event.why] += 1
        elif event is Mark.END:
            if self._held <= self.most_octets:
                return self._whole()
            self.passed["it is larger than a message may be"] += 1
            self.drop()
        elif event is Mark.BROKEN:
            self.passed["it is damaged"] += 1
            self.drop()
        return None

    def _add(self, piece: bytes) -> None:
        self.octets += len(piece)
        self._held += len(piece)
        if self.octets > self.most_overall:
            raise ArchiveRefused(f"what is unpacked of the file has more than {self.most_overall} octets")
        if self._held > self.most_octets:
            self._pieces = []
            return
        self._pieces.append(piece)
        if self._file is None and self._held > BLOCK_OCTETS:
            self._file = TemporaryFile(dir=self.directory)  # noqa: SIM115  closed once it is stored
        if self._file is not None:
            self._file.writelines(self._pieces)
            self._pieces = []

    def _whole(self) -> Body:
        body: Body = b"".join(self._pieces) if self._file is None else self._file
        self._pieces, self._held, self._file = [], 0, None
        return body


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a file. ``marks``: what a mail server would show of it, with CRLF; ``octets``: as that counts."""

    prepared: Prepared
    marks: Fingerprint
    octets: int

    @property
    def contents(self) -> frozenset[bytes]:
        """By what the ledger may know it: as it is, and as a mail server would send it."""
        return frozenset((self.prepared.fingerprint.content, self.marks.content))


def letters_of(bodies: Sequence[Body], indexed: IndexedHeaders) -> Steps[list[Letter]]:
    """Pack and summarise: one message is one step. ``indexed``: header fields that can be searched for."""
    found = []
    for body, packed in zip(bodies, (yield from Packer().packing(bodies)), strict=True):
        prepared = prepare(packed, unique_id=b"", occurrence=1, indexed=indexed)
        marks, octets = _on_the_wire(body, packed, prepared)
        found.append(Letter(replace(prepared, unique_id=imported_id(marks.content)), marks, octets))
        yield
    return found


def close(bodies: Iterable[Body]) -> None:
    """Give temporary files back."""
    for body in bodies:
        if not isinstance(body, bytes):
            body.close()


def _on_the_wire(body: Body, packed: Packed, prepared: Prepared) -> tuple[Fingerprint, int]:
    """As a mail server would send it: with CRLF for the LF of files (RFC 5322 §2.3), and behind the last line too."""
    has_lf = _CR_LF not in packed.head and _LF in packed.head
    if not has_lf and (not packed.octets or _end_of(body).endswith(_CR_LF)):
        return prepared.fingerprint, packed.octets
    digest, octets, end = sha256(), 0, b""
    for block in _blocks(body):
        sent = block.replace(_LF, _CR_LF) if has_lf else block
        digest.update(sent)
        octets, end = octets + len(sent), sent[-2:]
    ending = b"" if end.endswith(_CR_LF) else _CR_LF
    digest.update(ending)
    head = packed.head.replace(_LF, _CR_LF) if has_lf else packed.head
    if len(packed.head) == packed.octets:
        return fingerprint(head + ending, digest.digest()), octets + len(ending)
    return fingerprint(head[:_HEAD_OCTETS], digest.digest()), octets + len(ending)


def _blocks(body: Body) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    body.seek(0)
    while block := body.read(BLOCK_OCTETS):
        yield block


def _end_of(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body[-2:]
    body.seek(-2, 2)
    return body.read()
