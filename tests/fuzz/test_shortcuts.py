"""What is read at one go is what is read step by step: quick ways beside the slow ones that they stand for."""

from typing import Final

from hypothesis import strategies as st

from app.mail.budget import Budget
from app.mail.fields.words import decoded
from app.mail.octets.decoding import printable
from app.mail.octets.flowed import unflowed
from app.mail.octets.headers import split_headers, split_usual
from tests.fuzz.laws import law

_PIECES_OF_HEADERS: Final = st.lists(
    st.sampled_from(
        [b"A: b", b"a-B.c: d", b"X:", b" folded", b"\tby a tab", b" ", b"\t \t", b"no header", b"--a", b"http://a",
         b": x", b"A \t: b", b"\xc3\xbc: x", b"B: \xc3\xbc", b"A: b\rc", b"From a", b"\x00", b"{\"a\": 1}",
         b"A: =?utf-8?q?a?="]
    ),
    max_size=6,
)  # fmt: skip
_LINE_ENDS: Final = st.sampled_from([b"\n", b"\r\n", b"\r\n", b"\r\r\n"])
_FLOWING: Final = st.lists(
    st.sampled_from(["a", "word ", " ", ">", ">> ", "\n", " \n", "-- ", "\n-- \n", "\n\n", "\r", "x-- \n"]),
    max_size=14,
).map("".join)
_VALUES: Final = st.lists(
    st.sampled_from(["a", "b c", " ", "\t", "\t\t", "\x0b", "\x00", "\x1b", "\x7f", "=?", "~"]), max_size=8
).map("".join)


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


@law(_VALUES, examples=300)
def test_a_value_without_encoded_words_is_what_can_be_printed_of_it(value: str) -> None:
    if "=?" not in value and "\x1b" not in value:
        assert decoded(value.encode(), []) == printable(value)


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
