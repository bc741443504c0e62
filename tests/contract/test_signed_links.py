"""Links that open without a key, over HTTP, on SQLite and PostgreSQL alike."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from tests.contract.test_including import ATTACHED, letter
from tests.letters_stored import stored
from tests.service import API_KEY, running, settings_for

ALL = {"include": "raw_url,attachments"}


async def test_a_link_opens_one_thing_without_a_key_until_its_key_is_gone(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = await stored(tmp_path, [ATTACHED, letter("two", "x" * 3000)], url=database_url)
    settings = settings_for(tmp_path, database_url=database_url, log_format="json", wrong_keys_per_minute=0)
    async with running(settings) as client:
        made = (await client.http.post("/api-keys", json={"name": "reader", "scopes": ["read"]})).json()
        key = {"Authorization": f"Bearer {made['key']}"}
        nobody = client.stranger()
        page = (await client.http.get("/v1/messages", params=ALL, headers=key)).json()["items"]
        raw, attached = page[0]["raw_url"], page[0]["attachments"][0]["url"]
        assert raw.startswith(f"/v1/messages/{ids[0]}/raw?link=")
        one = await client.http.get(f"/messages/{ids[0]}", params={"include": "raw_url"}, headers=key)
        plain = await client.http.get(f"/messages/{ids[0]}", headers=key)
        assert {"raw_url", "text", "attachments"} < set(one.json())
        assert "raw_url" not in plain.json()
        assert "url" not in plain.json()["attachments"][0]
        again = {**key, "If-None-Match": one.headers["etag"]}
        answer = await client.http.get(f"/messages/{ids[0]}", params={"include": "raw_url"}, headers=again)
        assert answer.status_code == 304, "what is signed anew is the same message"

        opened = await nobody.get(raw)
        assert (opened.status_code, opened.content) == (200, ATTACHED)
        assert opened.headers["cache-control"] == "private, no-store"
        assert opened.headers["content-disposition"].startswith("attachment")
        assert opened.headers["referrer-policy"] == "no-referrer"
        assert (await nobody.get(attached)).content == b"1,2"
        head = await nobody.head(raw)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(ATTACHED)))
        part = await nobody.get(raw, headers={"Range": "bytes=3-5"})
        assert (part.status_code, part.content, part.headers["cache-control"]) == (
            206,
            ATTACHED[3:6],
            "private, no-store",
        )
        bare = raw.removeprefix("/v1")
        assert (await nobody.get(bare)).status_code == 200, "with the prefix or without it"

        word = raw.partition("=")[2]
        for path in (
            f"/messages/{ids[1]}/raw?link={word}",
            f"/messages/{ids[0]}/attachments/0?link={word}",
            f"/messages/{ids[0]}/raw?link={word[:-2]}",
            f"/messages/{ids[0]}/raw?link=",
        ):
            refused = await nobody.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "link_not_valid")
            assert word not in refused.text
        for path in (f"/messages/{ids[0]}?link={word}", f"/messages?link={word}", f"/mailboxes?link={word}"):
            assert (await nobody.get(path)).status_code == 401
        wrong = await nobody.get(raw, headers={"Authorization": "Bearer wrong"})
        assert wrong.json()["code"] == "unauthorized", "who sends a key is judged by it"
        twice = await nobody.get(f"{raw}&link={word}")
        assert twice.status_code in {401, 422}
        metrics = (await client.http.get("/metrics")).text

        async def rotated(seconds: int) -> str:
            """The key has another secret from now on; a link that was made with the one before."""
            before = await client.http.get(f"/messages/{ids[0]}", params={"include": "raw_url"}, headers=key)
            path = f"/api-keys/{made['id']}/rotate"
            answer = await client.http.post(path, params={"overlap_seconds": seconds})
            key["Authorization"] = f"Bearer {answer.json()['key']}"
            return str(before.json()["raw_url"])

        older = await rotated(60)
        assert (await nobody.get(older)).status_code == 200, "the secret that it was made with is still valid"
        leaked = await rotated(0)
        ended = [(await nobody.get(link)).status_code for link in (raw, older, leaked)]
        assert ended == [401, 401, 401], "with the secrets their links end"
        raw = (await client.http.get("/messages", params=ALL, headers=key)).json()["items"][0]["raw_url"]
        assert (await nobody.get(raw)).status_code == 200
        assert (await client.http.delete(f"/api-keys/{made['id']}")).status_code == 204
        assert (await nobody.get(raw)).status_code == 401
        await nobody.aclose()
    told = capsys.readouterr()
    assert word not in told.out + told.err + metrics
    assert f"{made['id']}-link" in told.out + told.err


async def test_links_of_the_first_key_end_in_time_and_without_a_secret_key_none_is_made(
    tmp_path: Path,
) -> None:
    ids = await stored(tmp_path, [ATTACHED])
    moved = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + moved

    app = create_app(settings_for(tmp_path, link_seconds=60, wrong_keys_per_minute=2), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as nobody:
            asked: dict[str, Any] = {"params": ALL, "headers": {"Authorization": f"Bearer {API_KEY}"}}
            raw = (await nobody.get(f"/messages/{ids[0]}", **asked)).json()["raw_url"]
            assert raw.startswith("/messages/")
            assert (await nobody.get(raw)).status_code == 200
            moved = timedelta(seconds=61)
            answers = [(await nobody.get(raw)).status_code for _ in range(4)]
            assert answers == [401, 401, 429, 429], "as wrong keys are counted"
    async with running(settings_for(tmp_path, without_secrets=True)) as client:
        for path in ("/messages", f"/messages/{ids[0]}"):
            refused = await client.http.get(path, params=ALL)
            assert (refused.status_code, refused.json()["code"]) == (409, "without_secrets")
        assert (await client.http.get(f"/messages/{ids[0]}")).status_code == 200
