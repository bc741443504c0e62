"""zip: others read what is written, and what others write is read; bombs, lies and cut files cost little."""

import io
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from tempfile import TemporaryFile

import pytest

from app.archives.events import ArchiveRefused, Event, Mark, Passed
from app.archives.zipping import ZipWriter, read_zip

WHEN = datetime(2026, 11, 3, 2, 7, 9, tzinfo=UTC)
CONTENTS = [b"", b"a", b"\xff\r\nFrom x\r\n" * 5000, bytes(range(256)) * 700]


def written(
    contents: list[bytes], cut: int = 1 << 20, *, octets: int | None = None, most_16: int = 0xFFFF
) -> bytes:
    writer = ZipWriter(io.BytesIO(), most_16=most_16)
    made = b""
    for number, content in enumerate(contents):
        made += writer.begin(f"{number}.eml", when=WHEN, octets=len(content) if octets is None else octets)
        made += (
            b"".join(writer.feed(content[at : at + cut]) for at in range(0, len(content), cut)) + writer.end()
        )
    return made + b"".join(writer.close())


def read(file: bytes, most_entries: int = 1000) -> tuple[list[bytes | None], int]:
    """The messages, None for a broken one; and how many entries were passed over."""
    found: list[bytes | None] = []
    events: list[Event] = list(read_zip(io.BytesIO(file), most_entries=most_entries))
    for event in events:
        if event is Mark.BEGIN:
            found.append(b"")
        elif event is Mark.BROKEN:
            found[-1] = None
        elif isinstance(event, bytes):
            assert found[-1] is not None
            found[-1] += event
    return found, sum(isinstance(event, Passed) for event in events)


def by_library(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.comment = b"a comment"
    return file.getvalue()


@pytest.mark.parametrize("octets", [None, 1 << 33], ids=["small", "as if it were large"])
def test_what_is_written_is_read_by_the_library_and_here(octets: int | None) -> None:
    file = written(CONTENTS, 1000, octets=octets)
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name in archive.namelist()] == CONTENTS
        assert archive.infolist()[0].date_time == (2026, 11, 3, 2, 7, 8)
    assert read(file) == (CONTENTS, 0)


def test_more_entries_than_sixteen_bits_count_are_written_and_read() -> None:
    file = written([b"x"] * 20, most_16=20)
    assert b"PK\x06\x06" in file
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert len(archive.namelist()) == 20
    assert len(read(file, 20)[0]) == 20
    with pytest.raises(ArchiveRefused, match="20 entries"):
        read(file, 19)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_what_others_write_is_read(method: int) -> None:
    entries = {
        "a/b.EML": b"one",
        "notes.txt": b"passed",
        "d/": b"",
        "inner.zip": written([b"x"]),
        "../../c.eml": b"two",
    }
    found, passed = read(by_library(entries, method))
    expected = ([b"one", b"two"], 2) if method != zipfile.ZIP_LZMA else ([], 4)
    assert (found, passed) == expected


def test_what_macos_keeps_beside_files_is_no_message() -> None:
    junk = b"\0\5\x16\7"
    entries = {
        "a.eml": b"one",
        "__MACOSX/._a.eml": junk,
        "b/._a.eml": junk,
        "x/__MACOSX/y.eml": junk,
        "_.eml": b"2",
    }
    assert read(by_library(entries)) == ([b"one", b"2"], 3)


def test_an_entry_that_unpacks_to_more_than_it_says_is_broken_before_it_is_unpacked() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(bytes(200_000_000)) + bomb.flush()
    honest = by_library({"bomb.eml": packed, "good.eml": b"good"}, zipfile.ZIP_STORED)
    file = bytearray(honest)
    table = honest.rindex(b"PK\x01\x02", 0, honest.rindex(b"PK\x01\x02"))
    struct.pack_into("<H", file, table + 10, 8)
    struct.pack_into("<I", file, table + 24, 5)
    events = read_zip(io.BytesIO(bytes(file)), most_entries=10)
    assert next(events) is Mark.BEGIN
    piece = next(events)
    assert isinstance(piece, bytes)
    assert len(piece) <= 256 * 1024, "it counts for what is unpacked at most"
    assert next(events) is Mark.BROKEN, "after one piece of a bounded length"
    assert list(events) == [Mark.BEGIN, b"good", Mark.END]


def table_entry(offset: int, packed: int, *, is_far: bool = False) -> bytes:
    """A line of the table, ``a.eml``; ``is_far``: its place is told in 64 bits."""
    extra = struct.pack("<HHQ", 1, 8, offset) if is_far else b""
    told = 0xFFFFFFFF if is_far else offset
    head = (0x02014B50, 20, 20, 0, 8, 0, 0, 0, packed, 0, 5, len(extra), 0, 0, 0, 0, told)
    return struct.pack("<IHHHHHHIIIHHHHHII", *head) + b"a.eml" + extra


def with_table(content: bytes, table: list[bytes]) -> bytes:
    octets = len(b"".join(table))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(table), len(table), octets, len(content), 0)
    return content + b"".join(table) + end


def test_entries_that_lie_upon_each_other_are_refused_before_a_small_file_is_much_work() -> None:
    content = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 5, 0) + b"a.eml" + b"\0\0\0\xff\xff" * 2000
    one = table_entry(0, 10_000)
    assert read(with_table(content, [one])) == ([b""], 0)
    with pytest.raises(ArchiveRefused):
        read(with_table(content, [one] * 1000))


def test_an_entry_or_a_table_beyond_what_a_file_can_hold_is_passed_over_or_refused() -> None:
    with TemporaryFile() as file:  # a file system refuses to seek there
        file.write(with_table(b"", [table_entry(1 << 61, 3, is_far=True)]))
        assert list(read_zip(file, most_entries=10)) == [Passed("it is not where the table says")]
    with TemporaryFile() as file:
        end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, 1, 1, 0)
        file.write(struct.pack("<IIQI", 0x07064B50, 0, (1 << 64) - 1, 1) + end)
        with pytest.raises(ArchiveRefused):
            list(read_zip(file, most_entries=10))


@pytest.mark.parametrize("at", [0, 1, 10, 30, 40, 60, 80])
def test_damage_breaks_an_entry_or_is_refused_and_never_gives_other_octets(at: int) -> None:
    good = written([b"some text " * 20, b"other text"])
    for flip in (1, 0x80):
        for place in {at, len(good) - at - 1}:
            file = bytearray(good)
            file[place] ^= flip
            try:
                found, _ = read(bytes(file))
            except ArchiveRefused:
                continue
            assert set(found) <= {b"some text " * 20, b"other text", None}


@pytest.mark.parametrize(
    "file", [b"", b"PK\x05\x06", b"PK\x03\x04" * 100, written(CONTENTS)[:-30], b"\0" * 70_000]
)
def test_what_is_cut_or_no_zip_is_refused(file: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        read(file)


@pytest.mark.parametrize(
    "comment", [b"PK\x05\x06", b"of PK\x05\x06 " * 100, b"PK\x05\x06" + bytes(18) + b"."]
)
def test_a_comment_that_holds_the_sign_of_the_end_is_a_comment(comment: bytes) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.eml", b"mail")
        archive.comment = comment
    assert read(file.getvalue()) == ([b"mail"], 0)


def test_octets_behind_the_end_of_a_zip_are_passed_over() -> None:
    assert read(by_library({"a.eml": b"mail"}) + b"more") == ([b"mail"], 0)


def test_an_empty_zip_has_no_messages() -> None:
    assert read(written([])) == ([], 0)


def test_a_table_that_promises_more_than_there_is_is_refused() -> None:
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0)
    with pytest.raises(ArchiveRefused):
        read(end)
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 60, 0)
    locator = struct.pack("<IIQI", 0x07064B50, 0, 0, 1)
    with pytest.raises(ArchiveRefused):
        read(record + locator + end, 1 << 50)
