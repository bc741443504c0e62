"""PURE  Transfer encodings undone piece by piece (RFC 2045 §6): what is held does not grow with the body.

Pieces may be cut anywhere: the same octets come out. What stands between two pieces is carried over from one to the
other: a group of base64, a line of uuencode, what follows an ``=``.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TypeVar

from app.mail import defects
from app.mail.budget import Budget, Work

PIECE_OCTETS = 256 * 1024

_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_DIGITS_OF_BASE64 = _BASE64_ALPHABET.rstrip(b"=")
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64_ALPHABET))
_WHITESPACE = b" \t\r\n\f\v"
_RUN = re.compile(b"[^=]+")
_AS_IT_IS = frozenset({"", "7bit", "8bit", "binary", "7-bit", "8-bit"})
_UU = frozenset({"x-uuencode", "uuencode", "x-uue", "uue"})
_ENCODING = re.compile(r"[\w-]+")
_USUAL_ENCODINGS = frozenset({"", "7bit", "8bit", "quoted-printable", "base64"})
_SPELLINGS = {
    **dict.fromkeys(("base-64", "base_64", "x-base64", "b64"), "base64"),
    **dict.fromkeys(("quoted_printable", "quotedprintable", "quoted", "qp"), "quoted-printable"),
}
_UU_BEGIN = re.compile(rb"^begin[ \t]+[0-7]{3,6}[ \t][^\n]*\n", re.MULTILINE)
_UU_BEGINS_WITHIN = 64 * 1024  # octets
_UU_LINE = re.compile(rb"[^\r\n]+")
_STEPS_OF_A_BROKEN_LINE = 7
_LONGEST_UU_LINE = 128  # a length, 84 characters for 63 octets, and what some encoders write behind them
# What binascii would lose: what stands between = and the line's end, all behind = and CR, an = before another one.
_QP_BLANKS = re.compile(rb"=[ \t]++(?=\r{0,2}\n)")
_QP_CR = re.compile(rb"=\r(?!\r?\n)")
_QP_ODD_IN_A_STEP = 4
_QP_MAY_BE_ODD = re.compile(rb"=(?:[ \t=]|\r(?!\n))")
_QP_GOES_ON = re.compile(rb"=(?:[ \t]{0,990}+\r{0,2}+|[0-9A-Fa-f])\Z")  # in the next piece, maybe
_QP_LAST = re.compile(rb"=[ \t]++\Z")
_QP_LONGEST = 1_000
_ALPHABET_AND_BLANKS = _BASE64_ALPHABET + _WHITESPACE
_LONGEST_FOOTER_LINE = 998
_LINES_OF_A_STEP, _OCTETS_OF_A_STEP = 8, 64  # that are looked at for a footer
_LEFT_BY_FOOTERS = Work.STEPS.units // 2  # for whatever else is odd in a message
# What ends base64 that does not end in padding: the line that lists draw above their footer, or a line of words.
_FOOTER = re.compile(
    rb"^(?=[^\n]{2,998}\n)(?:[-_*~#]{2,}+[ \t\r]*+\n|(?=[^\n]*[^A-Za-z0-9+/=\s])[^\n\S]*+\S++[ \t]++\S)",
    re.MULTILINE,
)
# Three words and a character of no base64: it has not begun.
_PROSE = re.compile(rb"(?=[^\n]*[^A-Za-z0-9+/=\s])[^\s=_*~#-]\S*+[^\S\n]++\S++[^\S\n]++\S")
# Or words of letters alone, large and small as they do not stand in base64: two are a line, or three begin it.
_WORDS = re.compile(
    rb"[A-Z]?[a-z]++[ \t]++[A-Z]?[a-z]++[ \t\r]*+(?:\n|\Z)"
    rb"|(?:(?:[A-Z]?[a-z]++|[A-Z]++)[ \t]++){2}(?:[A-Z]?[a-z]++|[A-Z]++)(?:\s|\Z)"
)
# And behind padding: any line that is no base64.
_NO_BASE64 = re.compile(
    rb"^(?=[^\n]{1,998}\n)[ \t]*+[A-Za-z0-9+/=]*+(?:[^A-Za-z0-9+/=\s]|[ \t]++[^\s])", re.MULTILINE
)

_Undone = TypeVar("_Undone", bytes, range)


def encoding_named(written: str) -> str:
    """What a Content-Transfer-Encoding, in lower case, names in its usual spelling; "" where it names none."""
    if written in _USUAL_ENCODINGS:
        return written
    name = _ENCODING.search(written)
    return _SPELLINGS.get(name[0], name[0]) if name else ""


def is_as_it_is(encoding: str) -> bool:
    """Whether an encoding leaves octets as they are."""
    return encoding in _AS_IT_IS


def decoded_pieces(
    pieces: Iterable[bytes], encoding: str, budget: Budget, found: list[str]
) -> Iterator[bytes]:
    """Undo a Content-Transfer-Encoding; ``encoding`` in lower case. The pieces are at most 256 KiB long, if those that
    come are. Never raises."""
    if encoding == "base64":
        return _base64(pieces, _strict, budget, found)
    if encoding == "quoted-printable":
        return _quoted_printable(pieces, budget)
    if encoding in _UU:
        return _uuencoded(pieces, budget, found)
    if encoding not in _AS_IT_IS:
        found.append(defects.UNKNOWN_ENCODING)
    return iter(pieces)


def decoded_octets(pieces: Iterable[bytes], encoding: str, budget: Budget, found: list[str]) -> int:
    """How many octets ``decoded_pieces`` gives, which are not made where base64 is as it should be."""
    if encoding == "base64":
        return sum(map(len, _base64(pieces, _strict_length, budget, found)))
    return sum(map(len, decoded_pieces(pieces, encoding, budget, found)))


def decoded_whole(data: bytes, encoding: str, budget: Budget, found: list[str]) -> bytes:
    """What ``decoded_pieces`` makes of one piece."""
    if encoding in _AS_IT_IS:
        return data
    if encoding == "quoted-printable":
        return _decoded_qp(data, budget, is_last=True) or b""
    if encoding == "base64" and (decoded := whole_base64(data)) is not None:
        return decoded
    return b"".join(decoded_pieces((data,), encoding, budget, found))


def whole_base64(data: bytes) -> bytes | None:
    """What base64 says that is all there is and as it should be; None where anything is odd."""
    return _whole(data, _strict)


def begun_base64(whole: bytes, data: bytes) -> bytes:
    """What ``data`` says, with which base64 begins that says ``whole`` and is as it should be."""
    return whole[: len(data.translate(None, _WHITESPACE)) * 3 // 4]


def _whole(data: bytes, strict: Callable[[bytes, int], _Undone | None]) -> _Undone | None:
    solid = data.translate(None, _WHITESPACE)
    is_whole = not len(solid) % 4 and not _WORDS.match(data[:_LONGEST_FOOTER_LINE].lstrip())
    return strict(solid, len(solid)) if is_whole else None


def decoded_base64(data: bytes, found: list[str]) -> bytes:
    """Base64 of a short text: an encoded word."""
    if not len(data) % 4 and (decoded := _strict(data, len(data))) is not None:
        return decoded
    core = data.translate(None, _NOT_BASE64)
    if len(core) % 4 or len(core) != len(data.translate(None, _WHITESPACE)):
        found.append(defects.BAD_BASE64)
    return b"".join(map(_decoded_run, _RUN.findall(core)))


def _base64(
    pieces: Iterable[bytes],
    strict: Callable[[bytes, int], _Undone | None],
    budget: Budget,
    found: list[str],
) -> Iterator[bytes | _Undone]:
    """Whatever is in between left out, padding missing or in the middle (blocks that were joined). ``strict`` decodes
    what is as it should be, or tells its length.

    A body that begins with a line of words has never been encoded: it is given as it came.
    """
    pieces = iter(pieces)
    first, second = next(pieces, b""), next(pieces, None)
    if second is None and (decoded := _whole(first, strict)) is not None:
        yield decoded
        return
    pieces = chain((first,), () if second is None else (second,), pieces)
    start: list[bytes] = []
    first_line = b""
    for piece in pieces:
        start.append(piece)
        first_line = b"".join(start)[:_LONGEST_FOOTER_LINE].lstrip()
        if b"\n" in first_line or sum(map(len, start)) >= _LONGEST_FOOTER_LINE:
            break
    pieces = chain(start, pieces)
    if _PROSE.match(first_line) or _WORDS.match(first_line):
        found.append(defects.BAD_BASE64)
        yield from pieces
        return
    rest = b""
    octets = 0
    is_damaged = False
    for piece in _without_footer(pieces, budget, found):
        solid = rest + piece.translate(None, _WHITESPACE)
        whole = len(solid) & ~3
        decoded = strict(solid, whole)
        if decoded is not None:
            octets += len(solid) - len(rest)
            rest = solid[whole:]
            yield decoded
            continue
        core = piece.translate(None, _NOT_BASE64)
        octets += len(core)
        # Other characters than line ends are to be ignored, but tell of damage (§6.8).
        is_damaged = is_damaged or len(core) != len(solid) - len(rest)
        *runs, rest = _runs(rest + core)
        if budget.take(Work.STEPS, len(runs)) < len(runs):
            return
        yield b"".join(map(_decoded_run, runs))
        whole = len(rest) & ~3
        if whole:
            yield binascii.a2b_base64(rest[:whole])
            rest = rest[whole:]
    yield _decoded_run(rest)
    if octets % 4 or is_damaged:
        found.append(defects.BAD_BASE64)


def _strict(solid: bytes, whole: int) -> bytes | None:
    """So many octets of base64 decoded; None where anything is odd in them or in what is left behind them."""
    if whole < len(solid) and not solid[whole:].isalnum():
        return None
    try:
        return binascii.a2b_base64(solid[:whole], strict_mode=True)
    except binascii.Error:
        return None


def _strict_length(solid: bytes, whole: int) -> range | None:
    """As long as what ``_strict`` gives: a range, for only its length is wanted."""
    last = max(0, whole - 4)
    if solid[:last].translate(None, _DIGITS_OF_BASE64):
        return None
    decoded = _strict(solid[last:], whole - last)
    return None if decoded is None else range(last // 4 * 3 + len(decoded))


def _without_footer(pieces: Iterable[bytes], budget: Budget, found: list[str]) -> Iterator[bytes]:
    """The pieces up to where base64 ends: servers of lists write their footers as plain text behind it.

    Lines are looked at whole; a line that is longer than text has ever been is no footer.
    """
    held = b""
    is_in_long_line = is_padded = False
    for piece in pieces:
        data = held + piece
        end = data.rfind(b"\n") + 1
        start = data.find(b"\n") + 1 if is_in_long_line else 0
        is_long = len(data) - end > _LONGEST_FOOTER_LINE or (is_in_long_line and not end)
        lines, held = (data, b"") if is_long else (data[:end], data[end:])
        stop = _footer(lines, start, budget, is_padded=is_padded) if end else None
        if stop is not None:
            found.append(defects.BAD_BASE64)
            yield lines[:stop]
            return
        is_padded = is_padded or b"=" in lines
        is_in_long_line = is_long
        yield lines
    stop = _footer(held + b"\n", 0, budget, is_padded=is_padded)
    if stop is not None:
        found.append(defects.BAD_BASE64)
    yield held[:stop]


def _footer(lines: bytes, start: int, budget: Budget, *, is_padded: bool) -> int | None:
    """Where, at the start of a line, the footer begins. Of a body that is odd all over only the first megabytes are
    looked at; what comes behind them is decoded all the same."""
    padding = 0 if is_padded else lines.find(b"=")
    behind = max(start, 0 if is_padded else lines.find(b"\n", padding) + 1) if padding >= 0 else len(lines)
    is_odd = bool(lines.translate(None, _ALPHABET_AND_BLANKS))
    first = start if is_odd else behind
    steps = lines.count(b"\n", first) // _LINES_OF_A_STEP + (len(lines) - first) // _OCTETS_OF_A_STEP
    if steps and budget.left(Work.STEPS) - steps < _LEFT_BY_FOOTERS:
        return None
    budget.take(Work.STEPS, steps)
    found = _FOOTER.search(lines, start) if is_odd else None  # it takes ten times as long as all else
    if padding >= 0:
        found = min(
            filter(None, (found, _NO_BASE64.search(lines, behind))), key=lambda one: one.start(), default=None
        )
    return found.start() if found else None


def _runs(core: bytes) -> list[bytes]:
    """What stands between padding; the last one may go on in the next piece."""
    if b"=" not in core:
        return [core]
    runs = _RUN.findall(core)
    return [*runs, b""] if core.endswith(b"=") else runs


def _decoded_run(run: bytes) -> bytes:
    if len(run) % 4 == 1:
        run = run[:-1]
    return binascii.a2b_base64(run + b"=" * (-len(run) % 4))


def _quoted_printable(pieces: Iterable[bytes], budget: Budget) -> Iterator[bytes]:
    """Nothing is lost: an = that encodes nothing is itself. Blanks behind one that ends a line are nothing (§6.7)."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        goes_on = _QP_GOES_ON.search(data, max(0, len(data) - _QP_LONGEST))
        end = goes_on.start() if goes_on else len(data)
        decoded = _decoded_qp(data[:end], budget, is_last=False)
        if decoded is None:
            return
        yield decoded
        rest = data[end:]
    yield _decoded_qp(rest, budget, is_last=True) or b""


def _decoded_qp(data: bytes, budget: Budget, *, is_last: bool) -> bytes | None:
    """None where more is odd than is mended in one message."""
    if _QP_MAY_BE_ODD.search(data):
        data, blanks = _QP_BLANKS.subn(b"=", data)
        data, returns = _QP_CR.subn(b"=\n", data)
        steps = (blanks + returns + data.count(b"==")) // _QP_ODD_IN_A_STEP
        if budget.take(Work.STEPS, steps) < steps:
            return None
        for _ in range(2):  # of three in a row the first turn leaves two
            data = data.replace(b"==", b"=3D=")
    if is_last:
        data = _QP_LAST.sub(b"=", data) if data.endswith((b" ", b"\t")) else data
    elif data.endswith(b"="):  # another one follows
        data += b"3D"
    return binascii.a2b_qp(data)


def _uuencoded(pieces: Iterable[bytes], budget: Budget, found: list[str]) -> Iterator[bytes]:
    coming = iter(pieces)
    start = b""
    while len(start) < _UU_BEGINS_WITHIN and (piece := next(coming, None)) is not None:
        start += piece
    begin = _UU_BEGIN.search(start)
    if begin is None:
        found.append(defects.BAD_UUENCODE)
        yield start
        yield from coming
        return
    kept: list[bytes] = []
    octets = 0
    for line in _uu_lines(start[begin.end() :], coming, budget):
        if line.rstrip() == b"end":
            break
        if decoded := decoded_uu(line, budget, found):
            kept.append(decoded)
            octets += len(decoded)
        if octets > PIECE_OCTETS - 64:
            yield b"".join(kept)
            kept, octets = [], 0
    else:
        found.append(defects.BAD_UUENCODE)
    yield b"".join(kept)


def _uu_lines(start: bytes, pieces: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    """The lines that are not empty; of one that is too long its start."""
    data: bytes | None = start
    rest = b""
    while data is not None:
        following = next(pieces, None)
        data = rest + data
        lines = _UU_LINE.finditer(data)
        for line in lines:
            if line.end() == len(data) and following is not None:
                rest = line[0][:_LONGEST_UU_LINE]
                break
            if not budget.take(Work.STEPS):
                return
            yield line[0][:_LONGEST_UU_LINE]
        else:
            rest = b""
        data = following


def decoded_uu(line: bytes, budget: Budget, found: list[str]) -> bytes:
    """One line of uuencode; what can be read of a broken one."""
    if not line.strip(b"` \t"):
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        if not found or found[-1] != defects.BAD_UUENCODE:
            found.append(defects.BAD_UUENCODE)
    budget.take(Work.STEPS, _STEPS_OF_A_BROKEN_LINE)
    # Some encoders pad the last group with garbage: take as many characters as the length byte asks for.
    wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
    try:
        return binascii.a2b_uu(line[:wanted])
    except binascii.Error:
        return b""
