"""JSON as we take it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.requests.documents import DEEPEST, MOST_VALUES, DocumentMalformed, DocumentRefused, read_document

text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_what_json_can_say_is_read_as_it_was_said(document: Any) -> None:
    assert read_document(json.dumps(document).encode()) == document
    assert read_document(json.dumps(document, ensure_ascii=False).encode()) == document


@given(st.binary())
def test_no_octets_are_an_error_of_ours(octets: bytes) -> None:
    with suppress(DocumentRefused):
        read_document(octets)


@pytest.mark.parametrize(
    ("octets", "pointer"),
    [
        (b'{"a": [1, {"b/~": "\\u0000"}]}', "/a/1/b~1~0"),
        (b'[["\\udc00"]]', "/0/0"),
        (b'{"a": {"\\ud800": 1}}', "/a"),
        (b'{"a": 1e999}', "/a"),
        (b'"\\u0000"', ""),
    ],
)
def test_a_fault_says_where_it_is(octets: bytes, pointer: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        read_document(octets)
    assert refused.value.fault.pointer == pointer


@pytest.mark.parametrize(
    ("octets", "where"),
    [
        (b'{"a":\n\n  nul}', "line 3, column 3"),
        (b"\xff", "line 1, column 1"),
        (b'{\n "a": \xff}', "line 2, column 7"),
        ('{"ä":'.encode() + b"\xff", "line 1, column 6"),
        (b'{"a \\" NaN": "Infinity",\n "b": [-Infinity, NaN]}', "line 2, column 8"),
        (b"NaN", "line 1, column 1"),
    ],
)
def test_what_is_not_json_is_told_by_line_and_column(octets: bytes, where: str) -> None:
    with pytest.raises(DocumentMalformed, match=where):
        read_document(octets)


def test_depth_and_size_end() -> None:
    assert read_document(b"[" * DEEPEST + b"]" * DEEPEST)
    for octets in (
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b"[" * 10**6,
        b"[0" + b",0" * MOST_VALUES + b"]",
    ):
        with pytest.raises(DocumentRefused):
            read_document(octets)
    with pytest.raises(DocumentRefused, match="twice"):
        read_document(b'{"a": 1, "a": 2}')
