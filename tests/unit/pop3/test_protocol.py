"""The framing: whatever is sent, in whatever chunks, the same comes out; and never more is held than allowed."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.pop3.errors import InvalidArgument, LimitExceeded, Pop3Error, ProtocolError
from app.pop3.wire.protocol import Challenge, Data, Expect, Framer, NeedData, Status, command
from tests.fakes.pop3_server import as_sent, stuffed

# Contents made of what framing stumbles over: dots, line ends whole and halved, NUL, 8-bit.
awkward = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"\0", b"\xff", b"a", b"..", b".\r\n", b"xyz"])
).map(b"".join)
contents = st.one_of(awkward, st.binary(max_size=200))
pieces = st.integers(8, 40)


@dataclass(frozen=True)
class Reply:
    """What came out: a status, and the whole body of a multi-line reply."""

    ok: bool
    text: str
    body: bytes | None


def replies(framer: Framer, chunks: Iterable[bytes], kinds: Iterable[Expect]) -> list[Reply]:
    """Feed the chunks and gather the replies, taking events as soon as there are some."""
    asked = list(kinds)
    for kind in asked:
        framer.expect(kind)
    found: list[Reply] = []
    status: Status | None = None
    parts: list[bytes] = []
    for chunk in chunks:
        framer.receive(chunk)
        while not isinstance(event := framer.next_event(), NeedData):
            if isinstance(event, Status):
                kind = asked[len(found)]
                if kind is Expect.STATUS or not event.ok:
                    found.append(Reply(event.ok, event.text, None))
                else:
                    status, parts = event, []
            else:
                assert isinstance(event, Data)
                parts.append(event.octets)
                if event.is_last:
                    assert status is not None
                    found.append(Reply(True, status.text, b"".join(parts)))
            if len(found) == len(asked):
                break
    return found


def cut(octets: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """The octets in chunks that end at these places."""
    before = 0
    for place in sorted({place % (len(octets) + 1) for place in places} | {len(octets)}):
        yield octets[before:place]
        before = place


def retrieved(wire: bytes, chunks: Iterable[bytes] | None = None, *, piece_octets: int = 8) -> bytes:
    """The body of one multi-line reply."""
    framer = Framer(piece_octets=piece_octets)
    found = replies(framer, chunks or [wire], [Expect.MULTILINE])
    assert len(found) == 1, "the end was not found"
    assert framer.is_between_replies
    assert found[0].body is not None
    return found[0].body


@given(contents, st.lists(st.integers(0, 500)), pieces)
@example(b"", [], 8)
@example(b".", [], 8)
@example(b".\r\n.\r\n", [], 8)
@example(b"\n.\n", [], 8)
@example(b"\r\r\n.\r\r\n", [], 8)
def test_law_stuffing_and_back_gives_the_octets_that_were_sent(
    content: bytes, places: list[int], piece_octets: int
) -> None:
    wire = b"+OK\r\n" + stuffed(content)
    assert retrieved(wire, cut(wire, places), piece_octets=piece_octets) == as_sent(content)


@given(
    st.lists(st.tuples(st.booleans(), contents), min_size=1, max_size=6),
    st.lists(st.integers(0, 2000)),
    pieces,
)
def test_law_any_chunking_gives_the_same_replies(
    answers: list[tuple[bool, bytes]], places: list[int], piece_octets: int
) -> None:
    wire = b"".join(b"+OK text\r\n" + stuffed(body) if ok else b"-ERR no\r\n" for ok, body in answers)
    kinds = [Expect.MULTILINE] * len(answers)
    whole = replies(Framer(), [wire], kinds)
    assert [reply.body for reply in whole] == [as_sent(body) if ok else None for ok, body in answers]
    assert replies(Framer(piece_octets=piece_octets), cut(wire, places), kinds) == whole
    assert replies(Framer(piece_octets=piece_octets), (bytes([octet]) for octet in wire), kinds) == whole


@given(contents.map(lambda content: content.replace(b"\r", b"")), st.lists(st.integers(0, 500)), pieces)
def test_law_a_server_that_frames_with_bare_line_feeds_throughout_is_understood(
    content: bytes, places: list[int], piece_octets: int
) -> None:
    wire = b"+OK\n" + stuffed(content, b"\n")
    sent = content if not content or content.endswith(b"\n") else content + b"\n"
    assert retrieved(wire, cut(wire, places), piece_octets=piece_octets) == sent


@given(st.binary(max_size=300), st.lists(st.sampled_from(Expect), max_size=4), st.lists(st.integers(0, 300)))
def test_law_no_input_raises_anything_but_our_own_errors(
    wire: bytes, kinds: list[Expect], places: list[int]
) -> None:
    framer = Framer(line_octets=20, piece_octets=8)
    with contextlib.suppress(ProtocolError, LimitExceeded):
        replies(framer, cut(wire, places), kinds)


@given(
    st.sampled_from([b"+OK\r\n", b"+OK ", b"-ERR "]),
    st.lists(st.binary(min_size=1, max_size=30), max_size=60),
)
def test_law_no_more_is_held_than_the_limits_allow(start: bytes, chunks: list[bytes]) -> None:
    framer = Framer(line_octets=40, piece_octets=16)
    framer.expect(Expect.MULTILINE)
    largest = max([len(start), *map(len, chunks)])
    for chunk in [start, *chunks]:
        framer.receive(chunk)
        try:
            while not isinstance(framer.next_event(), NeedData):
                pass
        except Pop3Error:
            return
        assert framer.leftover <= 40
        assert framer.held_octets <= 64 * 1024 + 2 * (40 + largest)


@pytest.mark.parametrize("place", range(1, 60))
def test_a_long_body_is_right_wherever_it_is_cut(place: int) -> None:
    content = b"first\r\n.dot\r\n..two\r\nno end" + b"y" * 20 + b"\r\r\n\n.\r\r\nlast"
    wire = b"+OK 70 octets\r\n" + stuffed(content)
    for piece_octets in (8, 9, 13, 21):
        chunks = [wire[:place], wire[place:]]
        assert retrieved(wire, chunks, piece_octets=piece_octets) == as_sent(content)


def test_a_body_larger_than_a_piece_comes_in_pieces_that_can_be_spooled() -> None:
    content = b"".join(b"%06d line of a large message\r\n" % number for number in range(40_000))
    framer = Framer()
    framer.expect(Expect.MULTILINE)
    wire = b"+OK\r\n" + stuffed(content)
    sizes: list[int] = []
    for start in range(0, len(wire), 100_000):
        framer.receive(wire[start : start + 100_000])
        while not isinstance(event := framer.next_event(), NeedData):
            if isinstance(event, Data):
                sizes.append(len(event.octets))
    assert sum(sizes) == len(content)
    assert len(sizes) > 4
    assert max(sizes) <= 256 * 1024 + 2


def test_a_line_without_any_end_comes_in_pieces_too() -> None:
    content = b"x" * 1_000
    wire = b"+OK\r\n" + stuffed(content)
    assert retrieved(wire, (bytes([octet]) for octet in wire), piece_octets=16) == content + b"\r\n"


@pytest.mark.parametrize("wire", [b"+OK\r\nabc\n.\n\r\n.\r\n", b"+OK x\r\na\n.\r.\r\nb\r\n.\r\n"])
def test_only_crlf_ends_a_line_once_a_server_has_sent_one(wire: bytes) -> None:
    assert retrieved(wire) == wire.split(b"\r\n", 1)[1].removesuffix(b".\r\n")


def test_a_stray_line_feed_does_not_change_how_bodies_are_read() -> None:
    framer = Framer()
    wire = b"+OK greeting\r\n+OK with a bare end\nbody\n.\nstill body\r\n.\r\n"
    found = replies(framer, [wire], [Expect.STATUS, Expect.MULTILINE])
    assert found[1].body == b"body\n.\nstill body\r\n"


def test_a_wrapper_that_greets_with_a_bare_line_feed_does_not_either() -> None:
    wire = b"+OK greeting of a wrapper\n+OK\r\na\n.\nb\r\n.\r\n"
    assert replies(Framer(), [wire], [Expect.STATUS, Expect.MULTILINE])[1].body == b"a\n.\nb\r\n"


@pytest.mark.parametrize("line", [b"+OK", b"+ok", b"+Ok ", b"+OK fine", b"-ERR", b"-err no", b"-Err  no "])
def test_a_status_line_may_be_written_in_any_case(line: bytes) -> None:
    found = replies(Framer(), [line + b"\r\n"], [Expect.STATUS])
    assert found == [Reply(line[:1] == b"+", line[4:].strip().decode(), None)]


@pytest.mark.parametrize(
    "line", [b"220 smtp.example.org ESMTP", b"* OK imap", b"SSH-2.0-x", b"HTTP/1.1 400", b"\0"]
)
def test_what_is_not_pop3_is_a_protocol_error_with_its_words(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        replies(Framer(), [line + b"\r\n"], [Expect.STATUS])
    assert caught.value.reply == line.decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def test_a_few_empty_lines_where_a_status_is_due_are_nothing() -> None:
    wire = b"\r\n\r\n+OK\r\n\r\n\r\n+OK two\r\n"
    assert [reply.text for reply in replies(Framer(), [wire], [Expect.STATUS, Expect.STATUS])] == ["", "two"]
    with pytest.raises(ProtocolError):
        replies(Framer(), [b"\r\n" * 5 + b"x\r\n" * 6], [Expect.STATUS])


def test_a_few_lines_of_a_wrapper_before_the_greeting_are_nothing_and_later_they_are() -> None:
    banner = b"Warning: cannot write to the log\r\n"
    framer = Framer()
    assert replies(framer, [banner * 2 + b"+OK\r\n"], [Expect.STATUS])[0].ok
    assert framer.banner == "Warning: cannot write to the log"
    with pytest.raises(ProtocolError):
        replies(framer, [banner + b"+OK\r\n"], [Expect.STATUS])
    with pytest.raises(ProtocolError):
        replies(Framer(), [banner * 6], [Expect.STATUS])


@pytest.mark.parametrize("banner", [b"\tWarning", "Überlastet".encode()])
def test_a_wrapper_s_words_are_nothing_in_whatever_parts_they_come(banner: bytes) -> None:
    wire = banner + b"\r\n+OK\r\n"
    for chunks in ([wire], [bytes([octet]) for octet in wire]):
        framer = Framer()
        assert replies(framer, chunks, [Expect.STATUS])[0].ok
        assert framer.banner == banner.decode().strip()


def test_binary_is_seen_to_be_no_pop3_without_waiting_for_a_line_end() -> None:
    framer = Framer()
    framer.expect(Expect.STATUS)
    framer.receive(b"\x15\x03\x01\x00\x02\x02\x46")
    with pytest.raises(ProtocolError):
        framer.next_event()


def test_other_words_are_waited_for_so_that_they_can_be_told_whole() -> None:
    framer = Framer()
    framer.expect(Expect.STATUS)
    framer.receive(b"220 smtp.")
    assert isinstance(framer.next_event(), NeedData)
    framer.receive(b"example.org\r\n")
    with pytest.raises(ProtocolError) as caught:
        framer.next_event()
    assert caught.value.reply == "220 smtp.example.org"


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_status_line_that_is_too_long_is_refused_complete_or_not(end: bytes) -> None:
    framer = Framer(line_octets=100)
    framer.expect(Expect.STATUS)
    framer.receive(b"+OK " + b"x" * 200 + end)
    with pytest.raises(LimitExceeded):
        framer.next_event()


def test_a_longer_status_line_than_rfc_2449_allows_is_accepted() -> None:
    assert replies(Framer(), [b"+OK " + b"x" * 3000 + b"\r\n"], [Expect.STATUS])[0].text == "x" * 3000


def test_words_that_nobody_asked_for_are_a_protocol_error() -> None:
    framer = Framer()
    framer.receive(b"-ERR idle for too long\r\n")
    with pytest.raises(ProtocolError) as caught:
        framer.next_event()
    assert caught.value.reply == "-ERR idle for too long"


def test_status_texts_of_any_octets_can_be_stored() -> None:
    text = replies(Framer(), [b"-ERR ung\xfcltig\x00 \xc3\xa9\r\n"], [Expect.STATUS])[0].text
    assert text == "ungültig\N{REPLACEMENT CHARACTER} é"


@pytest.mark.parametrize("wire", [b"", b"+OK\r\nbody", b"+OK\r\n.\r\n+", b"+OK\r\nx\r\n."])
def test_something_owed_or_something_over_is_not_between_replies(wire: bytes) -> None:
    framer = Framer()
    replies(framer, [wire], [Expect.MULTILINE])
    assert not framer.is_between_replies


def test_between_replies_means_that_nothing_is_owed_and_nothing_is_over() -> None:
    framer = Framer()
    replies(framer, [b"+OK\r\nbody\r\n.\r\n-ERR\r\n"], [Expect.MULTILINE, Expect.MULTILINE])
    assert framer.is_between_replies


@pytest.mark.parametrize("argument", ["a\rDELE 1", "a\nDELE 1", "a\r\nDELE 1", "a\0"])
def test_an_argument_with_a_line_end_or_nul_never_reaches_the_wire(argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        command("PASS", argument)
    assert argument not in str(caught.value)


def test_a_command_is_at_most_255_octets_long() -> None:
    assert len(command("PASS", "x" * 248)) == 255
    with pytest.raises(InvalidArgument):
        command("PASS", "x" * 249)
    with pytest.raises(InvalidArgument):
        command("PASS", "é" * 125)


def test_arguments_are_sent_as_utf_8_with_their_spaces() -> None:
    assert command("PASS", " zwei  Wörter ") == b"PASS  zwei  W\xc3\xb6rter \r\n"


def test_what_cannot_be_encoded_is_refused_too() -> None:
    with pytest.raises(InvalidArgument):
        command("USER", "\udc80")


@pytest.mark.parametrize(("line", "base64"), [(b"+ Zm9v", b"Zm9v"), (b"+ ", b""), (b"+", b"")])
@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_a_challenge_is_one_where_it_is_due_and_nonsense_elsewhere(
    line: bytes, base64: bytes, eol: bytes
) -> None:
    framer = Framer()
    framer.expect(Expect.CHALLENGE)
    framer.receive(line + eol)
    assert framer.next_event() == Challenge(base64)
    framer.expect(Expect.CHALLENGE)
    framer.receive(b"+OK in" + eol)
    assert framer.next_event() == Status(True, "in")
    for kind in (Expect.STATUS, Expect.MULTILINE):
        framer.expect(kind)
        framer.receive(line + eol)
        with pytest.raises(ProtocolError):
            framer.next_event()
        framer = Framer()
