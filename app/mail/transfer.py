"""PURE  Transfer encodings undone piece by piece (RFC 2045 §6): what is held does not grow with the body.

Pieces may be cut anywhere: the same octets come out. What stands between two pieces is carried over from one to the
other: a group of base64, a line of uuencode, what follows an ``=``.
"""

import binascii
import re
from collections.abc import Iterable, Iterator

from app.mail import defects
from app.mail.budget import Budget, Work

PIECE_OCTETS = 256 * 1024

_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64_ALPHABET))
_WHITESPACE = b" \t\r\n\f\v"
_RUN = re.compile(b"[^=]+")
_AS_IT_IS = frozenset({"", "7bit", "8bit", "binary", "7-bit", "8-bit"})
_UU = frozenset({"x-uuencode", "uuencode", "x-uue", "uue"})
_UU_BEGIN = re.compile(rb"^begin[ \t]+[0-7]{3,4}[ \t][^\n]*\n", re.MULTILINE)
_UU_BEGINS_WITHIN = 64 * 1024  # octets
_UU_LINE = re.compile(rb"[^\r\n]+")
_STEPS_OF_A_BROKEN_LINE = 7
_LONGEST_UU_LINE = 128  # a length, 84 characters for 63 octets, and what some encoders write behind them
# What binascii takes for one thing; what may go on in the next piece matches no further.
_QP_WHOLE = re.compile(
    rb"(?:[^=]++|==|=\n|=\r[^\n]*+\n|=[0-9A-Fa-f]{2}|=[0-9A-Fa-f](?=[^0-9A-Fa-f])|=(?=[^=\r\n0-9A-Fa-f]))*+"
)


def decoded_pieces(
    pieces: Iterable[bytes], encoding: str, budget: Budget, found: list[str]
) -> Iterator[bytes]:
    """Undo a Content-Transfer-Encoding; ``encoding`` in lower case. The pieces are at most 256 KiB long, if those that
    come are. Never raises."""
    if encoding == "base64":
        return _base64(pieces, budget, found)
    if encoding == "quoted-printable":
        return _quoted_printable(pieces)
    if encoding in _UU:
        return _uuencoded(pieces, budget, found)
    if encoding not in _AS_IT_IS:
        found.append(defects.UNKNOWN_ENCODING)
    return iter(pieces)


def decoded_base64(data: bytes, found: list[str]) -> bytes:
    """Base64 of a short text: an encoded word."""
    core = data.translate(None, _NOT_BASE64)
    if len(core) % 4 or len(core) != len(data.translate(None, _WHITESPACE)):
        found.append(defects.BAD_BASE64)
    return b"".join(map(_decoded_run, _RUN.findall(core)))


def _base64(pieces: Iterable[bytes], budget: Budget, found: list[str]) -> Iterator[bytes]:
    """Whatever is in between left out, padding missing or in the middle (blocks that were joined)."""
    rest = b""
    octets = 0
    is_damaged = False
    for piece in pieces:
        solid = rest + piece.translate(None, _WHITESPACE)
        whole = len(solid) & ~3
        decoded = _strict(solid, whole)
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


def _quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece
        line = data.rfind(b"\n") + 1
        whole = _QP_WHOLE.match(data, line)
        end = whole.end() if whole else line
        yield binascii.a2b_qp(data[:end])
        rest = data[end:]
        if rest.startswith(b"=\r"):  # binascii leaves out what follows, up to the line's end
            rest = b"=\r"
    yield binascii.a2b_qp(rest)


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
        if decoded := _decoded_uu(line, budget, found):
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


def _decoded_uu(line: bytes, budget: Budget, found: list[str]) -> bytes:
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
