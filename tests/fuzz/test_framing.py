"""The framing against a model of it that reads line by line, on any octets in any chunks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from hypothesis import strategies as st

from app.pop3.errors import LimitExceeded, ProtocolError
from app.pop3.wire.inbox import Inbox
from app.pop3.wire.protocol import Data, Expect, Framer, NeedData, Status
from app.pop3.words.refusals import Meaning, meaning_of
from tests.fuzz.laws import law, mutations
from tests.fuzz.work import assert_linear
from tests.transcripts.test_transcripts import FILES, read

LINE, PIECE, MOST_BLANK, MOST_BANNER = 64, 24, 4, 5
OTHERS = {Meaning.SMTP, Meaning.IMAP, Meaning.HTTP, Meaning.SSH}
KINDS = (Expect.STATUS, Expect.MULTILINE, Expect.MULTILINE, Expect.STATUS, *[Expect.MULTILINE] * 6)


@dataclass(frozen=True)
class Heard:
    """What came out: whole replies, what there was of a last one that had begun, and whether it ended in an error."""

    replies: tuple[tuple[bool, str, bytes | None], ...]
    begun: bytes
    failed: bool


def modelled(wire: bytes, kinds: Iterable[Expect], line_octets: int) -> Heard:
    """RFC 1939 §3 as plainly as it can be said, on all that came at once.

    Where a status is due a few empty lines are nothing, nor are a few lines of words before the greeting.
    """
    asked, eol, at, blank, banner = list(kinds), b"\n", 0, MOST_BLANK, MOST_BANNER
    replies: list[tuple[bool, str, bytes | None]] = []
    while True:
        while blank and (empty := 2 * wire.startswith(b"\r\n", at) or wire.startswith(b"\n", at)):
            at, blank = at + empty, blank - 1
        line, end, _ = wire[at:].partition(b"\n")
        if len(line) > line_octets:
            return Heard(tuple(replies), b"", True)
        if not end:
            head = line[:4].rstrip(b"\r")
            is_binary = any(not 0x20 <= octet <= 0x7E for octet in head)
            may_go_on = is_status(head) or (banner and are_words(head))
            return Heard(tuple(replies), b"", is_binary and not may_go_on)
        is_banner = banner > 0 and are_words(line) and meaning_of(line.decode(errors="replace")) not in OTHERS
        if not (is_banner or is_status(line)) or len(replies) == len(asked):
            return Heard(tuple(replies), b"", True)
        eol = b"\r\n" if line.endswith(b"\r") else eol
        at += len(line) + 1
        if is_banner:
            banner -= 1
            continue
        blank, banner = MOST_BLANK, 0
        ok = line.startswith(b"+")
        text = words_of(line[3 if ok else 4 :]).replace("\0", "\ufffd").strip()
        if asked[len(replies)] is Expect.STATUS or not ok:
            replies.append((ok, text, None))
            continue
        lines = wire[at:].split(eol)
        if b"." not in lines[:-1]:
            return Heard(tuple(replies), eol.join(map(unstuffed, lines)), False)
        body = lines[: lines.index(b".")]
        at += sum(len(line) + len(eol) for line in [*body, b"."])
        replies.append((True, text, b"".join(unstuffed(line) + eol for line in body)))


def words_of(octets: bytes) -> str:
    """UTF-8, and each octet that is none as Latin-1."""
    text = octets.decode("utf-8", "surrogateescape")
    return "".join(chr(ord(one) - 0xDC00) if "\udc80" <= one <= "\udcff" else one for one in text)


def is_status(line: bytes) -> bool:
    return line[:3].upper() == b"+OK" or line[:4].upper() == b"-ERR"


def are_words(line: bytes) -> bool:
    """No beginning of a status, and nothing binary: a tab and other alphabets are none."""
    text = line.rstrip(b"\r")
    return not text.startswith((b"+", b"-")) and not set(text) & (set(range(0x20)) - set(b"\t"))


def unstuffed(line: bytes) -> bytes:
    return line[1:] if line.startswith(b".") else line


def heard(
    chunks: Iterable[bytes],
    kinds: Iterable[Expect],
    *,
    line: int = LINE,
    piece: int = PIECE,
    into_room: bool = False,
) -> Heard:
    """What the framer makes of chunks; that it holds no more than it may is checked behind each."""
    inbox = Inbox()
    framer = Framer(inbox, line_octets=line, piece_octets=piece)
    for kind in kinds:
        framer.expect(kind)
    replies: list[tuple[bool, str, bytes | None]] = []
    asked, text, parts, largest = list(kinds), "", None, 0
    try:
        for chunk in chunks:
            largest = max(largest, len(chunk))
            write(inbox, chunk) if into_room else framer.receive(chunk)
            while not isinstance(event := framer.next_event(), NeedData):
                if isinstance(event, Status):
                    is_whole = not event.ok or asked[len(replies)] is Expect.STATUS
                    text, parts = event.text, None if is_whole else b""
                    if is_whole:
                        replies.append((event.ok, text, None))
                    continue
                assert isinstance(event, Data)
                assert parts is not None
                assert len(event.octets) <= piece + len(b"\r\n")
                parts += event.octets
                if event.is_last:
                    replies.append((True, text, parts))
                    parts = None
            assert framer.leftover <= max(line, piece)
            assert framer.held_octets <= 64 * 1024 + 2 * (max(line, piece) + largest)
    except (ProtocolError, LimitExceeded):
        return Heard(tuple(replies), parts or b"", True)
    return Heard(tuple(replies), parts or b"", False)


def write(inbox: Inbox, chunk: bytes) -> None:
    """As the connection does: into room that is larger than what comes."""
    with inbox.room(max(1, len(chunk))) as room:
        room[: len(chunk)] = chunk
    inbox.grew(len(chunk))


def assert_as_modelled(
    wire: bytes, chunks: Iterable[bytes], kinds: Iterable[Expect], piece: int = PIECE
) -> Heard:
    asked = tuple(kinds)
    found, model = (
        heard(chunks, asked, piece=piece, into_room=len(wire) % 2 == 0),
        modelled(wire, asked, LINE),
    )
    assert found.replies == model.replies
    assert found.failed is model.failed
    assert model.begun.startswith(found.begun)
    return found


def cut(wire: bytes, places: Iterable[int]) -> list[bytes]:
    """The octets in chunks that end at these places."""
    ends = sorted({0, len(wire), *(place % (len(wire) + 1) for place in places)})
    return [wire[start:end] for start, end in pairwise(ends)]


_FRAGMENTS = st.sampled_from(
    [b"+OK", b"+ok x", b"-ERR", b"-err [IN-USE]", b"\r\n", b"\n", b"\r", b".", b"..", b".\r\n", b"\r\n.\r\n", b"\n.\n",
     b"+OK\r\n", b"+OK\n", b"-ERR\r\n", b"\0", b"\xff", b"x" * 23, b"x" * 24, b"y" * 65, b" ", b"a",
     b"\t", b"\xc3\xa9", b"\x7f", b"220 ESMTP\r\n", b"* OK\r\n", b"HTTP/1.1 400\r\n", b"SSH-2.0-x\r\n"]
)  # fmt: skip
_RUNS = st.builds(
    lambda length, end: b"x" * length + end, st.integers(1, 30), st.sampled_from([b"\r\n.y", b"\r\n..", b""])
)
_WIRES = st.lists(_FRAGMENTS | _RUNS | st.binary(max_size=4), max_size=40).map(b"".join)
_PLACES = st.lists(st.integers(0, 2_000), max_size=12)


@law(st.sampled_from([b"", b"+OK\r\n", b"+OK\n"]), _WIRES, _PLACES, st.integers(8, 40), examples=300)
def test_any_octets_in_any_chunks_are_what_the_model_says(
    start: bytes, wire: bytes, places: list[int], piece: int
) -> None:
    wire = start + wire
    kinds = KINDS[1:] if start else KINDS
    assert_as_modelled(wire, [wire], kinds, piece)
    assert_as_modelled(wire, cut(wire, places), kinds, piece)
    assert_as_modelled(wire, [bytes([octet]) for octet in wire], kinds, piece)


def what_servers_said() -> list[bytes]:
    """All that the server says in each transcript."""
    said = [b"".join(octets for who, octets in read(path, port=0).steps if who == "server") for path in FILES]
    return [octets[:4_000] for octets in said]


@mutations(what_servers_said, examples=1_500)
def test_mutants_of_real_dialogues_are_what_the_model_says(wire: bytes) -> object:
    chance = Random(wire)
    kinds = [chance.choice(KINDS) for _ in range(40)]
    whole = assert_as_modelled(wire, [wire], kinds)
    assert_as_modelled(wire, cut(wire, [chance.randrange(5_000) for _ in range(8)]), kinds)
    return whole.failed, tuple(body is None for _, _, body in whole.replies)


@law(
    st.sampled_from([b"+OK\r\n", b"+OK\n", b"+OK ", b"-ERR "]),
    st.lists(_FRAGMENTS | st.binary(min_size=1, max_size=2), min_size=1, max_size=4).map(b"".join),
    st.sampled_from([1, 7, 1_000]),
    examples=40,
)
def test_the_work_grows_with_what_comes_whatever_the_chunks(start: bytes, unit: bytes, chunk: int) -> None:
    def work(size: int) -> Callable[[], object]:
        wire = start + unit * (size // len(unit))
        chunks = [wire[at : at + chunk] for at in range(0, len(wire), chunk)]
        return lambda: fed(chunks)

    assert_linear(work, 2_000 * min(chunk, 10))


def fed(chunks: list[bytes]) -> None:
    """Through a framer with the limits of real life."""
    framer = Framer(line_octets=8_192)
    framer.expect(Expect.MULTILINE)
    try:
        for chunk in chunks:
            framer.receive(chunk)
            while not isinstance(framer.next_event(), NeedData):
                pass
    except (ProtocolError, LimitExceeded):
        return


@law(
    st.sampled_from([b"+OK\r\n", b"+OK\n"]),
    st.lists(_FRAGMENTS | _RUNS, min_size=1, max_size=6).map(b"".join),
    st.integers(1, 5_000),
    st.integers(100, 5_000),
    examples=12,
)
def test_much_more_than_is_held_at_once_is_what_the_model_says(
    start: bytes, unit: bytes, chunk: int, piece: int
) -> None:
    wire = start + unit * (200_000 // len(unit)) + b"\n.\n\r\n.\r\n"
    chunks = [wire[at : at + chunk] for at in range(0, len(wire), chunk)]
    assert_as_modelled(wire, chunks, [Expect.MULTILINE], piece)


def test_the_seeds_are_there() -> None:
    assert len(what_servers_said()) > 20
