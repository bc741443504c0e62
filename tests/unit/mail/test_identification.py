"""Which messages belong together, to whom a server delivered one, and when it took it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import defects
from app.mail.envelope import received_at
from app.mail.mime import Address, summarise


def of(*headers: bytes) -> bytes:
    return b"".join(header + b"\r\n" for header in headers) + b"\r\nx"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<1@example.org>", "<1@example.org>"),
        (b"<1@\r\n example.org>", "<1@example.org>"),
        (b" < 1@example.org > (by us)", "<1@example.org>"),
        (b"1@example.org", "1@example.org"),
        (b">x< <1@example.org>", "<1@example.org>"),
        (b"=?utf-8?q?=3C1=40example=2Eorg=3E?=", "<1@example.org>"),
        ("<grüße@example.org>".encode(), "<grüße@example.org>"),
        (b"", None),
        (b"<>", None),
        (b"< >", None),
        (b"<<1@example.org>>", "<1@example.org>"),
        (b'"<1@example.org>"', "<1@example.org>"),
        (b"(c) <1@example.org>,", "<1@example.org>"),
        (b"<" + b"x" * 2_000 + b">", "<" + "x" * 997),
    ],
)
def test_message_ids(value: bytes, expected: str | None) -> None:
    assert summarise(of(b"Message-ID: " + value)).message_id == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<1@a> <2@b>", ["<1@a>", "<2@b>"]),
        (b"<1@a><2@b>", ["<1@a>", "<2@b>"]),
        (b"<1@a>,\r\n\t<2@b>,", ["<1@a>", "<2@b>"]),
        (b"<1@a> (Ada's message of Monday) <2@b>", ["<1@a>", "<2@b>"]),
        (b"Your message of \"Mon\" <1@a>", ["<1@a>"]),
        (b"Message from ada@example.org of Monday", []),
        (b"1@a 2@b", ["1@a", "2@b"]),
        (b"=?us-ascii?Q?=3C1=40a=3E_=3C2=40b=3E?=", ["<1@a>", "<2@b>"]),
        (b"<long.one\r\n .in.two@a>", ["<long.onein.two@a>".replace("onein", "one.in")]),
        (b"", []),
        (b"<>", []),
        (b"< >", []),
        (b"no id at all", []),
        (b"1@a, 2@b;3@c", ["1@a", "2@b", "3@c"]),
        (b"<1@a>;<2@b>", ["<1@a>", "<2@b>"]),
        (b"<1@a> 2@b", ["<1@a>"]),
        (b"<1@a>\0<2@b>", ["<1@a>", "<2@b>"]),
        (b"<>, <1@a>", ["<1@a>"]),
        (b"=?utf-8?q?=3C1=40a=3E?=\r\n =?utf-8?q?_=3C2=40b=3E?=", ["<1@a>", "<2@b>"]),
    ],
)  # fmt: skip
def test_references_and_in_reply_to(value: bytes, expected: list[str]) -> None:
    summary = summarise(of(b"References: " + value, b"In-Reply-To: " + value))
    assert list(summary.references) == expected
    assert summary.in_reply_to == (expected[0] if expected else None)


def test_of_very_many_references_the_first_and_the_last_are_kept() -> None:
    ids = [f"<{number}@example.org>" for number in range(5_000)]
    summary = summarise(of(b"References: " + "\r\n ".join(ids).encode()))
    assert len(summary.references) == 100
    assert (summary.references[0], summary.references[-1]) == (ids[0], ids[-1])
    assert set(summary.references) < set(ids)
    assert defects.LONG_VALUE_CUT in summary.warnings


ROOT = b"Message-ID: <root@example.org>"
BEGUN = summarise(of(ROOT)).thread


@pytest.mark.parametrize(
    "headers",
    [
        [b"Message-ID: <2@b>", b"References: <root@example.org>"],
        [b"Message-ID: <3@b>", b"References: <root@example.org> <2@b>", b"In-Reply-To: <2@b>"],
        [b"Message-ID: <2@b>", b"In-Reply-To: <root@example.org>"],
        [b"Message-ID: <2@b>", b"References: nonsense", b"In-Reply-To: Ada's of Monday <root@example.org>"],
        [b"References: <root@\r\n example.org>"],
        [b"References: root@example.org"],
        [b"Message-ID: root@example.org"],
        [b"References: <root@example.org>", b"Subject: another one", b"From: a@b"],
    ],
)
def test_answers_are_in_the_thread_of_what_they_answer(headers: list[bytes]) -> None:
    assert BEGUN is not None
    assert len(BEGUN) == 16
    assert summarise(of(*headers)).thread == BEGUN


@pytest.mark.parametrize(
    "headers",
    [
        [b"Message-ID: <ROOT@example.org>"],
        [b"Message-ID: <2@b>", b"References: <1@b> <root@example.org>"],
        [b"Message-ID: <2@b>", b"Subject: Re: <root@example.org>"],
        [b"Message-ID: <2@b>", b"Thread-Index: <root@example.org>", b"Resent-Message-ID: <root@example.org>"],
        [b"Subject: none"],
    ],
)
def test_others_are_not(headers: list[bytes]) -> None:
    assert summarise(of(*headers)).thread != BEGUN


@pytest.mark.parametrize(
    "headers",
    [[], [b"Message-ID: <>"], [b"Message-ID: ", b"References: <>", b"In-Reply-To: <>"], [b"References: x"]],
)
def test_messages_without_any_id_share_no_thread(headers: list[bytes]) -> None:
    assert summarise(of(*headers)).thread is None


NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = b"Received: from a by b with ESMTP id 1; Mon, 05 Jan 2026 08:00:00 +0100"
EIGHT = datetime(2026, 1, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([GOOD], EIGHT),
        ([GOOD, GOOD.replace(b"08:", b"06:")], EIGHT),
        ([b"Received: from a by b", GOOD], EIGHT),
        ([b"Received: from a by b;", GOOD], EIGHT),
        ([b"Received: from a by b; yesterday", GOOD], EIGHT),
        ([b"Received: from a by b", b"Received: from a by b"] * 3 + [GOOD], EIGHT),
        ([b"Received: from a by b; Thu, 01 Jan 1970 00:00:00 +0000", GOOD], EIGHT),
        ([b"Received: from a by b; Tue, 01 Jan 1980 00:00:00 +0000", GOOD], EIGHT),
        ([b"Received: from a by b; Thu, 01 Jan 2099 00:00:00 +0000", GOOD], EIGHT),
        ([b"Received: from a by b; Mon, 05 Jan 2026 09:00:00", GOOD], EIGHT),
        ([b"Received: from a by b Mon, 05 Jan 2026 09:00:00 +0100", GOOD], EIGHT),
        ([b"Received: from a (x; y) by b\r\n\tid 1 for <c@d>;\r\n\tMon, 5 Jan 2026 08:00:00 +0100 (CET; x)"], EIGHT),
        ([b"Received: (nullmailer pid 1 invoked by uid 1); Mon, 05 Jan 2026 07:00:00 -0000"], EIGHT),
        ([b"Received: from a by b; Tue, 06 Jan 2026 08:00:00 +0100"], datetime(2026, 1, 6, 7, tzinfo=UTC)),
        ([b"Received: from a by b; Tue, 06 Jan 2026 14:00:00 +0100"], None),
        ([GOOD + b";"], EIGHT),
        ([GOOD.replace(b"; ", b";\r\n\t").replace(b"2026 ", b"2026\r\n\t")], EIGHT),
        ([GOOD + b" (CET) (x;y)"], EIGHT),
        ([GOOD + b" for <c@d>"], EIGHT),
        ([GOOD.replace(b"Received", b"RECEIVED ")], EIGHT),
        ([b"Received: from a;b by c; Mon, 05 Jan 2026 09:00:00 (" + b"x" * 170 + b") +0530", GOOD], EIGHT),
        ([b"Received: from a by b; 1767596400", GOOD], EIGHT),
        ([b"Received: from a by b; Mon, 05 Jan 2026 09:00:00 CET-1", GOOD], EIGHT),
        ([b"Received: from a by b"], None),
        ([b"X-Received: by b; Mon, 05 Jan 2026 08:00:00 +0100"], None),
        ([], None),
    ],
)  # fmt: skip
def test_a_message_was_received_at_the_topmost_moment_that_can_be(
    fields: list[bytes], expected: datetime | None
) -> None:
    summary = summarise(of(*fields))
    assert received_at(summary.received, not_after=NOW + timedelta(days=1)) == expected
    assert not set(summary.warnings) & {defects.BAD_DATE, defects.DATE_WITHOUT_ZONE}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([b"Delivered-To: ada@example.org"], ["ada@example.org"]),
        ([b"X-Original-To: <ada+x@example.org>"], ["ada+x@example.org"]),
        ([b"Envelope-To: a@b, c@d"], ["a@b", "c@d"]),
        ([b"X-Original-To: c@d", b"Delivered-To: a@b", b"Delivered-To: c@d"], ["a@b", "c@d"]),
        ([b"X-Envelope-To: a@b"], ["a@b"]),
        ([b"X-Delivered-To: a@b"], ["a@b"]),
        ([b"Delivered-To: mailing list l@example.org"], ["l@example.org"]),
        ([b"Delivered-To: "], []),
        ([b"To: a@b"], []),
    ],
)
def test_to_whom_it_was_delivered(headers: list[bytes], expected: list[str]) -> None:
    assert list(summarise(of(*headers)).delivered_to) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<announce.example.org>", "announce.example.org"),
        (b'"All, of <them>" <Announce.Example.ORG>', "announce.example.org"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= <l.example.org>", "l.example.org"),
        (b"l.example.org", "l.example.org"),
        (b"Ada's list\r\n\t<l.example.org>", "l.example.org"),
        (b"", None),
    ],
)
def test_list_ids(value: bytes, expected: str | None) -> None:
    assert summarise(of(b"List-Id: " + value)).list_id == expected


def test_bcc_and_sender() -> None:
    summary = summarise(of(b"Bcc: a@b, Ada <c@d>", b"Sender: The Office <office@example.org>"))
    assert summary.bcc == (Address("", "a@b"), Address("Ada", "c@d"))
    assert summary.sender == Address("The Office", "office@example.org")
    assert summarise(of(b"From: a@b")).sender is None


_NAMES = ["References", "In-Reply-To", "Received", "Delivered-To", "List-Id", "Bcc", "Sender", "Precedence"]
_TOLD = (
    "references",
    "in_reply_to",
    "received",
    "delivered_to",
    "list_id",
    "bcc",
    "sender",
    "automated",
    "automated_by",
)


@given(
    st.sampled_from(_NAMES),
    st.one_of(
        st.binary(max_size=60).filter(lambda value: b"\n" not in value and b"\r" not in value),
        st.lists(st.sampled_from([b"<", b">", b"a@b", b",", b";", b" ", b"(", b"=?utf-8?q?", b"?="])).map(b"".join),
    ),
)  # fmt: skip
def test_a_header_more_changes_only_what_it_tells(name: str, value: bytes) -> None:
    headers = (b"From: a@b", b"Subject: s", b"Date: Mon, 05 Jan 2026 08:00:00 +0100", ROOT)
    plain, more = summarise(of(*headers)), summarise(of(*headers, name.encode() + b": " + value))
    for told in ("message_id", "subject", "authors", "to", "date", "snippet", "has_attachments", "kinds"):
        assert getattr(more, told) == getattr(plain, told)
    others = [
        told for told in _TOLD if told.replace("_", "-") != name.lower() and not told.startswith("automated")
    ]
    assert [getattr(more, told) for told in others] == [getattr(plain, told) for told in others]
