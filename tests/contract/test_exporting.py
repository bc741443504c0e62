"""Mail out as one file, over HTTP, on SQLite and PostgreSQL alike."""

import io
import json
import mailbox
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.messages.letters.contents import BLOCK_OCTETS
from tests.contract.test_including import letter
from tests.letters_stored import stored
from tests.service import Client, running, settings_for
from tests.unit.archives.test_mbox import read as read_mbox
from tests.unit.archives.test_mbox import written as write_mbox

LARGE = letter("large", "y" * 70 + "\r\n" + "From here\r\n" * (BLOCK_OCTETS // 11) + "end")[:-2]
LETTERS = [
    letter("one", "first\r\nFrom the start\r\n>From it"),
    b"",
    b"no end",
    b"Subject: lf\n\nFrom a@b Mon Nov 30 14:00:00 2026\n\nFrom x\n",
    b"Subject: cr\r\rFrom x\r",
    "Subject: Grüße\r\n\r\n\xff\x00".encode("latin-1"),
    LARGE,
    letter("last", "z"),
]


def unpacked(file: bytes, kind: str) -> tuple[list[bytes], dict[str, Any]]:
    """The messages of a file, as others read them, and its manifest."""
    if kind == "mbox":
        return read_mbox(file), {}
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(file)) as tar:
            contents = {one.name: member.read() for one in tar if (member := tar.extractfile(one))}
    manifest = json.loads(contents.pop(next(name for name in contents if name.endswith(".json"))))
    return list(contents.values()), manifest


async def exported(client: Client, path: str = "/mailboxes/mbx_1/export", **query: Any) -> bytes:
    answer = await client.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_a_mailbox_goes_out_octet_for_octet_in_each_format(tmp_path: Path, database_url: str) -> None:
    ids = await stored(tmp_path, LETTERS, url=database_url)
    async with running(settings_for(tmp_path, database_url=database_url)) as client:
        for kind in ("mbox", "zip", "maildir-tar"):
            messages, manifest = unpacked(await exported(client, format=kind), kind)
            assert messages == LETTERS, kind
            if kind != "mbox":
                assert (manifest["messages"], manifest["is_complete"]) == (len(LETTERS), True)
        # In parts: by the cursor of the manifest, by the id of the last message that came whole, by filters.
        first = unpacked(await exported(client, format="zip", limit=3), "zip")
        assert (first[0], first[1]["is_complete"]) == (LETTERS[:3], False)
        rest = await exported(client, format="zip", after=first[1]["next_cursor"])
        assert unpacked(rest, "zip")[0] == LETTERS[3:]
        rest = await exported(client, "/messages/export", format="mbox", after_message=ids[5])
        assert read_mbox(rest) == LETTERS[6:]
        assert rest.startswith(f"From {ids[6]}+unended@maildelta Thu Jan  1 00:00:00 2026\n".encode())
        some = await exported(
            client, "/v1/messages/export", format="mbox", subject="large", mailbox_id="mbx_1"
        )
        assert read_mbox(some) == [LARGE]
        assert unpacked(await exported(client, subject="none"), "zip")[0] == []
        # Deleted messages are passed over; the feed's cursor goes on here, and the other way round.
        await client.http.delete(f"/messages/{ids[6]}")
        page = (await client.http.get("/messages", params={"limit": 5})).json()
        behind = await exported(client, "/messages/export", format="maildir-tar", after=page["next_cursor"])
        messages, manifest = unpacked(behind, "maildir-tar")
        assert messages == [LETTERS[5], LETTERS[7]]
        on = await client.http.get("/messages", params={"after": manifest["next_cursor"]})
        assert on.json()["items"] == []
        for query, status in (
            ({"format": "rar"}, 422), ({"after": "x"}, 400), ({"after": "a", "after_message": "msg_1"}, 422),
            ({"after_message": "msg_99"}, 410), ({"after_message": "mbx_1"}, 404), ({"limit": 0}, 422),
        ):  # fmt: skip
            refused = await client.http.get("/messages/export", params=query)
            assert refused.status_code == status, query
        assert (await client.http.get("/mailboxes/mbx_9/export")).status_code == 404
        packed = await client.http.get("/messages/export", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in packed.headers
        assert packed.headers["content-disposition"] == 'attachment; filename="messages.zip"'


def test_others_read_the_mbox_that_is_written(tmp_path: Path) -> None:
    """The standard library's reader unquotes nothing, and finds each message."""
    (tmp_path / "mbox").write_bytes(write_mbox(LETTERS[:6]))
    with closing(mailbox.mbox(tmp_path / "mbox")) as file:
        assert [message["subject"] for message in file][::3] == ["one", "lf"]


async def test_a_key_exports_what_it_reaches(tmp_path: Path) -> None:
    await stored(tmp_path, LETTERS[:3])
    async with running(settings_for(tmp_path)) as client:
        body = {"name": "x", "scopes": ["read"], "labels": ["others"]}
        key = (await client.http.post("/api-keys", json=body)).json()["key"]
        headers = {"Authorization": f"Bearer {key}"}
        answer = await client.http.get("/messages/export", params={"format": "mbox"}, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await client.http.get("/mailboxes/mbx_1/export", headers=headers)).status_code == 404


@pytest.mark.parametrize("kind", ["mbox", "zip", "maildir-tar"])
async def test_an_export_of_nothing_is_a_file_all_the_same(tmp_path: Path, kind: str) -> None:
    async with running(settings_for(tmp_path)) as client:
        assert unpacked(await exported(client, "/messages/export", format=kind), kind)[0] == []
