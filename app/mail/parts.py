"""PURE  The tree of parts of a message (RFC 2046), walked while the message is scanned: nothing recurses."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.fields.media_types import media_type
from app.mail.fields.parameters import NOTHING, Parsed, main_value, parameter, parsed, text_parameter
from app.mail.fields.words import decoded
from app.mail.locations import MAX_LOCATION, joined
from app.mail.names import safe_filename, type_by_name
from app.mail.octets.charsets import UNDECLARED, codec_of, declared_in_html, tells_of_octets
from app.mail.octets.embedded import File, may_hold_file, split
from app.mail.octets.flowed import unflowed
from app.mail.octets.headers import Block
from app.mail.octets.scanner import MAX_BOUNDARY, PIECE_OCTETS, Scanner
from app.mail.octets.transfer import (
    begun_base64,
    decoded_octets,
    decoded_pieces,
    decoded_whole,
    encoding_named,
    is_as_it_is,
    whole_base64,
)
from app.mail.text_charsets import TextCharsets

MAX_DEPTH = 50
_USUAL_TYPES = frozenset({"text/plain", "text/html"})
_MAX_PREAMBLE = 2 * 1024 * 1024  # octets, kept in case that no boundary comes and they are the text
_LONGEST_ID = 998  # characters
_NO_PIECES: Iterator[bytes] = iter(())
_CONTENT_ID = re.compile(r"<([^<>]*+)>")


@dataclass(slots=True)
class Part:
    """One part: its headers, where it stands in the tree, and its body, which can be read once.

    ``parent`` is the multipart subtype around it ("" at the root), ``place`` its number in there, ``alternative``
    tells one multipart/alternative around it from another, -1 when there is none. ``base`` is the address of what is
    around it, from which its own location is seen (RFC 2557 §5).
    """

    block: Block
    typed: Parsed  # its Content-Type as it came
    content_type: str
    parent: str
    place: int
    alternative: int
    is_root: bool  # of a multipart/related: what its other parts belong to (RFC 2387 §3.2)
    base: str
    _scanner: Scanner | None  # which is at the body, until that is read
    _pieces: Iterator[bytes]  # of the body, encoded, behind its start
    _data: bytes = b""  # in which its start stands, from here to there
    _start: int = 0
    _end: int = 0
    is_held: bool = False  # its octets count as text already
    _is_decoded: bool = False
    _whole: bytes | None = None  # all of a body in base64, decoded, where somebody had to look at it
    _charset: str | None = None
    _filename: tuple[str | None, list[str]] | None = None  # and what is odd about it
    _name: str | None = None  # of a file that was found in a text
    texts: TextCharsets | None = None  # of the message; None: this is a file that was found in a text

    @property
    def disposition(self) -> str:
        """``attachment``, ``inline``, anything else, or ""."""
        return main_value(self.block.first("content-disposition"))

    @property
    def content_id(self) -> str | None:
        """Without its angle brackets, as ``cid:`` links name it (RFC 2392); else, beside HTML, its location."""
        given = ""
        if "content-id" in self.block.fields:
            text = decoded(self.block.first("content-id"), [])
            match = _CONTENT_ID.search(text)
            given = (match[1] if match else text).strip()[:_LONGEST_ID]
        return given or (self.location if self.parent == "related" else None)

    @property
    def location(self) -> str | None:
        """The address by which HTML beside it names the part (RFC 2557 §4.2), however it was folded."""
        if "content-location" not in self.block.fields:
            return None
        text = decoded(self.block.first("content-location"), [])
        return "".join(text.split()).strip('"<>')[:MAX_LOCATION] or None

    @property
    def address(self) -> str:
        """Its location as seen from what is around it, whose address it has where it says none; or ""."""
        location = self.location
        return joined(self.base, location) if location else self.base

    @property
    def charset(self) -> str:
        """As the sender wrote it, or ""."""
        if self._charset is None:
            self._charset = self.parameter(b"charset").decode("latin-1")
        return self._charset

    def charset_for(self, data: bytes) -> str:
        """The charset of a text that begins so: HTML may name it itself, where the headers say nothing."""
        if self.content_type == "text/html" and codec_of(self.charset) == UNDECLARED:
            return declared_in_html(data) or self.charset
        return self.charset

    @property
    def text_charset(self) -> str:
        """The charset of the first text so far that tells what raw octets in headers are, or ""."""
        return self.texts.first() if self.texts else ""

    @property
    def is_flowed(self) -> bool:
        """Whether the lines of this text flow (RFC 3676)."""
        return self.content_type == "text/plain" and self.parameter(b"format").lower() == b"flowed"

    @property
    def has_delsp(self) -> bool:
        """Whether the blank at the end of a line that goes on is none of the text's (RFC 3676 §4.1)."""
        return self.parameter(b"delsp").lower() == b"yes"

    def unflowed(self, text: str) -> str:
        """A text whose lines flow, and end with LF, with one line for each paragraph."""
        return unflowed(text, delsp=self.has_delsp)

    def parameter(self, name: bytes) -> bytes:
        """A parameter of the Content-Type as it came, or b""."""
        return parameter(self.typed, name) or b""

    def filename(self, found: list[str]) -> str | None:
        """A name that is safe to save under: no folders, no control characters, not too long; or None."""
        if self._filename is None:
            odd: list[str] = []
            name = self._given_name(odd)
            self._filename = (None if name is None else safe_filename(name, odd), odd)
        found += self._filename[1]
        return self._filename[0]

    def _given_name(self, found: list[str]) -> str | None:
        if self._name is not None:
            return self._name
        charset = ""
        if not self.block.is_ascii:
            charset = self.charset if tells_of_octets(self.charset) else self.text_charset
        disposition = parsed(self.block.first("content-disposition"))
        name = text_parameter(disposition, b"filename", found, charset=charset)
        return name or text_parameter(self.typed, b"name", found, charset=charset)

    def put_back(self, pieces: Iterable[bytes]) -> None:
        """The body is this."""
        self._scanner, self._pieces = None, iter(pieces)
        self._data, self._start, self._end = b"", 0, 0

    def texts_and_files(self, budget: Budget, found: list[str]) -> "Iterator[bytes | Part]":
        """The decoded body of a text, and the files in it as parts of their own: uuencode and yEnc."""
        for each in split(self.content(budget, found), budget, found):
            yield each if isinstance(each, bytes) else self._file(each, found)

    def _file(self, file: File, found: list[str]) -> "Part":
        name = decoded(file.name, found)
        kind = type_by_name(name)
        place = (self.parent or "mixed", self.place + 1, -1, False)
        return Part(Block({}), NOTHING, kind, *place, "", None, file.pieces, _is_decoded=True, _name=name)

    def may_hold_files(self) -> bool:
        """Whether there may be some; reads the body, which can be read again."""
        encoding = self._encoding
        is_base64 = encoding == "base64"
        self._read(PIECE_OCTETS if is_base64 else sys.maxsize)
        if is_base64:
            is_piece = self._end - self._start <= PIECE_OCTETS
            text = self._whole = whole_base64(self._data[self._start : self._end]) if is_piece else None
            return text is None or may_hold_file(text)
        return may_hold_file(self._data, self._start, self._end)

    def hold(self, budget: Budget, found: list[str]) -> None:
        """Read the body, as much as a text may have, to give it later."""
        kept = [piece[: budget.take(Work.TEXT_OCTETS, len(piece))] for piece in self.content(budget, found)]
        self.is_held = self._is_decoded = True
        self.put_back(kept)

    @property
    def _encoding(self) -> str:
        if self._is_decoded:
            return ""
        return encoding_named(main_value(self.block.first("content-transfer-encoding")))

    def content(self, budget: Budget, found: list[str]) -> Iterator[bytes]:
        """The decoded body, in pieces of at most 256 KiB."""
        self._read(0)
        if self._pieces is _NO_PIECES and self._end - self._start <= PIECE_OCTETS:
            data = self._data[self._start : self._end]
            return iter((decoded_whole(data, self._encoding, budget, found),))
        return decoded_pieces(self._encoded(), self._encoding, budget, found)

    def octets(self, budget: Budget, found: list[str]) -> int:
        """How many ``content`` gives; reads the body."""
        self._read(0)
        encoding = self._encoding
        if self._pieces is _NO_PIECES and is_as_it_is(encoding):
            return self._end - self._start
        return decoded_octets(self._encoded(), encoding, budget, found)

    def _encoded(self) -> Iterator[bytes]:
        self._read(0)
        return chain(_pieces(self._data, self._start, self._end), self._pieces)

    def beginning(self, octets: int, budget: Budget, found: list[str]) -> tuple[bytes, bool]:
        """What the first so many encoded octets are decoded, and whether there are more. May be asked for again."""
        self._read(octets)
        start, end = self._start, self._end
        is_cut = end - start > octets
        data = self._data[start : start + octets if is_cut else end]
        if self._whole is not None:
            return begun_base64(self._whole, data), is_cut
        return decoded_whole(data, self._encoding, budget, [] if is_cut else found), is_cut

    def _read(self, octets: int) -> None:
        """Have the start of the body, of more octets than these if there are; all where the message is whole."""
        if self._scanner is not None:
            in_place = self._scanner.body_in_place()
            if in_place is not None:
                self._data, self._start, self._end = in_place
            else:
                self._pieces = self._scanner.body()
            self._scanner = None
        while self._end - self._start <= octets and (piece := next(self._pieces, None)) is not None:
            self._data, self._start = self._data[self._start : self._end] + piece, 0
            self._end = len(self._data)


@dataclass(slots=True)
class _Multipart:
    subtype: str
    alternative: int
    address: str = ""
    start: str = ""  # the Content-ID of the root of a multipart/related
    children: int = 0
    has_root: bool = False
    spare: Part | None = None  # the first HTML, where start names a part that may never come


def leaves(scanner: Scanner, block: Block, budget: Budget, found: list[str]) -> Iterator[Part]:
    """The parts that are no multiparts, in order, found as they are asked for. Messages in parts stay closed.

    ``block``: the headers of the message, which the scanner has just read. What nobody read of a part is passed over
    when the next one is asked for.
    """
    around: list[_Multipart] = []
    spares: list[tuple[_Multipart, Part]] = []
    number = 0
    texts = TextCharsets()
    following: Block | None = block
    while following is not None and budget.take(Work.PARTS):
        number += 1
        parent = around[-1] if around else _Multipart("", -1)
        part = _part(scanner, following, parent, found)
        parent.children += 1
        if part.content_type.startswith("text/"):
            texts.add(following)
        part.texts = texts
        if part is parent.spare:
            part.hold(budget, found)
            spares.append((parent, part))
        elif not part.content_type.startswith("multipart/"):
            yield part
        elif len(around) > MAX_DEPTH:
            found.append(defects.TOO_DEEP)
            yield part
        elif _opened(scanner, part):
            is_alternative = part.content_type == "multipart/alternative"
            is_related = part.content_type == "multipart/related"
            start = text_parameter(part.typed, b"start", []) if is_related else None
            around.append(
                _Multipart(
                    part.content_type[10:],
                    number if is_alternative else parent.alternative,
                    address=part.address,
                    start=(start or "").strip(" <>"),
                )
            )
        else:
            found.append(defects.NO_BOUNDARY)
            part.content_type = "text/plain"
            yield part
        following = _next_block(scanner, around, budget, found) if around else None
        if spares:
            yield from _settled(spares, around if following is not None else [])
    yield from _settled(spares, [])


def _settled(spares: "list[tuple[_Multipart, Part]]", around: "list[_Multipart]") -> Iterator[Part]:
    """Those of which it is known now whether the part that was named has come: where it has not, they are the root."""
    for pair in spares.copy():
        related, part = pair
        if related.has_root or not any(related is each for each in around):
            part.is_root = not related.has_root
            spares.remove(pair)
            yield part


def _part(scanner: Scanner, block: Block, parent: _Multipart, found: list[str]) -> Part:
    typed = parsed(block.first("content-type"))
    content_type = typed.main
    if not content_type:  # RFC 2046 §5.1.5: in a digest, what says nothing is a message
        content_type = "message/rfc822" if parent.subtype == "digest" else "text/plain"
    elif content_type not in _USUAL_TYPES and not content_type.startswith("multipart/"):
        content_type = media_type(typed, found)
    part = Part(
        block,
        typed,
        content_type,
        parent.subtype,
        parent.children,
        parent.alternative,
        False,
        parent.address,
        scanner,
        _NO_PIECES,
    )
    if parent.subtype == "related" and not parent.has_root:
        part.is_root = parent.has_root = _may_be_root(part, parent.start)
    if parent.start and not (parent.has_root or parent.spare) and content_type == "text/html":
        parent.spare = part
    return part


def _may_be_root(part: Part, start: str) -> bool:
    """The part that is named; else the first one, or the first HTML where something else stands before it."""
    if start:
        return part.content_id == start
    is_first = part.place == 0 and part.content_type.startswith(("text/", "multipart/"))
    return is_first or part.content_type == "text/html"


def _opened(scanner: Scanner, part: Part) -> bool:
    """Whether the multipart has a boundary that comes. If not, the part has got what stands there as its body."""
    boundary = part.parameter(b"boundary").rstrip()
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        return False
    level = scanner.open(boundary)
    in_place = scanner.body_in_place()
    preamble = _preamble(scanner) if in_place is None else []
    delimiter = scanner.delimiter
    if delimiter is not None and delimiter.level == level and not delimiter.closes:
        return True
    scanner.close(level)
    if in_place is not None:
        data, start, end = in_place
        preamble = _pieces(data, start, min(end, start + _MAX_PREAMBLE))
    if delimiter is None or delimiter.level != level:
        part.put_back(preamble)
    else:  # Only its closing delimiter comes: all that stands around it is the text.
        part.put_back(chain(preamble, scanner.epilogue()))
    return False


def _preamble(scanner: Scanner) -> Iterable[bytes]:
    """Read what stands before the first delimiter, and keep it in case that it is the text."""
    preamble: list[bytes] = []
    octets = 0
    for piece in scanner.body():
        if octets < _MAX_PREAMBLE:
            preamble.append(piece)
            octets += len(piece)
    return preamble


def _pieces(data: bytes, start: int, end: int) -> Iterator[bytes]:
    return (data[at : min(at + PIECE_OCTETS, end)] for at in range(start, end, PIECE_OCTETS))


def _next_block(scanner: Scanner, around: list[_Multipart], budget: Budget, found: list[str]) -> Block | None:
    """The headers of the next part; None when there is none, or when there were too many headers."""
    delimiter = scanner.skip()
    while around and delimiter is not None:
        level = delimiter.level
        if level + 1 < len(around):
            found.append(defects.NOT_CLOSED)
            del around[level + 1 :]
            scanner.close(level + 1)
        if not delimiter.closes:
            block = scanner.block()
            return block if budget.has_headers() else None
        del around[level:]
        scanner.close(level)
        delimiter = scanner.skip_epilogue() if around else None
    if around:
        found.append(defects.NOT_CLOSED)
    return None
