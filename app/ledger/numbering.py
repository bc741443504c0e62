"""PURE  Unique-ids that may be nothing but message-numbers: as they are, from 0, with zeros or marks around them.

Such ids has a young maildrop whose ids are counted, and a server that has none.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from app.pop3 import RawListing, Sliced, line_slices

_MARKS = rb"[^\w\s]{0,16}"  # no letters: what names something is more than a number
_LINE = re.compile(rb"([0-9]{1,10})[ \t]+(%b)([0-9]{1,20})(%b)[ \t]*\r?\n" % (_MARKS, _MARKS))
_ARE_NUMBERS = re.compile(rb"(?:([0-9]{1,10})[ \t]+\1[ \t]*\r?\n)++")
_READABLE = re.compile(rb"^[0-9][^\n]*\n", re.MULTILINE)
_UNREADABLE = re.compile(rb"^[^0-9\n][^\n]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Numbering:
    """How unique-ids follow from message-numbers: a number of at least so many digits, less one where it is
    ``from_zero``, with the same octets before it and after it.
    """

    before: bytes = b""
    after: bytes = b""
    width: int = 0
    from_zero: bool = False

    @classmethod
    def of_line(cls, line: bytes) -> Self | None:
        """By which the id in a line of UIDL would follow from its number."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        number, before, digits, after = found.groups()
        less = int(number) - int(digits)
        if less not in {0, 1}:
            return None
        return cls(before, after, len(digits) if digits.startswith(b"0") else 0, from_zero=less == 1)

    def id_of(self, number: int) -> bytes:
        """The id of a message-number."""
        return b"%b%0*d%b" % (self.before, self.width, number - self.from_zero, self.after)

    def number_of(self, unique_id: bytes) -> int | None:
        """The message-number of which an id is made; None: it is not."""
        digits = unique_id[len(self.before) : len(unique_id) - len(self.after)]
        if not digits.isdigit() or len(digits) > 20:
            return None
        number = int(digits) + self.from_zero
        return number if self.id_of(number) == unique_id else None


PLAIN: Final = Numbering()


def numbering(raw: RawListing) -> Sliced[Numbering | None]:
    """How each unique-id follows from its message's number; None: they do not.

    Lines that cannot be read say nothing.
    """
    last = bytes(raw.uidl[raw.uidl.rfind(b"\n", 0, -1) + 1 :])
    if Numbering.of_line(last) is None and not _UNREADABLE.fullmatch(last):
        return None  # the usual answer, without a look at the whole
    made: Numbering | None = None
    for lines in line_slices(raw.uidl):
        if made is None and (first := _READABLE.search(lines)) is not None:
            made = Numbering.of_line(first[0])
            if made is None:
                return None
        readable = lines if _are_made(lines, made) else _UNREADABLE.sub(b"", lines)
        if not _are_made(readable, made):
            return None
        yield
    return made


def _are_made(lines: bytes, made: Numbering | None) -> bool:
    """Whether all ids follow from their numbers so."""
    if not lines or made is None:
        return not lines
    if made == PLAIN:
        return _ARE_NUMBERS.fullmatch(lines) is not None
    words = lines.split()
    if len(words) != 2 * lines.count(b"\n") or not all(map(bytes.isdigit, words[0::2])):
        return False
    return all(made.id_of(int(number)) == one for number, one in zip(words[0::2], words[1::2], strict=True))
