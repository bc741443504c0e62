"""What a reader of lists relies on: a parameter is understood or refused, and a cursor knows what it belongs to."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlmodel import Session

from app.database import driver_url
from app.messages import repository
from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.rows import NOW
from tests.service import Client, running, settings_for


def store(data_dir: Path, *, mailbox_id: int, count: int, every: timedelta = timedelta()) -> None:
    """Messages m0, m1, … of a mailbox, as if they had been retrieved."""
    engine = create_engine(driver_url(settings_for(data_dir).effective_database_url))
    with Session(engine) as db:
        content = b"x" * 32
        repository.add_contents(db, [{"sha256": content, "octets": 1, "blocks": 1, "data": b""}])
        first = repository.take_places(db, count, octets=count)
        blank = {"occurrence": 1, "to": [], "cc": [], "reply_to": [], "octets": 1, "raw_sha256": content}
        blank |= {"has_attachments": False, "snippet": "", "warnings": [], "mailbox_id": mailbox_id}
        rows = [
            blank
            | {
                "seq": first + n,
                "subject": f"m{n}",
                "unique_id": b"%d" % (first + n),
                "retrieved_at": NOW + n * every,
            }
            | {"message_id": f"<{mailbox_id}-{n}@example.org>"}
            for n in range(count)
        ]
        repository.add_messages(db, rows)
        db.commit()
    engine.dispose()


LISTS = (
    "/messages",
    "/mailboxes",
    "/api-keys",
    "{mailbox}/messages",
    "{mailbox}/syncs",
    "{mailbox}/unique-ids",
)


async def pointers(service: Client, query: str) -> dict[str, str]:
    problem = assert_problem(await service.http.get(query), 422, "invalid_request")
    return {fault["pointer"]: fault["detail"] for fault in problem["errors"]}


async def test_a_parameter_that_is_not_declared_is_refused_on_every_route_and_the_nearest_is_named(
    service: Client,
) -> None:
    document = (await service.http.get("/openapi.json")).json()
    asked = 0
    for path, operations in document["paths"].items():
        for method in operations:
            url = path.replace("{", "").replace("}", "")
            answer = await service.http.request(method, f"{url}?nonsense=1")
            if path in {"/livez", "/readyz", "/metrics"}:
                assert answer.status_code == 200
                continue
            told = assert_problem(answer, 422, "invalid_request")["errors"][0]
            assert told["pointer"] == "/query/nonsense", f"{method} {path}"
            asked += 1
    assert asked > 20
    for query, name, hint in (
        ("/messages?cursor=x", "cursor", "'after'"),
        ("/messages?mailboxid=mbx_1", "mailboxid", "'mailbox_id'"),
        ("/messages?per_page=5", "per_page", "'limit'"),
        ("/mailboxes?limt=5", "limt", "'limit'"),
        ("/mailboxes?zzz=5", "zzz", "after, external_id, health, host, label, limit"),
        ("/mailboxes?limit=1&limit=2", "limit", "twice"),
        ("/mailboxes?a/~b=1", "a~1~0b", "known are"),
    ):
        told_all = await pointers(service, query)
        assert hint in told_all[f"/query/{name}"]


async def test_filters_are_values_or_and_names_and(service: Client, tmp_path: Path) -> None:
    ids = [(await service.http.post("/mailboxes", json=MAILBOX | {"name": n})).json()["id"] for n in "abc"]
    for number in (1, 2, 3):
        store(tmp_path / "data", mailbox_id=number, count=2)

    async def asked(query: str) -> list[str]:
        answer = await service.http.get(f"/messages?{query}")
        assert answer.status_code == 200, answer.text
        return [f"{item['mailbox_id'][-1]}:{item['subject']}" for item in answer.json()["items"]]

    assert len(await asked("")) == 6
    assert await asked(f"mailbox_id={ids[1]}") == ["2:m0", "2:m1"]
    assert await asked(f"mailbox_id={ids[0]}&mailbox_id={ids[2]}&subject=m1") == ["1:m1", "3:m1"]
    assert await asked("subject=m0&subject=m1&from_address=a@example.org") == []
    assert await asked("message_id=%3C2-0@example.org%3E&message_id=%3C3-1@example.org%3E") == [
        "2:m0",
        "3:m1",
    ]
    for unknown in ("mbx_9", "x", ids[0] + "&mailbox_id=mbx_77"):
        assert "/query/mailbox_id" in await pointers(service, f"/messages?mailbox_id={unknown}")


async def test_a_cursor_of_another_list_order_or_filter_is_refused_and_old_ones_are_not(
    service: Client, tmp_path: Path
) -> None:
    for name in "ab":
        made = await service.http.post("/mailboxes", json=MAILBOX | {"name": name})
        await service.http.post("/api-keys", json={"name": name, "scopes": ["read"]})
    store(tmp_path / "data", mailbox_id=1, count=3)
    mailbox = made.headers["location"]
    cursors = {}
    for query in ("/mailboxes?limit=1", "/api-keys?limit=1", "/messages?limit=1", "/messages?limit=1&order=newest",
                  "/messages?limit=1&subject=m", "/mailboxes/mbx_1/messages?limit=1"):  # fmt: skip
        page = (await service.http.get(query)).json()
        assert page["has_more"] is True
        cursors[query] = page["next_cursor"]
    for query in cursors:
        for other, cursor in cursors.items():
            path = query.replace("limit=1", "limit=2")
            answer = await service.http.get(f"{path}&after={cursor}")
            if other == query:
                assert answer.status_code == 200
            else:
                assert "after=latest" in assert_problem(answer, 400, "cursor_mismatch")["detail"]
    same = await service.http.get(
        f"/messages?mailbox_id=mbx_1&after={cursors['/mailboxes/mbx_1/messages?limit=1']}"
    )
    assert [item["subject"] for item in same.json()["items"]] == ["m1", "m2"]
    for path in ("/messages", "/mailboxes", "/api-keys", f"{mailbox}/syncs"):
        assert (
            await service.http.get(f"{path}?after=bTE6MQ")
        ).status_code == 200  # as version 1 gave them: "m1:1"


async def test_a_reader_of_another_feed_or_ahead_of_this_one_is_told_at_once(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path / "a")) as one:
        await one.http.post("/mailboxes", json=MAILBOX)
        store(tmp_path / "a", mailbox_id=1, count=3)
        ahead = (await one.http.get("/messages")).json()["next_cursor"]
    async with running(settings_for(tmp_path / "b")) as other:
        await other.http.post("/mailboxes", json=MAILBOX)
        for cursor in (ahead, "bTE6OTk"):
            problem = assert_problem(
                await other.http.get(f"/messages?wait=30&after={cursor}"), 410, "cursor_gone"
            )
            store(tmp_path / "b", mailbox_id=1, count=1)
            for name, count in (("earliest", None), ("latest", 1)):
                page = (await other.http.get("/messages", params={"after": problem[name]})).json()
                assert count is None or len(page["items"]) == count
    async with running(settings_for(tmp_path / "a")) as one:
        assert (await one.http.get(f"/messages?after={ahead}")).json()["items"] == []


async def test_a_cursor_of_another_database_is_none_of_any_list(tmp_path: Path) -> None:
    async def fill(client: Client) -> None:
        for number in range(3):
            await client.http.post("/mailboxes", json=MAILBOX | {"username": f"u{number}"})
            await client.http.post("/api-keys", json={"name": f"k{number}", "scopes": ["read"]})

    lists = ("/mailboxes", "/api-keys", "/audit")
    cursors = {}
    async with running(settings_for(tmp_path / "one")) as client:
        await fill(client)
        for path in lists:
            page = (await client.http.get(path, params={"limit": 1})).json()
            cursors[path] = page["next_cursor"]
            again = await client.http.get(path, params={"after": page["next_cursor"]})
            assert again.status_code == 200
    async with running(settings_for(tmp_path / "other")) as client:
        await fill(client)
        for path in lists:
            gone = await client.http.get(path, params={"after": cursors[path]})
            assert_problem(gone, 410, "cursor_gone")


async def test_a_reader_begins_at_the_end_the_beginning_or_a_time(service: Client, tmp_path: Path) -> None:
    await service.http.post("/mailboxes", json=MAILBOX)
    store(tmp_path / "data", mailbox_id=1, count=40, every=timedelta(minutes=1))

    async def subjects(**query: Any) -> list[str]:
        answer = await service.http.get("/messages", params={"limit": 200} | query)
        assert answer.status_code == 200, answer.text
        return [item["subject"] for item in answer.json()["items"]]

    assert len(await subjects(after="earliest")) == 40
    latest = (await service.http.get("/messages?after=latest")).json()
    assert (latest["items"], latest["has_more"]) == ([], False)
    store(tmp_path / "data", mailbox_id=1, count=1)
    assert await subjects(after=latest["next_cursor"]) == ["m0"]
    for minutes, count in ((-5, 41), (0, 41), (20, 21), (39, 2)):
        moment = (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
        assert len(await subjects(after_time=moment)) == count, minutes
    assert await subjects(after_time=(datetime.now(UTC) + timedelta(days=9)).isoformat()) == []
    for query in ("after=latest&order=newest", "after_time=2026-01-01T00:00:00Z&after=latest"):
        assert await pointers(service, f"/messages?{query}")


async def test_every_list_says_whether_there_is_more_and_no_link_leads_beyond_its_end(
    service: Client, tmp_path: Path
) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX)
    store(tmp_path / "data", mailbox_id=1, count=3)
    for path in LISTS:
        answer = await service.http.get(path.format(mailbox=made.headers["location"]))
        assert answer.json()["has_more"] is False
        assert "link" not in answer.headers, path
    answer = await service.http.get("/messages?limit=2")
    assert answer.json()["has_more"] is True
    last = await service.http.get(answer.links["next"]["url"])
    assert (len(last.json()["items"]), last.links) == (1, {})
    assert last.json()["next_cursor"]
