"""What strangers, and callers with odd input, get: a clear answer, before anything of theirs was worked on."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.acceptance.test_api import MAILBOX, assert_problem, make_key
from tests.service import API_KEY, Client, running, settings_for

NO_KEY = {"Authorization": ""}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """The service on each database."""
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else ""
    async with running(settings_for(tmp_path / "data", database_url=url)) as client:
        yield client


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as captured:
        yield captured


class Body(httpx.AsyncByteStream):
    """A body that notes whether anything of it was read."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            self.taken += len(block)
            yield block


async def test_a_key_is_judged_before_an_octet_of_the_body_is_read(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    read = await make_key(service, "read")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" not in operation:
                continue
            url = path.replace("{", "").replace("}", "")
            for headers, status, code in ((NO_KEY, 401, "unauthorized"), (read, 403, "forbidden")):
                body = Body(b'{"broken')
                request = service.http.build_request(method, url, headers=JSON | headers, content=body)
                assert_problem(await service.http.send(request), status, code)
                assert body.taken == 0, f"{method} {path}"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_read_no_further(service: Client, announced: bool) -> None:
    body = Body(*[b" " * 65536] * 20)
    headers = JSON | ({"Content-Length": str(20 * 65536)} if announced else {"Transfer-Encoding": "chunked"})
    assert_problem(
        await service.http.post("/mailboxes", content=body, headers=headers), 413, "body_too_large"
    )
    assert body.taken <= (0 if announced else 17 * 65536)


async def test_an_import_may_be_larger_than_other_bodies_and_the_settings_bound_both(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, max_body_octets=1000, max_import_octets=3000)
    async with running(settings) as service:
        made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
        large = json.dumps(MAILBOX | {"name": "x" * 1000}).encode()
        assert_problem(
            await service.http.post("/mailboxes", content=large, headers=JSON), 413, "body_too_large"
        )
        lines = b"".join(b"invoices@example.org pop.example.org uid%05d\n" % n for n in range(60))
        answer = await service.http.post(f"{made}/unique-ids/import", content=lines[:2900])
        assert answer.status_code in {200, 422}
        assert_problem(
            await service.http.post(f"{made}/unique-ids/import", content=lines * 2), 413, "body_too_large"
        )


async def test_a_long_import_is_committed_in_parts_and_may_be_repeated(either: Client) -> None:
    made = (await either.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    account = b"invoices@example.org@pop.example.org"
    lines = [b"%b uid%05d" % (account, n) for n in range(4500)]
    for body, told in ((lines[:1500], (1500, 0)), (lines + lines[:9], (3000, 1509)), (lines, (0, 4500))):
        answer = await either.http.post(f"{made}/unique-ids/import", content=b"\n".join(body))
        assert (answer.json()["imported"], answer.json()["already_known"]) == told
    other = await either.http.post(f"{made}/unique-ids/import", content=b"ann@mx.example.org 1\n" * 2500)
    assert "ann@mx.example.org" in assert_problem(other, 422, "invalid_request")["errors"][0]["detail"]


async def test_a_body_that_does_not_come_is_408(tmp_path: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"name":'
        await asyncio.sleep(30)

    async with running(settings_for(tmp_path, body_timeout_seconds=0.2)) as service:
        assert_problem(
            await service.http.post("/mailboxes", content=slow(), headers=JSON), 408, "request_timeout"
        )


async def test_only_json_is_taken_for_json(service: Client) -> None:
    for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "jsön"):
        answer = await service.http.post(
            "/mailboxes", content=json.dumps(MAILBOX), headers={b"Content-Type": content_type.encode()}
        )
        assert_problem(answer, 415, "unsupported_media_type")
    answer = await service.http.post(
        "/mailboxes", content=json.dumps(MAILBOX), headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )
    assert answer.status_code == 201
    answer = await service.http.post(
        "/mailboxes", content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": "gzip"}
    )
    assert "compressed" in assert_problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["accept-encoding"] == "identity"


DEEP = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ODD_BODIES = [
    b"\xff\xfe{}", b'{"name": "\xff"}', '{"name": "x"}'.encode("utf-16"), b'{"name": "\xed\xa0\x80"}', b"{", b"[1,]",
    b'{"name": NaN}', b'{"name": Infinity}', b'{"port": -Infinity}', b'{"port": 1e999}', b'{"name": "a", "name": "b"}',
    b'{"port": 99999999999999999999}', b'{"port": ' + b"9" * 10_000 + b"}", b'{"name": "\\ud800"}', b'{"\\udfff": 1}',
    b'{"name": "a\\u0000b"}', b'{"\\u0000": 1}', b'{"labels": ["\\u0000"]}', DEEP, b"[" * 40 + b"]" * 40, b"null", b"7",
    b'{"criteria": {"all": [{"field": "octets", "op": "lt", "value": 1e400}]}}', b'"\\ud83d"', b"{}" * 2,
    b"\xef\xbb\xbf{}", b'{"a":{"b":["\\ud800"]}}',
]  # fmt: skip


async def test_odd_documents_are_said_to_be_so_and_nothing_else(service: Client) -> None:
    for body in ODD_BODIES:
        for method, path in (("POST", "/mailboxes"), ("POST", "/api-keys"), ("POST", "/mailboxes/test")):
            answer = await service.http.request(method, path, content=body, headers=JSON)
            if answer.status_code == 400:
                assert_problem(answer, 400, "malformed_json")
                continue
            problem = assert_problem(answer, 422, "invalid_request")
            assert problem["errors"], body[:40]


async def test_odd_text_is_refused_where_it_stands(service: Client) -> None:
    async def pointers(change: dict[str, Any]) -> set[str]:
        body = json.dumps(MAILBOX | change)
        problem = assert_problem(
            await service.http.post("/mailboxes", content=body, headers=JSON), 422, "invalid_request"
        )
        return {fault["pointer"] for fault in problem["errors"]}

    assert await pointers({"name": "a\0b"}) == {"/name"}
    assert await pointers(
        {"criteria": {"all": [{"field": "subject", "op": "equals", "value": "\ud800"}]}}
    ) == {"/criteria/all/0/value"}
    for control in "\x01\r\n\x1b\x7f\x85\u2028":
        assert await pointers({"name": f"a{control}b"}) == {"/name"}
    assert await pointers(
        {"ca_certificates": "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----"}
    ) == {"/ca_certificates"}


ODD_QUERIES = [
        "since=0.5", "until=0.5", "since=1", "until=1e400", "since=9999-12-31T23:59:59-14:00",
        "until=0001-01-01T00:00:00%2B14:00", "since=99999-01-01T00:00:00Z", "since=2026-02-30T00:00:00Z",
        "since=2026-11-23", "since=2026-11-23T00:00:00", "until=", "since=%00", "subject=%00", "subject=a%00b",
        "from=%ff", "to=%ed%a0%80", "subject=%c3", "limit=99999999999999999999", "limit=" + "9" * 5000, "limit=NaN",
        "limit=-1", "wait=1e3", "wait=61", "order=%00", "has_attachments=%ff", "%ff=1", "a%00=1",
    ]  # fmt: skip


async def test_odd_queries_are_422_and_nothing_else(either: Client) -> None:
    for query in ODD_QUERIES:
        problem = assert_problem(await either.http.get(f"/messages?{query}"), 422, "invalid_request")
        assert problem["errors"][0]["pointer"].startswith("/query/")


ODD_CURSORS = [
    "",
    "%F0%9F%92%A3",
    "a" * 201,
    "bTE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    "bTE6LTE",
    "bTE6MDA",
    "bTE6wrI",
]


async def test_odd_cursors_are_answered(either: Client) -> None:
    for after in ODD_CURSORS:
        for path in ("/messages", "/mailboxes", "/api-keys"):
            answer = await either.http.get(f"{path}?after={after}")
            assert answer.status_code in {200, 400, 422}


ODD_IDS = ["mbx_99999999999999999999", "mbx_9223372036854775807", "mbx_999999999999999999", "%00", "mbx_1%00", "%ff",
     "%ed%a0%80", "mbx_%C2%B2", "mbx_1%0a", "..%2f", "%F0%9F%92%A3", "mbx_-1", "mbx_1e5"]  # fmt: skip


async def test_odd_ids_are_404_and_nothing_else(either: Client) -> None:
    for word in ODD_IDS:
        for path in (f"/mailboxes/{word}", f"/mailboxes/{word}/messages", f"/mailboxes/{word}/unique-ids"):
            assert_problem(await either.http.get(path), 404, "not_found")
        for kind, path in (("syn", "/syncs"), ("msg", "/messages"), ("key", "/api-keys")):
            answer = await either.http.request("DELETE", f"{path}/{word.replace('mbx', kind)}")
            assert_problem(answer, answer.status_code, answer.json()["code"])
            assert answer.status_code in {404, 405}
        for index in ("-1", "9" * 30, "9" * 5000, "%00", "%ff", "1.0", "NaN"):
            answer = await either.http.get(f"/messages/msg_1/attachments/{index}")
            assert answer.status_code in {404, 422}


async def test_names_that_no_database_would_take_are_taken_by_none_and_odd_ones_by_both(
    either: Client,
) -> None:
    for name in ("a\u200bb", "💣" * 200, "é", "\ufffe", "ܐ", "=1+1", "' OR 1=1 --"):
        made = await either.http.post("/mailboxes", json=MAILBOX | {"name": name})
        assert (made.status_code, made.json()["name"]) == (201, name)
    for path, body in (("/mailboxes", MAILBOX), ("/api-keys", {"scopes": ["read"]})):
        for name in ("\0", "\ud800", "a\x07", "\r\nx", "\x9b"):
            sent = json.dumps(body | {"name": name})
            answer = await either.http.post(path, content=sent, headers=JSON)
            assert_problem(answer, 422, "invalid_request")


async def test_odd_headers_are_no_error_of_ours(service: Client) -> None:
    for name in (
        "Authorization",
        "If-None-Match",
        "Content-Type",
        "Content-Length",
        "Accept",
        "X-Forwarded-For",
        "Cookie",
    ):
        for value in (b"\xff\xfe", b"\x80", b"Bearer \xff", b'"', b"md_" + b"\xc3" * 43, b"a" * 30_000):
            headers = {"Authorization": f"Bearer {API_KEY}"} | {name: value}
            for method, path in (
                ("GET", "/mailboxes"),
                ("GET", "/messages/msg_1/raw"),
                ("POST", "/mailboxes"),
            ):
                answer = await service.http.request(method, path, headers=headers)  # type: ignore[arg-type]  # octets beside text
                assert answer.status_code < 500


async def test_nobody_is_sent_elsewhere_for_a_slash(service: Client) -> None:
    for path in ("/mailboxes/", "/messages/", "/docs/", "http://service//mailboxes", "/livez/"):
        answer = await service.http.get(path, headers={"Host": "evil.example"})
        assert_problem(answer, 404, "not_found")
        assert "evil" not in str(answer.headers)


async def test_links_hold_only_parameters_that_the_route_knows(service: Client) -> None:
    for n in range(2):
        await service.http.post("/mailboxes", json=MAILBOX | {"name": f"m{n}"})
    refused = await service.http.get("/mailboxes?limit=1&key=secret&x=%0d%0aSet-Cookie:a")
    assert_problem(refused, 422, "invalid_request")
    assert not {"secret", "Cookie"} & set(re.findall(r"\w+", str(refused.headers)))
    link = (await service.http.get("/mailboxes?limit=1")).headers["link"]
    assert "limit=1" in link
    assert (await service.http.get(link[1 : link.index(">")])).json()["items"][0]["name"] == "m1"


async def test_every_answer_guards_the_browser_and_is_kept_by_nobody(service: Client) -> None:
    asked = [
        ("GET", p)
        for p in ("/livez", "/mailboxes", "/openapi.json", "/nowhere", "/docs", "/docs/files/swagger-ui.css")
    ]
    for method, path in [*asked, ("PUT", "/mailboxes"), ("POST", "/mailboxes"), ("POST", "/api-keys")]:
        for headers in ({}, NO_KEY):
            answer = await service.http.request(method, path, headers=headers)
            told = answer.headers
            assert told["x-content-type-options"] == "nosniff"
            assert told["x-frame-options"] == "DENY"
            assert told["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in told["content-security-policy"]
            assert told["cache-control"] == "no-store", path


async def test_the_docs_page_works_without_a_script_of_its_own_and_keeps_no_key(service: Client) -> None:
    page = await service.http.get("/docs", headers=NO_KEY)
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert page.text.count("<script") == page.text.count("<script src=") == 2
    started = await service.http.get("/docs/page/start.js", headers=NO_KEY)
    assert "persistAuthorization: false" in started.text
    assert started.headers["content-type"].startswith("text/javascript")


async def test_wrong_keys_are_429_in_the_end_and_a_right_one_never(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, wrong_keys_per_minute=5)) as service:
        right = await make_key(service, "read")
        wrong = [{"Authorization": f"Bearer md_{n:043}"} for n in range(8)]
        answers = [await service.http.get("/mailboxes", headers=each) for each in wrong]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert_problem(answers[-1], 429, "too_many_requests")
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        for headers in (right, {}):
            assert (await service.http.get("/mailboxes", headers=headers)).status_code == 200
        assert (await service.http.get("/mailboxes", headers=NO_KEY)).status_code == 401


async def test_a_setting_says_how_often_a_key_may_ask(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, requests_per_minute=4)) as service:
        other = await make_key(service, "read")
        statuses = [(await service.http.get("/mailboxes")).status_code for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2
        assert (await service.http.get("/mailboxes", headers=other)).status_code == 200
        assert (await service.http.get("/livez")).status_code == 200


@pytest.mark.parametrize("wait", ["wait=30", "w%61it=30"])
async def test_waiting_requests_are_counted_by_key_and_others_go_on(tmp_path: Path, wait: str) -> None:
    async with running(settings_for(tmp_path, waiting_requests_per_key=2)) as service:
        other = await make_key(service, "read")
        waiting = [asyncio.create_task(service.http.get(f"/messages?{wait}")) for _ in range(2)]
        await asyncio.sleep(0)
        while (refused := await service.http.get("/messages?wait=1")).status_code == 200:
            pass
        assert_problem(refused, 429, "too_many_requests")
        assert (await service.http.get("/messages")).status_code == 200
        assert (await service.http.get("/messages?wait=0")).status_code == 200
        assert (await service.http.get("/messages?wait=1", headers=other)).status_code == 200
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await service.http.get("/messages?wait=1")).status_code == 200


async def test_the_log_tells_who_asked_from_where_and_for_what(service: Client, lines: list[Any]) -> None:
    made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    await service.http.get(f"{made}?token=hush")
    await service.http.get("/hush/hush?hush")
    await service.http.get("/mailboxes/hush")
    await service.http.get("/mailboxes", headers={"Authorization": "Bearer hush"})
    requests = [line for line in lines if line["event"] in {"request", "request_refused"}]
    assert "hush" not in str(requests)
    assert [line["route"] for line in requests] == [
        "/mailboxes", "/mailboxes/{mailbox_id}", None, "/mailboxes/{mailbox_id}", "/mailboxes",
    ]  # fmt: skip
    assert requests[1]["mailbox_id"] == made.rpartition("/")[2]
    assert requests[0]["key"] == "first-key"
    assert {line["client"] for line in requests} == {"127.0.0.1"}
    assert (requests[-1]["event"], requests[-1]["status"], requests[-1]["key"]) == (
        "request_refused",
        401,
        None,
    )


async def test_the_log_names_the_key_that_was_refused(tmp_path: Path, lines: list[Any]) -> None:
    async with running(settings_for(tmp_path, requests_per_minute=1)) as service:
        made = await service.http.post("/api-keys", json={"name": "k", "scopes": ["read"]})
        read = {"Authorization": f"Bearer {made.json()['key']}"}
        for method, path in (("POST", "/mailboxes"), ("GET", "/mailboxes"), ("GET", "/mailboxes")):
            await service.http.request(method, path, headers=read)
        refused = [(line["status"], line["key"]) for line in lines if line["event"] == "request_refused"]
        assert refused == [(403, made.json()["id"]), (429, made.json()["id"])]


async def test_the_log_tells_of_keys_and_of_changes_to_mailboxes(service: Client, lines: list[Any]) -> None:
    made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    await service.http.patch(made, json={"name": "hush", "paused": True})
    await service.http.delete(made, params={"confirm": "hush"})
    key = (await service.http.post("/api-keys", json={"name": "hush", "scopes": ["admin"]})).json()
    await service.http.delete(f"/api-keys/{key['id']}", headers={"Authorization": f"Bearer {key['key']}"})
    trail = [line for line in lines if "by" in line]
    assert [line["event"] for line in trail] == [
        "mailbox_registered", "mailbox_changed", "mailbox_removed", "api_key_made", "api_key_revoked",
    ]  # fmt: skip
    assert trail[1]["fields"] == ["name", "paused"]
    assert [line["by"] for line in trail] == ["first-key"] * 4 + [key["id"]]
    assert {line["client"] for line in trail} == {"127.0.0.1"}
    assert "hush" not in str(trail)
    assert key["key"] not in str(lines)


async def test_behind_a_trusted_proxy_its_clients_are_told_apart(tmp_path: Path, lines: list[Any]) -> None:
    settings = settings_for(tmp_path, trusted_proxies="127.0.0.0/8", wrong_keys_per_minute=1)
    async with running(settings) as service:
        for forged in ("203.0.113.5", "203.0.113.5, 198.51.100.9, 203.0.113.5"):
            headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"{forged}, 203.0.113.7"}
            await service.http.get("/mailboxes", headers=headers)
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": "203.0.113.8"}
        assert (await service.http.get("/mailboxes", headers=headers)).status_code == 401
    requests = [(line["client"], line["status"]) for line in lines if line["event"] == "request_refused"]
    assert requests == [("203.0.113.7", 401), ("203.0.113.7", 429), ("203.0.113.8", 401)]


async def test_behind_a_trusted_proxy_one_client_gets_so_many_requests_at_once(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, trusted_proxies="127.0.0.1", connections_per_address=1)
    async with running(settings) as service:
        first, second = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
        waiting = asyncio.create_task(service.http.get("/messages?wait=30", headers=first))
        await asyncio.sleep(0)  # it is under way
        while (refused := await service.http.get("/messages", headers=first)).status_code == 200:
            pass
        assert_problem(refused, 429, "too_many_requests")
        assert (await service.http.get("/messages", headers=second)).status_code == 200
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_every_refusal_of_the_edge_is_documented(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            told = set(operation["responses"])
            assert {"400", "408", "414", "431"} <= told, f"{method} {path}"
            assert "requestBody" not in operation or {"413", "415"} <= told, f"{method} {path}"
            assert path in {"/livez", "/readyz"} or "429" in told, f"{method} {path}"


async def test_a_setting_says_which_ports_mail_servers_may_have(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, allowed_ports="995, 110")) as service:
        for change in ({"port": 22}, {"port": 8080}):
            problem = assert_problem(
                await service.http.post("/mailboxes", json=MAILBOX | change), 422, "invalid_request"
            )
            assert problem["errors"][0]["pointer"] == "/port"
            tried = await service.http.post("/mailboxes/test", json=MAILBOX | change)
            assert (tried.json()["ok"], tried.json()["steps"][-1]["step"]) == (False, "dns")
            assert "MAILDELTA_ALLOWED_PORTS" in tried.text
        made = await service.http.post("/mailboxes", json=MAILBOX)
        assert made.status_code == 201
        for port, statuses in (
            ("", {201}),
            (":443", {201}),
            (":995", {201}),
            (":22", {422}),
            (":8443", {422}),
        ):
            url = f"https://login.example.org{port}/token"
            oauth2 = {"provider": "custom", "client_id": "id", "refresh_token": "hush", "token_url": url}
            answer = await service.http.post(
                "/mailboxes", json=MAILBOX | {"password": None, "oauth2": oauth2}
            )
            assert answer.status_code in statuses, url
        changed = await service.http.patch(
            made.headers["location"], json={"port": 23, "password": MAILBOX["password"]}
        )
        assert_problem(changed, 422, "invalid_request")
        assert (await service.http.get(made.headers["location"])).json()["port"] == 995
    async with running(settings_for(tmp_path, allowed_ports="110")) as service:
        sync = (await service.http.post(f"{made.headers['location']}/sync?wait=20")).json()
        assert sync["error"]["code"] == "address_refused"
