"""What goes over the wire: what has not changed is not sent again, octets come in parts, JSON is compressed."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_api import assert_problem
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, running, settings_for

CSV = "Straße;Größe\r\n".encode("latin-1") * 100
LETTER = (
    b"Subject: a table\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain\r\n\r\nhere it is\r\n"
    b"--x\r\nContent-Type: text/csv; charset=ISO-8859-1\r\nContent-Disposition: attachment; filename=t.csv\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n" + CSV + b"\r\n"
    b"--x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=u.csv\r\n\r\na;b\r\n"
    b'--x\r\nContent-Type: text/x-odd; charset="a b"\r\nContent-Disposition: attachment\r\n\r\nodd\r\n'
    b"--x\r\nContent-Type: application/x-odd\r\nContent-Disposition: attachment\r\n\r\nodd\r\n--x--\r\n"
)

LARGE = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 20_000  # more than is read and answered at once


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A message with attachments is stored, and a large one."""
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    drop.deliver(LARGE, "b")
    async with running(settings_for(tmp_path / "data")) as client, FakePop3Server(drop) as server:
        assert (await client.sync(await client.register(drop, server)))["status"] == "succeeded"
        yield client


async def test_what_has_not_changed_is_not_sent_again(service: Client) -> None:
    for path in ("/messages/msg_1", "/messages/msg_1/raw", "/messages/msg_1/attachments/0"):
        first = await service.http.get(path)
        etag = first.headers["etag"]
        for tags in (etag, f'"x", {etag.removeprefix("W/")}', "*"):
            again = await service.http.get(path, headers={"If-None-Match": tags})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        lines = [("If-None-Match", '"x"'), ("If-None-Match", etag)]
        assert (await service.http.get(path, headers=lines)).status_code == 304
        other = await service.http.get(path, headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)
    gone = await service.http.get("/messages/msg_3", headers={"If-None-Match": "*"})
    assert_problem(gone, 404, "not_found")


async def test_who_wants_the_octets_of_one_state_alone_gets_no_other(service: Client) -> None:
    for path in ("/messages/msg_1/raw", "/messages/msg_1/attachments/0"):
        etag = (await service.http.get(path)).headers["etag"]
        for tags in (etag, f'"x", {etag}', "*"):
            same = await service.http.get(path, headers={"If-Match": tags, "Range": "bytes=0-1"})
            assert same.status_code == 206
        for tags in ('"x"', f"W/{etag}", ""):
            other = await service.http.get(path, headers={"If-Match": tags, "If-None-Match": etag})
            assert_problem(other, 412, "precondition_failed")
            assert other.headers["etag"] == etag


@pytest.mark.parametrize(
    ("path", "whole"),
    [("msg_1/raw", LETTER), ("msg_2/raw", LARGE), ("msg_1/attachments/0", CSV)],
    ids=["raw", "large", "attachment"],
)
async def test_octets_come_in_parts(service: Client, path: str, whole: bytes) -> None:
    path, octets = f"/messages/{path}", len(whole)
    etag = (await service.http.get(path)).headers["etag"]

    async def got(wanted: str, **headers: str) -> httpx.Response:
        sent = {"Range": wanted} | headers
        return await service.http.get(
            path, headers={name.encode(): value.encode() for name, value in sent.items()}
        )

    for wanted, part in {
        "bytes=0-0": range(1), "bytes=10-19": range(10, 20), "bytes=1000-": range(1000, octets),
        "bytes=-5": range(octets - 5, octets), "bytes=7-99999999": range(7, octets), "Bytes= 3-4": range(3, 5),
        "bytes=0-": range(octets), "bytes=-99999999": range(octets), "bytes=0-" + "9" * 5000: range(octets),
    }.items():  # fmt: skip
        answer = await got(wanted)
        assert (answer.status_code, answer.content) == (206, whole[part.start : part.stop]), wanted
        assert answer.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{octets}"
        assert answer.headers["content-length"] == str(len(part))
        assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (etag, "bytes")
    for all_of_it in ("bytes=5-4", "bytes=0-1,5-6", "lines=1-2", "bytes=x", "bytes=-", "bytes=²-"):
        answer = await got(all_of_it)
        assert (answer.status_code, answer.content) == (200, whole), all_of_it
    for behind in (f"bytes={octets}-", "bytes=-0", "bytes=" + "9" * 5000 + "-"):
        answer = await got(behind)
        assert_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{octets}"
    assert (await got("bytes=1-2", **{"If-Range": etag})).status_code == 206
    for other in ('"x"', f"W/{etag}", "Mon, 30 Nov 2026 03:00:00 GMT"):
        assert (await got("bytes=1-2", **{"If-Range": other})).content == whole
    head = await service.http.head(path, headers={"Range": "bytes=1-2"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(octets))


async def test_a_part_is_typed_and_named_as_it_is(service: Client) -> None:
    told = []
    for index in range(4):
        headers = (await service.http.get(f"/messages/msg_1/attachments/{index}")).headers
        told.append((headers["content-type"], headers["content-disposition"].rpartition("'")[2]))
    assert told == [
        ("text/csv; charset=ISO-8859-1", "t.csv"),
        ("text/csv", "u.csv"),
        ("text/x-odd", "attachment-2.txt"),
        ("application/x-odd", "attachment-3.bin"),
    ]


async def test_mail_is_kept_by_nobody_but_what_never_changes_by_its_reader(service: Client) -> None:
    for path in ("/messages", "/messages/msg_1", "/mailboxes", "/api-keys"):
        assert (await service.http.get(path)).headers["cache-control"] == "no-store"
    made = await service.http.post("/api-keys", json={"name": "k", "scopes": ["read"]})
    assert made.headers["cache-control"] == "no-store"
    raw = await service.http.get("/messages/msg_1/raw")
    assert raw.headers["cache-control"] == "private, max-age=31536000, immutable"
    part = await service.http.get("/messages/msg_1/attachments/0")
    assert part.headers["cache-control"] == "private, max-age=3600"


async def _wire(service: Client, path: str, accepted: str) -> tuple[httpx.Headers, bytes]:
    """The header fields, and the octets as they come."""
    async with service.http.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
        return answer.headers, b"".join([block async for block in answer.aiter_raw()])


async def test_json_is_compressed_for_those_who_take_it(service: Client) -> None:
    plain = (await service.http.get("/messages/msg_1", headers={"Accept-Encoding": "identity"})).content
    lengths = set()
    for accepted in ("gzip", "br, gzip;q=0.5", "GZIP", *["deflate,x-gzip"] * 20):
        headers, octets = await _wire(service, "/messages/msg_1", accepted)
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
        assert headers["content-length"] == str(len(octets))
        assert gzip.decompress(octets) == plain
        lengths.add(len(octets))
    assert len(lengths) > 1, "its length tells how well it was compressed"
    for accepted in ("", "br", "gzip;q=0", "gzip; q=0.000, br"):
        headers, octets = await _wire(service, "/messages/msg_1", accepted)
        assert ("content-encoding" in headers, octets) == (False, plain)
        assert headers["vary"] == "Accept-Encoding"
    lines = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert (await service.http.get("/messages/msg_1", headers=lines)).headers["content-encoding"] == "gzip"
    _, octets = await _wire(service, "/openapi.json", "gzip")
    assert len(octets) < len((await service.http.get("/openapi.json")).content) / 4
    for path in ("/livez", "/messages/msg_1/raw", "/messages/msg_1/attachments/0"):
        assert "content-encoding" not in (await _wire(service, path, "gzip"))[0], path


async def test_a_strong_tag_is_of_octets_that_are_not_compressed(service: Client) -> None:
    await service.http.patch("/mailboxes/mbx_1", json={"name": "n" * 200})
    for path in (
        "/mailboxes/mbx_1",
        "/messages/msg_1/raw",
        "/docs/files/swagger-ui.css",
        "/docs/page/start.js",
    ):
        plain, octets = await _wire(service, path, "identity")
        packed, _ = await _wire(service, path, "gzip")
        assert len(octets) > 1024
        assert packed["etag"] == plain["etag"]
        is_weak = plain["etag"].startswith("W/")
        assert ("content-encoding" in packed, "vary" in packed, "vary" in plain) == (is_weak,) * 3, path
        assert is_weak is path.startswith("/docs/")
        again = await service.http.get(path, headers={"If-None-Match": plain["etag"]})
        assert again.status_code == (200 if "mailboxes" in path else 304)


async def test_events_come_as_they_happen_also_to_those_who_take_gzip(service: Client) -> None:
    headers, octets = await _wire(service, "/syncs/syn_1/events", "gzip")
    assert "content-encoding" not in headers
    assert b"event: done" in octets
