"""What is read at one go is what is read step by step: quick ways beside the slow ones that they stand for."""

from binascii import b2a_base64
from html import unescape
from typing import Final

from hypothesis import strategies as st

from app.mail.budget import Budget
from app.mail.fields.identification import message_id
from app.mail.fields.words import decoded
from app.mail.markup.attributes import unescaped
from app.mail.markup.html import first_words
from app.mail.mime import summarise
from app.mail.octets.decoding import printable, without_invisible
from app.mail.octets.flowed import unflowed
from app.mail.octets.headers import split_headers, split_usual
from app.mail.octets.scanner import Scanner
from app.mail.octets.transfer import begun_base64, decoded_pieces, decoded_whole, whole_base64
from tests.fuzz.laws import law

_PIECES_OF_HEADERS: Final = st.lists(
    st.sampled_from(
        [b"A: b", b"a-B.c: d", b"X:", b" folded", b"\tby a tab", b" ", b"\t \t", b"no header", b"--a", b"http://a",
         b": x", b"A \t: b", b"\xc3\xbc: x", b"B: \xc3\xbc", b"A: b\rc", b"From a", b"\x00", b"{\"a\": 1}",
         b"A: =?utf-8?q?a?="]
    ),
    max_size=6,
)  # fmt: skip
_RETURNED: Final = st.lists(
    st.one_of(
        _PIECES_OF_HEADERS,
        st.sampled_from(
            [[b"Message-ID: <a@b>"], [b"message-id:", b" <c@d>"], [b"MESSAGE-ID : x", b"\t<e", b"  f@g>"],
             [b"Message-Id: a\rb"], [b"Message-ID://x"], [b"X-Message-ID: <h@i>"], [b""],
             [b"Message-ID:", b" ", b" <j@k>", b"To: x"]]
        ),
    ),
    max_size=5,
).map(lambda groups: [line for group in groups for line in group])  # fmt: skip
_LINE_ENDS: Final = st.sampled_from([b"\n", b"\r\n", b"\r\n", b"\r\r\n"])
_FLOWING: Final = st.lists(
    st.sampled_from(["a", "word ", " ", ">", ">> ", "\n", " \n", "-- ", "\n-- \n", "\n\n", "\r", "x-- \n"]),
    max_size=14,
).map("".join)
_WORDS_THAT_FLOW: Final = st.lists(
    st.sampled_from(
        ["word ", "words of some length ", "and more", "\n", " \n", "\n\n", ">", "> ", "\n> ", "\n -- \n"]
    ),
    min_size=25,
    max_size=60,
).map("".join)
_REFERENCES: Final = st.lists(
    st.sampled_from(["&amp;", "&amp;", "&", "amp;", "&amp", "&lt;", "#38;", "&#38;", "a=1", ";", "&AMP;"]),
    max_size=8,
).map("".join)
_TAGS: Final = [
    "<p>",
    "</p>",
    "<b>x</b>",
    "<br>",
    "<td>",
    "<table>",
    "</table>",
    "<!-- x -->",
    "\u200b",
    "words of it",
]
_BLANKS: Final = ["and  more", "\n  \n", "\xa0", "\x85", "&nbsp;", '<i style="display:none">', "</i>"]
_PAGES: Final = st.sampled_from([_TAGS, _TAGS + _BLANKS]).flatmap(
    lambda pieces: st.lists(st.sampled_from(pieces), min_size=10, max_size=60).map("".join)
)
_VALUES: Final = st.lists(
    st.sampled_from(["a", "b c", " ", "\t", "\t\t", "\x0b", "\x00", "\x1b", "\x7f", "=?", "~"]), max_size=8
).map("".join)
_WORDS: Final = st.builds(
    lambda charset, encoding, content: b"=?%s?%s?%s?=" % (charset, encoding, b"".join(content)),
    st.sampled_from([b"utf-8", b"UTF-8", b"utf-8*de", b"us-ascii", b"iso-8859-1", b"iso-2022-jp", b"x"]),
    st.sampled_from([b"q", b"Q", b"b", b"B"]),
    st.lists(
        st.sampled_from([b"a", b"_", b"=", b"=41", b"=C3=A4", b"=E4", b"=0A", b"=E2=80=AE", b"YQ==", b"w6Q=", b"YWJj",
                         b"77u/", b"AAAA", b" ", b"?", b"\xc3\xa4"]),
        max_size=5,
    ),
)  # fmt: skip
_ENCODED: Final = st.lists(
    st.sampled_from(
        [b"=", b"=\r\n", b"=\n", b" ", b"\t", b"=41", b"==", b"a", b"\r", b"\n", b"=3D", b"YWJj", b"YQ==", b"\r\n",
         b"\n--\n", b"\n-- \nof a list\n", b"three words of", b"\xc3"]
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@law(_PIECES_OF_HEADERS, _LINE_ENDS, _LINE_ENDS, examples=600)
def test_usual_headers_are_split_as_all_are(lines: list[bytes], end: bytes, last_end: bytes) -> None:
    data = b"".join(line + end for line in lines[:-1]) + b"".join(line + last_end for line in lines[-1:])
    odd: list[str] = []
    usual = split_usual(data, Budget([]))
    if usual is not None:
        assert (usual, len(data)) == split_headers(data, Budget([]), odd)
        assert not odd


@law(_FLOWING, st.booleans(), examples=600)
def test_lines_flow_as_they_do_one_by_one(text: str, delsp: bool) -> None:
    assert unflowed(text, delsp=delsp) == _unflowed_line_by_line(text, delsp=delsp)


@law(_WORDS_THAT_FLOW, st.booleans(), examples=600)
def test_the_first_words_of_a_flowing_text_are_those_of_all_of_it(text: str, delsp: bool) -> None:
    kind = b"text/plain; format=flowed" + (b"; delsp=yes" if delsp else b"")
    letter = b"Subject: x\nContent-Type: " + kind + b"\n\n" + text.encode()
    words = " ".join(unflowed(text, delsp=delsp).split())
    assert summarise(letter).snippet == words[:200].rstrip()


@law(_REFERENCES, examples=300)
def test_references_are_resolved_together_as_one_by_one(text: str) -> None:
    assert unescaped(text) == unescape(text)


@law(_PAGES, st.integers(1, 120), examples=600)
def test_the_first_words_of_a_page_are_those_of_all_of_it(page: str, characters: int) -> None:
    first, every = (
        " ".join(without_invisible(first_words(page, Budget([]), characters=wanted)).split())[:characters]
        for wanted in (characters, len(page) + 1)
    )
    assert every.startswith(first)
    if not any(piece in page for piece in _BLANKS):  # which count as characters that are seen
        assert first == every


@law(_RETURNED, _LINE_ENDS, examples=900)
def test_the_id_of_a_returned_message_is_that_of_its_headers(lines: list[bytes], end: bytes) -> None:
    returned = b"".join(line + end for line in lines)
    parts = b"\n--zz\nContent-Type: message/delivery-status\n\n\n--zz\nContent-Type: message/rfc822\n\n%s\n--zz--\n"
    bounce = summarise(b"Content-Type: multipart/report; boundary=zz\n" + parts % returned).bounce
    headers = Scanner(returned.removesuffix(b"\r"), Budget([]), []).block()
    assert bounce
    assert bounce.original_message_id == message_id(headers.first("message-id"))


@law(_VALUES, examples=300)
def test_a_value_without_encoded_words_is_what_can_be_printed_of_it(value: str) -> None:
    if "=?" not in value and "\x1b" not in value:
        assert decoded(value.encode(), []) == printable(value)


@law(_WORDS, examples=600)
def test_an_encoded_word_alone_says_what_it_says_among_others(word: bytes) -> None:
    alone: list[str] = []
    among: list[str] = []
    assert decoded(word, alone) + " " == decoded(word + b" ", among)
    assert alone == among


@law(_ENCODED, st.sampled_from(["quoted-printable", "base64"]), st.integers(0, 20), examples=900)
def test_a_body_at_once_is_decoded_as_in_pieces(data: bytes, encoding: str, cut: int) -> None:
    at_once: list[str] = []
    in_pieces: list[str] = []
    pieces = decoded_pieces((data[:cut], data[cut:]), encoding, Budget(in_pieces), in_pieces)
    assert decoded_whole(data, encoding, Budget(at_once), at_once) == b"".join(pieces)
    assert at_once == in_pieces


@law(st.binary(max_size=90), st.integers(0, 140), st.sampled_from([b"\n", b"\r\n", b""]), examples=300)
def test_the_beginning_of_base64_says_what_all_of_it_begins_with(octets: bytes, cut: int, end: bytes) -> None:
    data = b2a_base64(octets[:45]).replace(b"\n", end) + b2a_base64(octets[45:])
    whole = whole_base64(data)
    if whole is not None:
        beginning = decoded_whole(data[:cut], "base64", Budget([]), [])
        assert begun_base64(whole, data[:cut]) == beginning


def _unflowed_line_by_line(text: str, *, delsp: bool) -> str:
    """RFC 3676 §4, as it says."""
    paragraphs: list[tuple[int, str]] = []
    is_open = False
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        goes_on = content.endswith(" ") and content != "-- "
        kept = content[:-1] if goes_on and delsp else content
        if is_open and paragraphs[-1][0] == depth and content != "-- ":
            paragraphs[-1] = depth, paragraphs[-1][1] + kept
        else:
            paragraphs.append((depth, kept))
        is_open = goes_on
    return "\n".join("> " * depth + content for depth, content in paragraphs)
