"""Transfer encodings undone in pieces: cut anywhere, the same octets come out."""

import base64
import binascii
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail.budget import Budget
from app.mail.transfer import decoded_pieces

_SIZES = st.integers(1, 30)
_LINES = st.sampled_from(
    [b"=", b"==", b"=\n", b"=\r\n", b"=\r", b"\r", b"\n", b"=4", b"=41", b"=4G", b"=g", b"A", b" ", b"\xff", b"=\rx"]
)  # fmt: skip


def undone(data: bytes, encoding: str, size: int, found: list[str] | None = None) -> bytes:
    def pieces() -> Iterator[bytes]:
        return (data[at : at + size] for at in range(0, len(data), size))

    found = [] if found is None else found
    return b"".join(decoded_pieces(pieces(), encoding, Budget(found), found))


@settings(deadline=None)
@given(st.lists(_LINES | st.binary(max_size=3), max_size=60).map(b"".join), _SIZES)
def test_quoted_printable_in_pieces_is_what_binascii_makes_of_it_whole(data: bytes, size: int) -> None:
    assert undone(data, "quoted-printable", size) == binascii.a2b_qp(data)


@settings(deadline=None)
@given(st.binary(max_size=300), _SIZES)
def test_base64_in_pieces_is_read_back(data: bytes, size: int) -> None:
    found: list[str] = []
    assert undone(base64.encodebytes(data), "base64", size, found) == data
    assert found == []


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"=", b"Q", b"Q!", b"\n", b"QUJD", b"QQ==", b"QUI="]), max_size=60), _SIZES)
def test_broken_base64_comes_out_the_same_however_it_is_cut(words: list[bytes], size: int) -> None:
    data = b"".join(words)
    one, other = [], []  # type: list[str], list[str]
    assert undone(data, "base64", size, one) == undone(data, "base64", 10_000, other)
    assert one == other


@settings(deadline=None)
@given(st.binary(max_size=400), _SIZES, st.sampled_from([b"\n", b"\r\n", b"X\n"]))
def test_uuencode_in_pieces_is_read_back(data: bytes, size: int, line_end: bytes) -> None:
    lines = [binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45)]
    written = line_end.lstrip(b"X").join([b"begin 644 x", *lines, b"`", b"end", b""])
    assert undone(written, "x-uuencode", size) == data


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"M", b"#", b"`", b" ", b"\n", b"\r\n", b"x" * 70, b"end\n", b"\xff"]), max_size=60
    ),
    _SIZES,
)
def test_broken_uuencode_comes_out_the_same_however_it_is_cut(words: list[bytes], size: int) -> None:
    data = b"begin 644 x\n" + b"".join(words)
    assert undone(data, "x-uuencode", size) == undone(data, "x-uuencode", 10_000)
