"""tar: others read what is written, and what others write is read, however it is cut; hostile ones cost nothing."""

import io
import tarfile

import pytest

from app.archives.events import ArchiveRefused, Event, Mark, Passed
from app.archives.tar import END, TarReader, header, padding


def read(file: bytes, cut: int = 1 << 20) -> tuple[list[bytes], int]:
    reader = TarReader()
    events: list[Event] = []
    for at in range(0, len(file), cut):
        events += reader.feed(file[at : at + cut])
    events += reader.close()
    found: list[bytes] = []
    for event in events:
        if event is Mark.BEGIN:
            found.append(b"")
        elif isinstance(event, bytes):
            found[-1] += event
    return found, sum(isinstance(event, Passed) for event in events)


def entry(name: str, content: bytes) -> bytes:
    return header(name, len(content), mtime=1) + content + padding(len(content))


def by_library(kind: int, entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


CONTENTS = [b"", b"a", b"x" * 511, b"y" * 512, b"z" * 513, b"\xff\r\n" * 1000]


def test_what_is_written_is_read_by_the_library() -> None:
    names = [f"Maildir/new/{n}.eml" for n in range(len(CONTENTS))]
    file = header("Maildir/new/", 0, mtime=1, is_folder=True)
    file += b"".join(map(entry, names, CONTENTS)) + END
    with tarfile.open(fileobj=io.BytesIO(file)) as archive:
        read_back = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
    assert {name: one.read() for name, one in read_back.items() if one} == dict(
        zip(names, CONTENTS, strict=True)
    )
    assert read(file) == (CONTENTS, 0)


def test_a_size_beyond_eight_gigabytes_is_written_and_read() -> None:
    large = header("new/1", 9 << 30, mtime=1)
    assert tarfile.TarInfo.frombuf(large[-512:], "utf-8", "strict").name == "new/1"
    reader = TarReader()
    assert list(reader.feed(large)) == [Mark.BEGIN]
    assert reader._left == 9 << 30
    gnu = tarfile.TarInfo("new/1")
    gnu.size = 9 << 30
    reader = TarReader()
    assert list(reader.feed(gnu.tobuf(tarfile.GNU_FORMAT))) == [Mark.BEGIN]
    assert reader._left == 9 << 30


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("cut", [1, 100, 512, 1 << 20])
def test_what_others_write_is_read(kind: int, cut: int) -> None:
    long = "x" * 60 + "/" + "y" * 70 + "/cur/1:2,S"
    file = by_library(
        kind, {long: b"long", "new/a": b"", "tmp/b": b"passed", "dovecot.index": b"passed", "cur/c": b"c\n"}
    )
    assert read(file, cut) == ([b"long", b"", b"c\n"], 2)


def test_a_name_in_a_maildir_that_begins_with_a_dot_is_no_message() -> None:
    names = ("cur/._1:2,S", "Maildir/new/.hidden", "Maildir/.Sent/cur/2:2,S")
    assert read(b"".join(entry(name, name.encode()) for name in names) + END) == ([names[2].encode()], 2)


@pytest.mark.parametrize("kind", [b"S", b"V", b"M", b"Z"])
def test_behind_an_entry_of_a_kind_that_is_no_file_the_next_one_is_found(kind: bytes) -> None:
    file = b""
    for name, type_ in (("cur/a", b"0"), ("x", kind), ("cur/b", b"0")):
        info = tarfile.TarInfo(name)
        info.size, info.type = 700, type_
        file += info.tobuf(tarfile.GNU_FORMAT) + b"z" * 700 + padding(700)
    assert read(file + END) == ([b"z" * 700] * 2, 1)


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_each_of_the_marks_of_a_regular_file_is_one(kind: bytes) -> None:
    info = tarfile.TarInfo("cur/a")
    info.size, info.type = 3, kind
    assert read(info.tobuf(tarfile.USTAR_FORMAT) + b"one" + padding(3) + END) == ([b"one"], 0)


def test_links_devices_and_what_they_would_hold_are_passed_over() -> None:
    file = b""
    for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo("new/../../../etc/passwd")
        info.type, info.linkname, info.size = kind, "/etc/passwd", 0
        file += info.tobuf()
    assert read(file + entry("/new/../../etc/shadow", b"no mail") + END) == ([], 5)
    found, passed = read(file + entry("cur/x", b"mail") + END)
    assert (found, passed) == ([b"mail"], 4)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"x" * 512,
        b"From a Mon Nov 30 14:00:00 2026\n" * 20,
        entry("new/1", b"x" * 600)[:-513],
        entry("new/1", b"x")[:300],
        header("new/1", 5, mtime=1)[:-1] + b"\x01",
        header("new/1", 5, mtime=1).replace(b"00000000005", b"0000000000x"),
    ],
)
def test_what_is_cut_or_no_tar_is_refused(file: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        read(file)


@pytest.mark.parametrize(
    "records", [b"9 path=x\n", b"999999999 path=x\n", b"12 size=-512\n", b"0 size=1\n", b"11 size=\xff\xff\n"]
)
def test_extended_headers_that_lie_are_refused_or_without_effect(records: bytes) -> None:
    try:
        found, _ = read(with_records(records, entry("new/1", b"mail")))
    except ArchiveRefused:
        return
    assert found in ([b"mail"], [])


def with_records(records: bytes, following: bytes) -> bytes:
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(records)
    return pax.tobuf(tarfile.USTAR_FORMAT) + records + padding(len(records)) + following + END


@pytest.mark.parametrize("records", [b"8 size=\n", b"8 path=\n", b"11 size=99\n8 size=\n", b"8 size=\n\0\0"])
def test_an_extended_header_without_a_value_leaves_what_the_header_says(records: bytes) -> None:
    assert read(with_records(records, entry("new/1", b"mail"))) == ([b"mail"], 0)


def test_behind_a_record_with_a_long_key_the_next_one_counts() -> None:
    records = b"411 " + b"k" * 404 + b"=v\n" + b"14 path=cur/1\n"
    assert read(with_records(records, entry("x", b"mail"))) == ([b"mail"], 0)


@pytest.mark.parametrize("behind", [b"path=cur/1\n", b"13 path cur/1\n", b"\x00\x00x"])
def test_an_extended_header_that_cannot_be_read_to_its_end_is_refused(behind: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        read(with_records(b"13 comment=x\n" + behind, entry("new/1", b"mail")))


def test_an_extended_header_without_end_is_refused_before_it_has_come() -> None:
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(ArchiveRefused):
        list(TarReader().feed(pax.tobuf(tarfile.GNU_FORMAT)))


def test_a_broken_message_is_said_to_be_so() -> None:
    reader = TarReader()
    events = list(reader.feed(entry("new/1", b"x" * 600)[:700]))
    assert events[0] is Mark.BEGIN
    ended = reader.close()
    assert next(ended) is Mark.BROKEN
    with pytest.raises(ArchiveRefused):
        next(ended)
