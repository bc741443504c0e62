"""Pages with what was read of each letter: cut, marked, shared; over HTTP, on SQLite and PostgreSQL alike."""

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.mail.mime import parse
from app.messages.injected import MessageRoutes
from app.reading.shares import Owner
from app.reading.threads import FairThreads, Result, Steps
from tests.letters_stored import stored
from tests.service import Client, LocalClient, running, settings_for


def letter(subject: str, text: str, *more: str) -> bytes:
    head = [f"Subject: {subject}", "From: a@example.org", "Content-Type: text/plain; charset=utf-8", *more]
    return "\r\n".join([*head, "", text, ""]).encode()


HTML = b"Subject: page\r\nContent-Type: text/html\r\n\r\n<p>Hello</p><script>bad()</script>\r\n"
LONG = letter("long", "ü" * 40_000)
ATTACHED = (
    b"Subject: file\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
    b"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--\r\n"
)
LETTERS = [letter("one", "first"), HTML, LONG, ATTACHED, letter("one", "first"), b"", letter("last", "z")]


async def pages(client: Client, path: str = "/messages", **query: Any) -> list[list[dict[str, Any]]]:
    """Every page up to the feed's end."""
    found, after = list[list[dict[str, Any]]](), "earliest"
    while True:
        answer = await client.http.get(path, params={"after": after, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page["items"])
        if not page["has_more"]:
            assert "link" not in answer.headers
            return found
        assert f"include={query['include'].replace(',', '%2C')}" in answer.headers["link"]
        after = page["next_cursor"]


async def test_a_page_holds_of_each_message_what_is_asked_for(tmp_path: Path, database_url: str) -> None:
    ids = await stored(tmp_path, LETTERS, url=database_url)
    async with running(settings_for(tmp_path, database_url=database_url)) as client:
        http = client.http
        (plain,), (items,) = await pages(client, include=""), await pages(client, include="text,html")
        assert [set(item) - set(plain[0]) for item in items] == [
            {"text", "html", "text_truncated", "html_truncated"}
        ] * len(LETTERS)
        for item, raw in zip(items, LETTERS, strict=True):
            parsed = parse(raw)
            assert item["html"] == parsed.html
            assert set(item["warnings"]) == {*parsed.warnings}
            if raw != LONG:
                assert (item["text"], item["text_truncated"]) == (parsed.text, False)
        assert (items[2]["text"], items[2]["text_truncated"]) == ("ü" * 32_768, True)
        (chosen,) = await pages(
            client, "/mailboxes/mbx_1/messages", include="headers,attachments", fields="id,from"
        )
        assert [set(item) for item in chosen] == [{"id", "from", "headers", "attachments"}] * len(LETTERS)
        assert chosen[3]["attachments"][0]["filename"] == "a.csv"
        (bare,) = await pages(client, include="", fields="seq,subject", text_limit=5)
        assert bare[0] == {"seq": 1, "subject": "one"}
        (short,) = await pages(client, include="text", fields="id", text_limit=3)
        assert short[2] == {"id": ids[2], "text": "ü", "text_truncated": True}
        # A cursor is of the feed, whatever is told of its messages.
        first = (await http.get("/messages", params={"include": "text", "limit": 2})).json()
        on = await http.get("/messages", params={"fields": "id", "after": first["next_cursor"]})
        assert [item["id"] for item in on.json()["items"]] == ids[2:]
        for query in ({"fields": "bodi"}, {"include": "rawurl"}, {"text_limit": 0}, {"text_limit": 10**9}):
            assert (await http.get("/messages", params=query)).status_code == 422


async def test_one_message_is_answered_whole_unless_fields_say_what_of_it(
    tmp_path: Path, database_url: str
) -> None:
    ids = await stored(tmp_path, [LONG, ATTACHED], url=database_url)
    async with running(settings_for(tmp_path, database_url=database_url)) as client:
        whole = await client.http.get(f"/messages/{ids[0]}")
        assert whole.json()["text"] == parse(LONG).text
        assert {"html", "headers", "attachments"} < set(whole.json())
        assert "text_truncated" not in whole.json()
        some = await client.http.get(
            f"/messages/{ids[0]}", params={"fields": "subject,text", "text_limit": 4}
        )
        assert some.json() == {"subject": "long", "text": "üü", "text_truncated": True}
        assert some.headers["etag"] != whole.headers["etag"]
        again = await client.http.get(
            f"/messages/{ids[0]}",
            params={"fields": "text,subject", "text_limit": 4},
            headers={"If-None-Match": some.headers["etag"]},
        )
        assert again.status_code == 304
        anew = await client.http.post(f"/messages/{ids[1]}/reparse")
        assert anew.json() == (await client.http.get(f"/messages/{ids[1]}")).json()


def compose(client: LocalClient, **changes: Any) -> None:
    """Have answers composed otherwise."""
    feature = client.feature(MessageRoutes)
    client.serve(replace(feature, composer=replace(feature.composer, **changes)))


class CountingThreads(FairThreads):
    """They count what they were asked for."""

    works = 0

    async def run(self, owner: Owner, work: Steps[Result]) -> Result:
        self.works += 1
        return await super().run(owner, work)


async def test_a_page_is_cut_where_it_is_full_and_a_larger_message_comes_alone(
    tmp_path: Path, database_url: str
) -> None:
    letters = [letter(f"m{n}", "x" * size) for n, size in enumerate([10, 900, 10, 5000, 10, 10])]
    ids = await stored(tmp_path, letters, url=database_url)
    async with running(settings_for(tmp_path, database_url=database_url)) as client:
        compose(client, page_octets=2500)
        found = await pages(client, include="text", fields="id,subject")
        assert [item["id"] for page in found for item in page] == ids
        assert [len(page) for page in found] == [3, 1, 2]
        compose(client, page_octets=1)
        newest = await client.http.get("/messages", params={"order": "newest", "include": "text", "limit": 3})
        assert [item["id"] for item in newest.json()["items"]] == ids[-1:]
        assert newest.json()["has_more"]
        more = {"order": "newest", "include": "text", "after": newest.json()["next_cursor"]}
        assert [one["id"] for one in (await client.http.get("/messages", params=more)).json()["items"]] == [
            ids[-2]
        ]


async def test_a_page_ends_in_time_and_the_next_one_goes_on(tmp_path: Path) -> None:
    await stored(tmp_path, [letter(f"m{n}", "x") for n in range(40)])
    async with running(settings_for(tmp_path)) as client:
        compose(client, page_seconds=-1.0)
        assert [len(page) for page in await pages(client, include="text")] == [16, 16, 8]


async def test_letters_that_are_read_for_one_are_not_read_again_for_another(tmp_path: Path) -> None:
    await stored(tmp_path, [letter(f"m{n}", "x") for n in range(3)] + [letter("m0", "x")])
    with closing(CountingThreads(2, name="counted")) as threads:
        async with running(settings_for(tmp_path)) as client:
            await one_reads_for_all(client, threads)


async def one_reads_for_all(client: LocalClient, threads: CountingThreads) -> None:
    compose(client, letters=replace(client.feature(MessageRoutes).letters, threads=threads))
    answers = await asyncio.gather(
        *(client.http.get("/messages", params={"include": "text"}) for _ in range(5)),
        *(client.http.get("/messages/msg_1") for _ in range(5)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= threads.works <= 2
    before = threads.works
    await client.http.get("/messages", params={"include": "html,headers"})
    assert threads.works == before
