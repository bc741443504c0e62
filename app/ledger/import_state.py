"""PURE  What another client already knows: its state file -> unique-ids, so that nothing is retrieved again.

Written against the files that getmail6 6.20, fetchmail 6.4 and mpop 1.4 left behind after a session, and against what
Thunderbird's sources read and write. Some of them change ids that RFC 1939 §7 forbids: see ``as_recorded``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from itertools import islice
from typing import NamedTuple

MAX_OCTETS = 64 * 1024 * 1024
_MAX_WARNINGS = 100
_EXCERPT = 60
_LOOKED_AT = 64 * 1024  # octets from which the format is found out


class StateFormat(StrEnum):
    """Whose file it is."""

    GETMAIL = "getmail"
    FETCHMAIL = "fetchmail"
    MPOP = "mpop"
    THUNDERBIRD = "thunderbird"


class ImportedId(NamedTuple):
    """A unique-id that a client has retrieved. ``host`` and ``username``: None when the file does not name them."""

    host: str | None
    username: str | None
    unique_id: bytes


@dataclass(frozen=True, slots=True)
class ImportedState:
    """What a file holds, each id of an account once, in the file's order. ``warnings``: lines that were left out."""

    file_format: StateFormat
    entries: tuple[ImportedId, ...]
    warnings: tuple[str, ...]

    @property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        """Host and user name of every account that the file names."""
        named = ((one.host, one.username) for one in self.entries)
        return tuple(
            dict.fromkeys((host, user) for host, user in named if host is not None and user is not None)
        )


class StateRefused(Exception):
    """The file cannot be read at all; the text says why."""


def read_state(data: bytes, *, file_format: StateFormat | None = None) -> ImportedState:
    """Read a file; its format is found out when it is not named. A bad line is a warning. Raises StateRefused."""
    reading = open_state(data, file_format=file_format)
    entries = tuple(dict.fromkeys(reading))
    return ImportedState(reading.file_format, entries, reading.warnings)


class StateReading:
    """A file that is read entry by entry, once: of a large one there are millions. ``warnings``: those so far."""

    def __init__(self, file_format: StateFormat, data: bytes) -> None:
        self.file_format = file_format
        self._notes = _Notes()
        self._entries = _READERS[file_format](_lines(data), self._notes)

    def __iter__(self) -> Iterator[ImportedId]:
        return self._entries

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines that were left out."""
        return self._notes.warnings()


def open_state(data: bytes, *, file_format: StateFormat | None = None) -> StateReading:
    """The same to be read entry by entry; one may come twice."""
    if len(data) > MAX_OCTETS:
        raise StateRefused(f"the file is larger than {MAX_OCTETS // 1024**2} MiB")
    known = file_format or detect(data)
    if known is None:
        raise StateRefused(f"not a state file of {', '.join(StateFormat)}, or one that knows nothing yet")
    return StateReading(known, data)


def detect(data: bytes) -> StateFormat | None:
    """Whose file it looks like, from its first lines; None when it is nobody's or empty."""
    start = [line for _, line in islice(_lines(data[:_LOOKED_AT]), 100)]
    for known, sign in _SIGNS:
        if any(sign.match(line) for line in start[:10]):
            return known
    for known, form in ((StateFormat.GETMAIL, _GETMAIL), (StateFormat.FETCHMAIL, _FETCHMAIL)):
        # Most lines, not one: there is an address in many a text.
        if 2 * sum(form.fullmatch(line) is not None for line in start) > len(start):
            return known
    return None


def select(state: ImportedState, *, host: str, username: str) -> tuple[bytes, ...]:
    """The unique-ids of one mailbox, each once: those of its account, and those of which no account is told."""
    fits = (one.unique_id for one in state.entries if belongs(one, host=host, username=username))
    return tuple(dict.fromkeys(fits))


def belongs(one: ImportedId, *, host: str, username: str) -> bool:
    """Whether it may be of this account. Hosts are compared whatever the case and a final dot, user names exactly."""
    is_host = one.host is None or _plain_host(one.host) == _plain_host(host)
    return is_host and one.username in {None, username}


def as_recorded(file_format: StateFormat, unique_id: bytes) -> bytes:
    """How a client writes down what a server calls ``unique_id``: what to look for among its entries.

    getmail6 puts ``-`` for ``/`` (its files of earlier versions had a meaning for it), and some servers give base64;
    fetchmail and Thunderbird end an id at its first blank. mpop writes what it is given.
    """
    match file_format:
        case StateFormat.GETMAIL:
            return unique_id.replace(b"/", b"-").strip()
        case StateFormat.FETCHMAIL | StateFormat.THUNDERBIRD:
            return unique_id.split(None, 1)[0] if unique_id.strip() else unique_id
        case StateFormat.MPOP:
            return unique_id


def other_spellings(unique_id: bytes) -> frozenset[bytes]:
    """How clients may have written down this id, where it is not as the server gives it."""
    return frozenset(as_recorded(known, unique_id) for known in StateFormat) - {unique_id}


class _Notes:
    """Warnings by line, the first hundred in words."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, number: int, said: str, line: bytes | None = None) -> None:
        self._count += 1
        if len(self._first) < _MAX_WARNINGS:
            excerpt = "" if line is None else ": " + ascii(line[:_EXCERPT])[1:]
            self._first.append(f"line {number}: {said}{excerpt}")

    def warnings(self) -> tuple[str, ...]:
        more = self._count - len(self._first)
        return (*self._first, *([f"and {more} more lines like these"] if more else []))


Lines = Iterable[tuple[int, bytes]]


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, without its end: LF, or CRLF from Windows."""
    for number, line in enumerate(
        BytesIO(data), 1
    ):  # by and by: the lines weigh many times what the octets do
        if line := line.removesuffix(b"\n").removesuffix(b"\r"):
            yield number, line


# ``id NUL seconds``. The account stands in the name of the file only.
_GETMAIL = re.compile(rb"([^\0]+)\0(-?[0-9]{1,20})\s*")


def _read_getmail(lines: Lines, notes: _Notes) -> Iterator[ImportedId]:
    for number, line in lines:
        match = _GETMAIL.fullmatch(line)
        if match and (unique_id := match[1].strip()):
            yield ImportedId(None, None, unique_id)
        else:
            notes.add(number, "not an id and a time", line)


# ``user@host id``, where the user may hold blanks and @ ("ann lee@example.org@pop.example.org 17"): the account ends
# at the first blank behind the first @, its host begins behind the last @ before that.
_FETCHMAIL = re.compile(rb"([^@]*@[^ \t\0]*)[ \t]+([^ \t\0][^\0]*)")


def _read_fetchmail(lines: Lines, notes: _Notes) -> Iterator[ImportedId]:
    for number, line in lines:
        match = _FETCHMAIL.fullmatch(line)
        username, _, host = match[1].rpartition(b"@") if match else (b"", b"", b"")
        if match and username and host:
            yield ImportedId(_text(host), _text(username), match[2].rstrip(b" \t"))
        else:
            notes.add(number, "not user@host and an id", line)


# `` count host user``, then that many ids, which may hold anything: also begin with #, as a comment does above.
_MPOP_LIST = re.compile(rb" ([0-9]{1,10}) ([^ \0]+) ([^\0]+)")


def _read_mpop(lines: Lines, notes: _Notes) -> Iterator[ImportedId]:
    account: tuple[str, str] | None = None
    left = number = 0
    for number, line in lines:
        if match := _MPOP_LIST.fullmatch(line):
            if left:
                notes.add(number, f"the list before has {left} ids fewer than it says")
            left, account = int(match[1]), (_text(match[2]), _text(match[3]))
        elif account and left and not line.startswith((b" ", b"\t")) and b"\0" not in line:
            left -= 1
            yield ImportedId(*account, line.rstrip(b" \t"))
        elif not line.startswith(b"#"):
            notes.add(number, "not an id of a list", line)
    if left:
        notes.add(number, f"the file ends {left} ids before its last list does")


# ``*host user``, then ``flag id seconds``. k: keep on the server, d: delete from it, b: too big, so that only its start
# is here, f: the body is still to be fetched. Old versions wrote no time; some write "undefined" for a message that was
# announced when the connection was lost. It cuts ids at their first blank: what follows the id is never a part of it.
_NEVER_FETCHED = b"undefined"


def _read_thunderbird(lines: Lines, notes: _Notes) -> Iterator[ImportedId]:
    account: tuple[str, str] | None = None
    partial = unfetched = number = 0
    for number, line in lines:
        words = line.split(None, 2)
        if line.startswith(b"*"):
            host, _, username = line[1:].strip().partition(b" ")
            account = (_text(host), _text(username.strip())) if host and username else None
            if account is None:
                notes.add(number, "not a host and a user; its ids are left out", line)
        elif account and len(words) > 1 and words[0] in {b"k", b"d", b"f", b"b"} and b"\0" not in line:
            if words[0] == b"f" or words[2:] == [_NEVER_FETCHED]:
                unfetched += 1
                continue
            partial += words[0] == b"b"
            yield ImportedId(*account, words[1])
        elif not line.startswith(b"#"):
            notes.add(number, "not a flag and an id of an account", line)
    if partial:
        notes.add(number, f"of {partial} messages Thunderbird has only the start; they count as known")
    if unfetched:
        notes.add(number, f"{unfetched} messages that Thunderbird has still to fetch do not count as known")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")


def _plain_host(host: str) -> str:
    return host.rstrip(".").casefold()


_READERS: dict[StateFormat, Callable[[Lines, _Notes], Iterator[ImportedId]]] = {
    StateFormat.GETMAIL: _read_getmail,
    StateFormat.FETCHMAIL: _read_fetchmail,
    StateFormat.MPOP: _read_mpop,
    StateFormat.THUNDERBIRD: _read_thunderbird,
}

_SIGNS = (
    (StateFormat.MPOP, re.compile(rb"# This file was generated by mpop| [0-9]{1,10} [^ \0]+ [^\0]+\Z")),
    (StateFormat.THUNDERBIRD, re.compile(rb"# POP3 State File|\*[^ \0]+ [^\0]+\Z")),
)
