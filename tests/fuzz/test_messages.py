"""What messages are made of: the scanner and the judge of criteria take any octets, at a cost that grows with them."""

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import strategies as st

from app.mail.budget import Budget
from app.mail.markup.html import first_words, read_html
from app.mail.mime import header_values, parse, summarise
from app.mailboxes.wanted.criteria import Criteria
from app.mailboxes.wanted.judging import JudgedHead, judge
from tests.fuzz.laws import law, mutations
from tests.fuzz.work import assert_linear
from tests.servers.messages import sample_messages
from tests.unit.mail.nasty import NASTY, attachment, nested
from tests.unit.mail.test_mime_laws import assert_lawful

CRITERIA: Final = Criteria.model_validate(
    {
        "any": [
            {"all": [{"field": "from", "op": "contains", "value": "nobody at all"}]},
            {"field": "to", "op": "equals", "value": "nobody@example.org"},
            {"field": "cc", "op": "matches", "value": "(x+x+)+y"},
            {"field": "subject", "op": "matches", "value": r"(?i)^(\w+\s?)*$ not"},
            {"field": "date", "op": "before", "value": "1901-01-01T00:00:00Z"},
            {"field": "header:X-Spam", "op": "contains", "value": "ß"},
            {"field": "header:List-Id", "op": "exists", "not": True},
        ]
    }
)


def messages() -> list[bytes]:
    """The start of each nasty message, and some as they are."""
    nasty = [octets[:3_000] for octets in NASTY.values()]
    return [*nasty, *(octets[:6_000] for octets in sample_messages(12, mean_octets=3_000))]


def judged(raw: bytes) -> bool:
    return judge(CRITERIA, head=JudgedHead(raw), octets=len(raw)).wanted


@mutations(messages, examples=300)
def test_mutants_of_messages_are_read_and_judged(raw: bytes) -> object:
    assert_lawful(raw)
    return judged(raw), parse(raw).warnings


_TAGS = st.sampled_from(
    ["<", ">", "</", "/>", "<div>", "</div>", "<table><tr><td>", "<style>", "</style", "<script>", "<!--", "-->", "<!",
     "<![CDATA[", "]]>", "&", "&#", "&#x110000;", "&amp;", "&nbsp", '"', "'", "=", " a='", "<p style='", "href=x", "\0",
     "<svg><math>", "<pre>", "\n", "<a href='", "<li>", "<?", "<textarea>", "<title>", "<br>", "x", "\u202e", "\ufffd"]
)  # fmt: skip


@law(st.lists(_TAGS | st.text(max_size=3), max_size=40).map("".join), examples=200)
def test_any_text_is_html(text: str) -> None:
    text.encode("utf-8", "replace")
    found: list[str] = []
    page = read_html(text, Budget(found), found, text=True)
    assert "<script" not in page.markup.lower()
    assert isinstance(page.text, str)
    assert isinstance(first_words(text, Budget([]), characters=200), str)


# Octets that one repeats to make a bomb, and what must stand before them so that they are read as what they are.
_STARTS = st.sampled_from(
    [b"", b"Subject: ", b"From: ", b"To: ", b"Date: ", b"List-Id: x\nCc: ", b"Message-ID: <", b"Content-ID: <",
     b"Content-Type: ", b"Content-Type: text/plain; charset=", b"Content-Type: text/html\n\n", b"X: y\n\n",
     b"Content-Type: multipart/mixed; boundary=b\n\n", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n",
     b"Content-Type: multipart/alternative; boundary=b\n\n--b\n\n", b"Content-Disposition: attachment; filename*0*=",
     b"Content-Transfer-Encoding: base64\n\n", b"Content-Transfer-Encoding: quoted-printable\n\n",
     b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n", b"Content-Type: text/plain; charset=utf-7\n\n"]
)  # fmt: skip
_UNITS = st.sampled_from(
    [b"=?utf-8?q?x?= ", b"=?a?q?", b"=?utf-8?B?", b"?=", b"=?", b"x", b" ", b"\t", b"\n", b"\r", b"\r\n", b"\n ",
     b"X: y\n", b": \n", b"a@b, ", b"<", b"(", b"g:", b'"', b"\\", b",", b";", b"; a=b", b"; a*1*=%41", b'; a="', b"\0",
     b"\xff", b"--b\n", b"--b\n\n", b"--bx\n", b"\n--b", b"--b--\n", b"-", b"=", b"=\n", b"=41", b"QUJD", b"+AGE-",
     b"begin 644 x\n", b"M" + b"x" * 60 + b"\n", b"<div>", b"<a ", b"<!--", b"&", b"<td>", b"<style>", b"From ", b"9",
     b"Content-Type: multipart/mixed; boundary=b\n\n--b\n", b"\xe2\x80\x8b", b"<font color=1>", b"@", b"[", b"a"]
)  # fmt: skip
WORK: Final[dict[str, Callable[[bytes], object]]] = {
    "summarise": summarise,
    "parse": parse,
    "attachment": lambda raw: attachment(raw, 100_000),
    "header_values": lambda raw: header_values(raw, "subject"),
    "judge": judged,
}


@law(
    st.sampled_from(sorted(WORK)),
    _STARTS,
    st.lists(_UNITS, min_size=1, max_size=3).map(b"".join),
    st.sampled_from([b"", b"\n\nx", b'"', b"?=", b"\n--b--\n", b">"]),
    examples=400,
)
def test_the_work_grows_with_the_message(name: str, start: bytes, unit: bytes, end: bytes) -> None:
    def work(size: int) -> Callable[[], object]:
        raw = start + unit * (size // len(unit)) + end
        return lambda: WORK[name](raw)

    assert_linear(work, 8_000)


BOMBS: Final[dict[str, Callable[[int], bytes]]] = {
    "multiparts in multiparts": lambda size: nested(size // 60),
    "the same boundary in itself": lambda size: (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * (size // 48)
    ),
    "parts": lambda size: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * (size // 8),
    "nearly delimiters": lambda size: (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + b"--bx\n" * (size // 5)
    ),
    "headers": lambda size: b"X-Filler: x\r\n" * (size // 13),
    "folded lines": lambda size: b"Subject: x" + b"\r\n x" * (size // 4),
    "encoded words": lambda size: b"Subject: " + b"=?utf-8?b?w6Q=?= " * (size // 18),
    "openings of encoded words": lambda size: b"Subject: " + b"=?utf-8?q?" * (size // 10),
    "one long encoded word": lambda size: b"Subject: =?utf-8?q?" + b"=C3" * (size // 3) + b"?=",
    "open comments": lambda size: b"To: " + b"(" * size,
    "open domain literals in a group": lambda size: b"To: x:" + b"[a" * (size // 2),
    "groups": lambda size: b"To: " + b"g:" * (size // 2),
    "recipients": lambda size: b"To: " + b"a@example.org, " * (size // 15),
    "sections of a file name": lambda size: (
        b"Content-Disposition: attachment" + b"; filename*1*=x" * (size // 15)
    ),
    "open elements": lambda size: b"Content-Type: text/html\n\n" + b"<div><table><tr><td>" * (size // 20),
    "open tags": lambda size: b"Content-Type: text/html\n\n" + b"<a " * (size // 3),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_what_its_octets_cost(name: str) -> None:
    for read in WORK.values():

        def work(size: int, read: Callable[[bytes], object] = read) -> Callable[[], object]:
            raw = BOMBS[name](size)
            return lambda: read(raw)

        assert_linear(work, 8_000)
