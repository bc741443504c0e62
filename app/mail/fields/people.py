"""PURE  Who is named in an address header (RFC 5322 §3.4), as mail programs show it.

A value is split into persons at commas and semicolons that stand outside quoted strings, comments and angle brackets.
Of a person, what stands in ``<…@…>`` is the address and what stands before it the name; without brackets the word with
an ``@`` is the address. What holds no ``@`` is no person of its own when one follows: ``Doe, John <john@example.org>``.
Encoded words are read when all of that is known. One pass from left to right; nothing is gone back over, and it
ends where a field holds more marks than people can need.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import groupby

from app.mail import defects
from app.mail.fields.comments import end_of_comment, without_comments
from app.mail.fields.comparison import looks_like_another
from app.mail.fields.words import Masked, decoded, masked, plain, unmasked
from app.mail.octets.decoding import shown

MAX_ADDRESSES = 500
MAX_NAME = 500  # characters of a display name or an address

_MOST_MARKS = 10_000  # quotes, brackets, commas and so on, looked at in a field: 500 people need fewer
_MOST_REMEMBERED = 300  # octets of a value

_USUAL = re.compile(
    r"""\s*+(?:(?:"([^"\\]*+)"|([^"\\<>()\[\],:;@]*+))\s*+<([^<>()\[\]\\",:;\s@\x00]++@[^<>()\[\]\\",:;\s@\x00]++)>"""
    r"""|([^<>()\[\]\\",:;\s@\x00]++@[^<>()\[\]\\",:;\s@\x00]++))\s*+(?:,\s*+|\Z)"""
)
# Characters of an address, and of a name that is nothing but itself.
_ATOMS = rb"[!#-'*+./-9=A-Z^-~-]{1,200}@[!#-'*+./-9=A-Z^-~-]{1,200}"
_ONE = re.compile(
    rb"(" + _ATOMS + rb')|(?:"([ !#-<>A-[\]-~]{0,200})"|([ !#-\'*+./-9=A-Z^-~-]{0,200})'
    rb"|(=\?[!->@-~]{1,80}\?[BbQq]\?[!->@-~]{1,200}\?=)) ?<(" + _ATOMS + rb")>"
)
_SPECIAL = re.compile(r'["(),;:<\\]')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ANGLE = re.compile(r'<((?:[^<>"(]++|"(?:[^"\\]|\\.)*+"|\((?:[^()\\]++|\\.)*+\)|\()*+)>', re.DOTALL)
_LONGEST_ANGLE = 4_000  # characters in which quoted strings and comments are looked for
_MOST_BROKEN_ANGLES = 16  # of a value; in any further ones none are
_PLAIN_ANGLE = re.compile(r"<([^<>]*+)>")
_UNCLOSED_ANGLE = re.compile(r"<([^<>,;]*+)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PIECES_OF_A_GROUP = 16  # its name, with comments
_EMPTY, _BETWEEN_WORDS = re.compile(r"[\s,]*+"), ' \t\r\n"<>()[],;:'
_RUN_OF_BLANKS = re.compile(r"[ \t\r\n\v\f]+")  # those of Japanese names (U+3000) are characters of them
_SCHEMES = frozenset({"mailto", "smtp"})
_AROUND_AT = re.compile(r"(?:(?<!\s)\s++)?+@\s*+")  # no run of blanks is begun in its middle
_BLANKS_OR_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*+"?+)|\s++', re.DOTALL)
_SPLIT = re.compile(r"[^\s@.,:;<>]\s++[^\s@.,:;<>]")  # programs show one word of it or another, or join them
_HOST_OF_NOBODY = re.compile(r"\A([^@:]++:)@[^@:;]*+;\s*+\Z")  # <Undisclosed-Recipient:@host;>
_BEFORE_DOT = re.compile(r"(?<=\S)\s++\.\s*+(?=\S)")  # of a domain: RFC 5322 §4.4 lets blanks stand there


@dataclass(frozen=True, slots=True)
class Address:
    """Somebody: a name, which may be empty, and an address, empty when none could be read."""

    name: str
    address: str


def addresses(values: Sequence[bytes], found: list[str], *, charset: str = "") -> tuple[Address, ...]:
    """The people of all values of one field, at most 500. A person with several addresses is there with each."""
    if len(values) == 1 and len(values[0]) <= _MOST_REMEMBERED:
        people, odd = _remembered(values[0], charset)
        found += odd
        return people
    result: list[Address] = []
    marks = marks_of_a_field()
    for value in values:
        for address in people_in(value, found, marks, charset=charset):
            if len(result) == MAX_ADDRESSES:
                found.append(defects.ADDRESSES_CUT)
                return tuple(result)
            result.append(address)
    return tuple(result)


# Most messages of a mailbox are to the same people, and from some who have written before.
@lru_cache(maxsize=256)
def _remembered(value: bytes, charset: str) -> tuple[tuple[Address, ...], tuple[str, ...]]:
    """The people of a short value, and what is odd about them."""
    odd: list[str] = []
    usual = [_one_usual(one.strip(b" \t"), odd) for one in value.split(b",")]
    people = tuple(filter(None, usual))
    # Of several people all that is odd about words is told first, then what is odd about each of them.
    if len(people) < len(usual) or (odd and len(people) > 1):
        odd.clear()
        people = tuple(people_in(value, odd, marks_of_a_field(), charset=charset))
    return people, tuple(odd)


def _one_usual(value: bytes, odd: list[str]) -> Address | None:
    """Whom a value names where it names one as most do: an address, and before it a plain name or encoded words.

    None where it is not so: a comma within a name, for one, leaves two halves that are not.
    """
    match = _ONE.fullmatch(value)
    if match is None:
        return None
    bare, quoted, phrase, words, angle = match.groups()
    if bare:
        return Address("", bare.decode("ascii"))
    if words:
        return _address(decoded(words, odd), angle.decode("ascii"), Masked(""), odd)
    name = (quoted or phrase or b"").decode("ascii")
    return None if "  " in name else Address(name.strip(), angle.decode("ascii"))


def marks_of_a_field() -> Iterator[int]:
    """How many marks may be looked at in all values of a field together; ``people_in`` takes one for each."""
    return iter(range(_MOST_MARKS))


def people_in(
    value: bytes, found: list[str], marks: Iterator[int], *, charset: str = ""
) -> Iterator[Address]:
    """The people of one value, as they are read. ``charset`` as for ``words.decoded``."""
    text = plain(value)
    is_plain = text is not None and len(text) <= MAX_NAME  # nothing is encoded, hidden or cut
    given = masked(value, found, charset=charset) if text is None else Masked(text)
    text = given.text
    position = 0
    while position < len(text) and (match := _USUAL.match(text, position)):
        quoted, phrase, angle, bare = match.groups()
        name = quoted or phrase or ""
        if "  " in name or not is_plain:
            name = _line(name)  # a run of blanks is one (RFC 5322 §3.2.2)
        if is_plain and "@" not in name:
            yield Address(name.strip(), angle or bare)
        else:
            yield _address(name, angle or bare, given, found)
        position = match.end()
    if position < len(text):
        for name, address in _Scan(text, position, marks, found).people():
            yield _address(name, address, given, found)


class _Kind(Enum):
    TEXT = "text"
    QUOTED = "quoted"  # without its quotes
    LOCAL = "local"  # a quoted local part, as it came: "john doe"@example.org
    COMMENT = "comment"  # without its parentheses
    ANGLE = "angle"  # without its brackets


_Piece = tuple[_Kind, str]


class _Scan:
    """One pass over a masked value from where it is no longer usual."""

    def __init__(self, text: str, position: int, marks: Iterator[int], found: list[str]) -> None:
        self._text = text
        self._marks = marks
        self._at = position
        self._found = found
        self._last_semicolon = text.rfind(";")
        self._end = len(text.rstrip(" \t,;"))
        self._comments_close = True
        self._broken_angles = 0
        self._is_in_group = self._has_groups = False
        self._held = ""  # names that had no address of their own: they belong to the next one
        self._between = ""  # what stands between them and that
        self._pieces: list[_Piece] = []

    def people(self) -> Iterator[tuple[str, str]]:
        """Names and addresses, masked; the address is empty where there is none."""
        text = self._text
        for _ in self._marks:
            special = _SPECIAL.search(text, self._at)
            if special is None:
                break
            if special.start() > self._at:
                self._add(_Kind.TEXT, text[self._at : special.start()])
            self._at = special.end()
            if special[0] in ",;":
                yield from self._end_of_person(special[0])
                self._at = _EMPTY.match(text, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
            else:
                self._take(special[0], special.start())
        else:
            self._found.append(defects.ADDRESSES_CUT)
            return
        self._add(_Kind.TEXT, text[self._at :])
        yield from self._end_of_person("")

    def _add(self, kind: _Kind, text: str) -> None:
        self._pieces.append((kind, text))

    def _end_of_person(self, mark: str) -> Iterator[tuple[str, str]]:
        """``mark``: what ends it, a comma or a semicolon, or "" where the value ends."""
        pieces, self._pieces = self._pieces, []
        name, found = _read(pieces)
        if self._held:
            name = f"{self._held}{self._between}{name}" if name else self._held
        ends_group = self._is_in_group and mark == ";"
        self._is_in_group = self._is_in_group and not ends_group
        self._held = ""
        if found:
            for address in found:
                yield name, address
        elif self._has_groups and name.startswith("@"):  # Undisclosed-Recipient:@host;
            return
        elif mark and not ends_group:
            is_joined = (
                mark == ";" and self._text[self._at : self._at + 1].strip()
            )  # AT&amp;T <info@example.org>
            self._held, self._between = name[: 2 * MAX_NAME], mark if is_joined else f"{mark} "
        elif name:
            self._found.append(defects.BAD_ADDRESS)
            yield name, ""

    def _take(self, special: str, start: int) -> None:
        match special:
            case ":":
                self._colon()
            case '"':
                self._quoted(start)
            case "(":
                self._comment(start)
            case "<":
                self._angle(start)
            case _ if self._text.startswith("<", self._at):  # an address begins whatever stands before it
                self._add(_Kind.TEXT, special)
            case _:
                self._add(_Kind.TEXT, self._text[self._at : self._at + 1])  # what a backslash protects
                self._at += 1

    def _colon(self) -> None:
        """The name of a group ends here (its members are people of their own), or it is one of many odd colons."""
        is_group = self._at <= self._last_semicolon or self._at >= self._end
        if len(self._pieces) <= _PIECES_OF_A_GROUP and not any("@" in text for _, text in self._pieces):
            is_scheme = bool(self._pieces) and self._pieces[-1][1].strip().lower() in _SCHEMES
            if is_group or is_scheme:
                self._pieces = []
                self._is_in_group = is_group
                self._has_groups = self._has_groups or is_group
                return
        self._add(_Kind.TEXT, ":")

    def _quoted(self, start: int) -> None:
        match = _QUOTED.match(self._text, start)
        if match is None:  # what is never closed opens nothing; within a word it is a mark like others
            around = (self._text[start - 1 : start], self._text[self._at : self._at + 1])
            if all(character.strip(_BETWEEN_WORDS) for character in around):
                self._add(_Kind.TEXT, '"')
            return
        self._at = match.end()
        if self._text.startswith("@", self._at):
            self._add(_Kind.LOCAL, match[0])
        else:
            self._add(_Kind.QUOTED, _ESCAPED.sub(r"\1", match[1]))

    def _comment(self, start: int) -> None:
        end = end_of_comment(self._text, start) if self._comments_close else -1
        if end < 0:
            self._comments_close = False  # nor would those behind it: each would be looked for to the end
            self._add(_Kind.TEXT, "(")
        else:
            self._add(_Kind.COMMENT, _ESCAPED.sub(r"\1", self._text[start + 1 : end - 1]))
            self._at = end

    def _angle(self, start: int) -> None:
        is_sound = self._comments_close and self._broken_angles < _MOST_BROKEN_ANGLES  # as for comments
        match = _ANGLE.match(self._text, start, start + _LONGEST_ANGLE) if is_sound else None
        if match is None:
            self._broken_angles += 1
            match = _PLAIN_ANGLE.match(self._text, start)
        if match is None:
            match = _UNCLOSED_ANGLE.match(self._text, start)
            if match is None or "@" not in match[1]:
                self._add(_Kind.TEXT, "<")
                return
            self._found.append(defects.BAD_ADDRESS)
        self._at, inside = match.end(), _HOST_OF_NOBODY.sub(r"\1", match[1])
        if "@" in inside and '"' not in inside and _SPLIT.search(without_comments(inside)):
            self._found.append(defects.ADDRESS_ALTERED)
        self._add(_Kind.ANGLE, inside)


def _read(pieces: Sequence[_Piece]) -> tuple[str, list[str]]:
    """The name and the addresses of one person: several where it is not certain which one is meant."""
    angles = [number for number, (kind, text) in enumerate(pieces) if kind is _Kind.ANGLE and "@" in text]
    if angles:
        rest = [piece for piece in pieces[angles[0] + 1 :] if piece[0] is not _Kind.ANGLE]
        name = _name(pieces[: angles[0]])
        behind = (_bare(word) for word, is_address in _words(_around_at(rest)) if is_address) if name else ()
        found = [address for number in angles for address in _of_angle(pieces[number][1])]
        return name or _name(rest), _unlike([*found, *behind])  # Max <max@example.org> lee@example.org
    inside = (text.strip() for kind, text in pieces if kind is _Kind.ANGLE)
    odd = [
        text for text in inside if text and not text.rstrip(";").endswith(":")
    ]  # <Undisclosed-Recipient:;>
    pieces = _around_at([piece for piece in pieces if piece[0] is not _Kind.ANGLE])
    words = list(_words(pieces))
    found = [_bare(word) for word, is_address in words if is_address]
    if found:
        name = " ".join(word for word, is_address in words if not is_address)
        return name or _comment(pieces), _unlike([*found, *odd])
    if odd:
        return _name(pieces), _unlike(odd)
    if not words:
        return "", []  # a comment alone is nobody
    comment = _comment(pieces)
    if comment and len(words) == 1:
        return comment, [words[0][0]]  # root (Cron Daemon)
    return _name(pieces), []


def _around_at(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Without the comments beside an ``@`` or a dot (RFC 5322 §4.4): ``pete(his account)@example(his host).org``."""
    texts = ["", *(text if kind is _Kind.TEXT else "" for kind, text in pieces), ""]
    return [
        piece
        for before, piece, after in zip(texts, pieces, texts[2:], strict=False)
        if piece[0] is not _Kind.COMMENT
        or not (
            before.rstrip().endswith("@")
            or after.lstrip().startswith(("@", "."))
            or (before.endswith(".") and after[:1].strip())
        )
    ]


def _words(pieces: Sequence[_Piece]) -> Iterator[tuple[str, bool]]:
    """What stands outside comments, word by word, and whether a word is an address."""
    local = ""
    for kind, some in groupby(pieces, key=lambda piece: piece[0]):
        text = "".join(piece[1] for piece in some)
        if kind is _Kind.LOCAL:
            local = text
        elif kind is _Kind.TEXT:
            before, at, after = _AROUND_AT.sub("@", text).partition("@")
            for word in (before + at + _BEFORE_DOT.sub(".", after)).split():
                yield local + word, bool(local) or "@" in word.strip("@'<>")
                local = ""
        elif kind is _Kind.QUOTED and text.strip():
            yield _line(text), False


def _bare(word: str) -> str:
    """A word that is an address, without what stands around it: ``[mailto:max@example.org]``, as Outlook quotes it."""
    word = word.strip("'<>")
    if word.startswith("["):
        word = word.strip("[]")
    return _without_scheme(_without_route(word))


def _without_route(address: str) -> str:
    """RFC 5322 §4.4: ``@a,@b:max@example.org`` goes by way of a and b."""
    return address.partition(":")[2] if address.startswith("@") and ":" in address else address


def _without_scheme(address: str) -> str:
    scheme, colon, rest = address.partition(":")
    return rest.partition("?")[0] if colon and scheme.lower() in _SCHEMES else address


def _name(pieces: Sequence[_Piece]) -> str:
    """As it is written, its comments too: ``Max (Sales) <max@example.org>``. Of a comment alone what it holds."""
    if all(kind is _Kind.COMMENT or not text.strip() for kind, text in pieces):
        return _comment(pieces)
    around = {_Kind.COMMENT: "({})", _Kind.ANGLE: "<{}>"}
    name = _line("".join(around.get(kind, "{}").format(text) for kind, text in pieces))
    return name.rstrip("< ") if name.strip("<>") else ""


def _comment(pieces: Sequence[_Piece]) -> str:
    return _line(" ".join(text for kind, text in pieces if kind is _Kind.COMMENT))


def _of_angle(content: str) -> list[str]:
    """What is in angle brackets, without comments, blanks, a source route (RFC 5322 §4.4) or ``mailto:``."""
    content = content if '"' in content else without_comments(content)
    content = _BLANKS_OR_QUOTED.sub(r"\1", content)
    content = _without_scheme(_without_route(content))
    several = [one for one in re.split("[,;]", content) if one]
    return several if len(several) > 1 and '"' not in content else [content]


def _unlike(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))


def _line(text: str) -> str:
    return " ".join(text.split()) if text.isascii() else _RUN_OF_BLANKS.sub(" ", text).strip()


def _address(name: str, address: str, given: Masked, found: list[str]) -> Address:
    if given.words:
        name, address = unmasked(name, given.words), unmasked(address, given.raw)
    name, came_as = shown(name, found).strip(), address.strip()
    address = shown(address, found).strip()
    if len(name) > MAX_NAME or len(address) > MAX_NAME:
        found.append(defects.LONG_VALUE_CUT)
        name, address = name[:MAX_NAME], address[:MAX_NAME]
    if address != came_as:
        found.append(defects.ADDRESS_ALTERED)
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    if "@" in plain and looks_like_another(name, address):
        found.append(defects.NAME_LIKE_ADDRESS)
    return Address(name, address)
