"""PURE  The tree of parts of a message (RFC 2046), as ranges of its octets: nothing is copied, nothing recurses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.mail import defects
from app.mail.decoding import decoded_transfer
from app.mail.headers import Block, decoded, main_value, parameter, read_block, text_parameter

MAX_DEPTH = 50
MAX_PARTS = 1_000
MAX_FILENAME = 180  # characters; file systems stop at 255 octets
_LONGEST_ENDING = 20
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}\Z")
_AFTER_MARK = re.compile(rb"(--)?[ \t]*+\r?(?:\n|\Z)")
_ENCODING = re.compile(r"[\w-]+")
_CONTENT_ID = re.compile(r"<([^<>]*+)>")
# U+202A to U+202E and U+2066 to U+2069 turn the reading direction, so that gpj.exe reads exe.jpg.
_NOT_IN_FILENAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers, where its body lies in the raw message, and where it stands in the tree.

    ``parent`` is the multipart subtype around it ("" at the root), ``place`` its number in there, ``alternative``
    the start of the innermost multipart/alternative around it, or -1.
    """

    raw: bytes
    block: Block
    end: int
    content_type: str
    parent: str
    place: int
    alternative: int

    @property
    def disposition(self) -> str:
        """``attachment``, ``inline``, anything else, or ""."""
        return main_value(self.block.first("content-disposition"))

    @property
    def content_id(self) -> str | None:
        """Without its angle brackets, as ``cid:`` links name it (RFC 2392)."""
        text = decoded(self.block.first("content-id"), [])
        match = _CONTENT_ID.search(text)
        return (match[1] if match else text).strip()[:998] or None

    @property
    def charset(self) -> str:
        """As the sender wrote it, or ""."""
        return (parameter(self.block.first("content-type"), b"charset") or b"").decode("latin-1")

    def filename(self, found: list[str]) -> str | None:
        """A name that is safe to save under: no folders, no control characters, not too long; or None."""
        name = text_parameter(self.block.first("content-disposition"), b"filename", found)
        if name is None:
            name = text_parameter(self.block.first("content-type"), b"name", found)
        return None if name is None else _safe_filename(name)

    def content(self, found: list[str], *, at_most: int | None = None) -> bytes:
        """The decoded body; with ``at_most``, of only so many octets of the encoded one."""
        end = self.end if at_most is None else min(self.end, self.block.body_start + at_most)
        data = self.raw[self.block.body_start : end]
        value = self.block.first("content-transfer-encoding")
        name = _ENCODING.search(main_value(value)) if value else None
        return decoded_transfer(data, name[0] if name else "", found)


def _safe_filename(name: str) -> str | None:
    name = _NOT_IN_FILENAMES.sub("", name.replace("\\", "/").rpartition("/")[2]).strip(" .\"'")
    if len(name) > MAX_FILENAME:
        stem, dot, ending = name.rpartition(".")
        if not dot or len(ending) > _LONGEST_ENDING:
            return name[:MAX_FILENAME]
        name = stem[: MAX_FILENAME - len(ending) - 1] + dot + ending
    return name or None


def leaves(raw: bytes, block: Block, end: int, found: list[str]) -> Iterator[Part]:
    """The parts that are no multiparts, in order, found as they are asked for. Messages in parts stay closed."""
    root = _part(raw, block, end, parent="", place=0, alternative=-1, found=found)
    stack: list[Iterator[Part]] = [iter((root,))]
    seen = 0
    while stack:
        part = next(stack[-1], None)
        if part is None:
            stack.pop()
            continue
        seen += 1
        if seen > MAX_PARTS:
            found.append(defects.TOO_MANY_PARTS)
            return
        children = _children(part, found) if part.content_type.startswith("multipart/") else None
        if children is None:
            yield part
        elif len(stack) > MAX_DEPTH:
            found.append(defects.TOO_DEEP)
            yield part
        else:
            stack.append(children)


def _part(
    raw: bytes, block: Block, end: int, *, parent: str, place: int, alternative: int, found: list[str]
) -> Part:
    content_type = main_value(block.first("content-type"))
    boundary_is_missing = False
    if content_type.startswith("multipart/"):
        mark = _mark(block)
        boundary_is_missing = mark is None or _next_mark(raw, mark, block.body_start, end)[0] < 0
    if not content_type:  # RFC 2046 §5.1.5: in a digest, what says nothing is a message
        content_type = "message/rfc822" if parent == "digest" else "text/plain"
    elif boundary_is_missing:
        found.append(defects.NO_BOUNDARY)
        content_type = "text/plain"
    elif not _MEDIA_TYPE.match(content_type):
        found.append(defects.BAD_CONTENT_TYPE)
        content_type = "text/plain"  # RFC 2045 §5.2
    return Part(raw, block, end, content_type, parent, place, alternative)


def _mark(block: Block) -> bytes | None:
    boundary = (parameter(block.first("content-type"), b"boundary") or b"").rstrip()
    return b"--" + boundary if boundary else None


def _children(multipart: Part, found: list[str]) -> Iterator[Part]:
    raw, end, subtype = multipart.raw, multipart.end, multipart.content_type[10:]
    mark = _mark(multipart.block) or b""
    alternative = multipart.block.body_start if subtype == "alternative" else multipart.alternative
    start, after, is_last = _next_mark(raw, mark, multipart.block.body_start, end)
    place = 0
    while start >= 0 and not is_last:
        part_start = after
        start, after, is_last = _next_mark(raw, mark, part_start, end)
        part_end = end if start < 0 else _before_line_end(raw, part_start, start)
        block = read_block(raw, part_start, part_end, found)
        yield _part(raw, block, part_end, parent=subtype, place=place, alternative=alternative, found=found)
        place += 1
    if start < 0:
        found.append(defects.NOT_CLOSED)


def _next_mark(raw: bytes, mark: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """Where the next delimiter line begins (-1: nowhere) and ends, and whether it closes the multipart."""
    at = start if raw.startswith(mark, start, end) else raw.find(b"\n" + mark, start, end) + 1 or -1
    while at >= 0:
        line = _AFTER_MARK.match(raw, at + len(mark), end)
        if line:
            return at, line.end(), line[1] is not None
        at = raw.find(b"\n" + mark, at, end) + 1 or -1
    return -1, end, False


def _before_line_end(raw: bytes, start: int, mark: int) -> int:
    """The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1)."""
    if raw.startswith(b"\r\n", mark - 2) and mark - 2 >= start:
        return mark - 2
    return max(mark - 1, start)
