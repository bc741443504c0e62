"""Ends of files with LF within a body: told as an expression would, in as few looks whatever the body consists of."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.pop3 import BodyRunsOn
from app.pop3.transaction.ends import End
from app.pop3.wire.protocol import Data

INNER_END = re.compile(rb"(?<!\r)\n\.\r\n(?:\+OK|-ERR)", re.IGNORECASE)
PARTS = st.sampled_from([b"\r", b"\n", b".", b"\r\n.\r\n", b"\n.\r\n", b"+OK", b"-eRR", b"+o", b"K", b"x"])


class Looks:
    """Octets that count how often somebody goes through them. No expression can be tried on them."""

    many = 0

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def __len__(self) -> int:
        return len(self._octets)

    def __getitem__(self, part: slice) -> bytes:
        return self._octets[part]

    def __radd__(self, before: bytes) -> "Looks":
        return Looks(before + self._octets)

    def __contains__(self, octets: bytes) -> bool:
        Looks.many += 1
        return octets in self._octets

    def upper(self) -> "Looks":
        Looks.many += 1
        return Looks(self._octets.upper())

    def count(self, octets: bytes) -> int:
        Looks.many += 1
        return self._octets.count(octets)


def runs_on(body: bytes, *, cuts: Sequence[int]) -> bool:
    """Whether a body that comes in parts, asked for with others, is thought to run on into the next answers."""
    end = End(None, is_alone=False)
    try:
        for start, stop in pairwise([0, *sorted(cuts), len(body)]):
            end.passed(Data(body[start:stop], is_last=stop == len(body)))
    except BodyRunsOn:
        return True
    return False


@example(b"\r\n.\r\n+OK\r\r\r\r\r\n.\r\n", [18])
@example(b"\n.\r\n+OK", [3, 5, 7])
@given(st.lists(PARTS, max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=4))
def test_an_end_behind_bare_lf_is_found_wherever_the_body_is_cut(body: bytes, cuts: list[int]) -> None:
    body = b"x" + body
    assert runs_on(body, cuts=[min(cut, len(body)) for cut in cuts]) is bool(INNER_END.search(body))


@pytest.mark.parametrize("line", [b".\r\n", b"\n.\r\n", b"\r\n.\r\n+OK", b"x\r\n"])
def test_a_body_is_looked_through_as_often_however_many_lone_dots_it_has(line: bytes) -> None:
    looks = []
    for lines in (10, 10_000):
        Looks.many = 0
        octets: Any = Looks(b"x" + line * lines)
        End(None, is_alone=False).passed(Data(octets, is_last=True))
        looks.append(Looks.many)
    assert looks[0] == looks[1] <= 6
