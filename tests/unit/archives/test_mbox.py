"""mbox: what goes out comes back octet for octet, however it is cut; and what others write is read."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archives.events import ArchiveRefused, Event, Mark
from app.archives.mbox import MboxReader, Quoter, behind, postmark

POSTMARK = b"From a@b Mon Nov 30 14:00:00 2026\n"
WHEN = datetime(2026, 11, 3, 2, 7, 9, tzinfo=UTC)


def written(messages: list[bytes], cut: int = 1 << 20) -> bytes:
    made = b""
    for number, message in enumerate(messages):
        is_ended = message.endswith(b"\n")
        quoter = Quoter()
        made += postmark(f"msg_{number}", WHEN, is_ended=is_ended)
        made += b"".join(quoter.feed(message[at : at + cut]) for at in range(0, len(message), cut))
        made += quoter.close() + behind(is_ended=is_ended)
    return made


def read(file: bytes, cut: int = 1 << 20) -> list[bytes]:
    reader = MboxReader()
    events: list[Event] = []
    for at in range(0, len(file), cut):
        events += reader.feed(file[at : at + cut])
    events += reader.close()
    return together(events)


def together(events: list[Event]) -> list[bytes]:
    found: list[list[bytes]] = []
    is_open = False
    for event in events:
        if event is Mark.BEGIN:
            assert not is_open
            found.append([])
            is_open = True
        elif event is Mark.END:
            assert is_open
            is_open = False
        else:
            assert isinstance(event, bytes)
            assert is_open
            found[-1].append(event)
    assert not is_open
    return [b"".join(pieces) for pieces in found]


NASTY = st.lists(
    st.sampled_from(
        [
            b"From ",
            b"\n",
            b"\r\n",
            b"\r",
            b">",
            b">>",
            b"a",
            b"\xff\x00",
            b"From a@b Mon Nov 30 14:00:00 2026",
            b"Fro",
            b" ",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(NASTY, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_octets_come_back_as_they_were_however_they_are_cut(
    messages: list[bytes], out: int, back: int
) -> None:
    file = written(messages, out)
    assert file == written(messages)
    assert read(file, back) == messages


def test_a_postmark_has_the_id_and_a_date_as_asctime_has_it() -> None:
    assert postmark("msg_34", WHEN, is_ended=True) == b"From msg_34@maildelta Tue Nov  3 02:07:09 2026\n"


@pytest.mark.parametrize(
    ("file", "messages"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"From a@b Mon Nov 30 14:00:00 2026\nS: a\n\nx\n", [b"S: a\n\nx\n"]),
        (b"From a@b Mon Nov 30 14:00:00 2026\nS: a\n\nx\n\nFrom c@d Mon Nov 30 14:00:00 2026\nS: b\n\n",
         [b"S: a\n\nx\n", b"S: b\n"]),
        ((POSTMARK + b"S: a\n\nx\n\n" + POSTMARK + b"S: b\n\ny\n\n").replace(b"\n", b"\r\n"),
         [b"S: a\r\n\r\nx\r\n", b"S: b\r\n\r\ny\r\n"]),
        (b"From - Mon Nov 30 14:00:00 2026\nS: a\n\nhe said\n\nFrom here on it is text\n", [
            b"S: a\n\nhe said\n\nFrom here on it is text\n"]),
        (b"From - Mon Nov 30 14:00:00 2026\nS: a\n\nx\nFrom a@b Mon Nov 30 14:00:00 2026\n", [
            b"S: a\n\nx\nFrom a@b Mon Nov 30 14:00:00 2026\n"]),
        (b"From - Mon Nov 30 14:00:00 2026\n>From a\n>>From b\n", [b"From a\n>From b\n"]),
        (b"From a Mon Nov 30 14:00:00 2026", [b""]),
        (b"From a Mon Nov 30 14:00:00 2026\n\nFrom b Mon Nov 30 14:00:00 2026\n\n", [b"", b""]),
        ("From MAILER-DAEMON Mon Nov 30 14:00:00 2026\nSubject: Grüße\n\n\xff".encode("latin-1"),
         ["Subject: Grüße\n\n\xff".encode("latin-1")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_files_of_others_are_read(file: bytes, messages: list[bytes], cut: int) -> None:
    assert read(file, cut) == messages


@pytest.mark.parametrize(
    "file",
    [b"PK\x03\x04", b"hello\n", b"From me to you\nhello\n", b"\x00" * 600]
    + [POSTMARK.replace(b"\n", b"\r") + b"Subject: a\r\rall of it in one line\r" * n for n in (1, 100)],
)
def test_what_is_no_mbox_is_refused(file: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        read(file, 5)


def test_lines_without_end_take_no_memory_of_their_own() -> None:
    reader = MboxReader()
    list(reader.feed(b"From a Mon Nov 30 14:00:00 2026\n"))
    for octets in (b">" * 100_000, b"F" * 100_000, b"From " + b"x" * 100_000):
        list(reader.feed(octets))
        assert len(reader._rest) < 2000
    quoter = Quoter()
    quoter.feed(b">" * 100_000)
    assert len(quoter._held) < 10
    assert quoter.feed(b"From ") == b">From "
