"""What every caller of the API relies on, whatever the route."""

import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.web.errors.error_codes import CODES
from tests.service import API_KEY, Client, running, settings_for

MAILBOX: dict[str, Any] = {
    "name": "Invoices",
    "host": "pop.example.org",
    "username": "invoices@example.org",
    "password": "not to be seen",
    "allow_duplicate": True,  # many a test registers it twice
}
OPEN = {"/livez", "/readyz", "/docs", "/openapi.json"}


async def make_key(service: Client, *scopes: str) -> dict[str, str]:
    answer = await service.http.post("/api-keys", json={"name": "k", "scopes": scopes})
    assert answer.status_code == 201
    return {"Authorization": f"Bearer {answer.json()['key']}"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"/docs/errors/{code}"
    assert body["instance"] == f"urn:maildelta:request:{answer.headers['x-request-id']}"
    assert body["retryable"] is CODES[code].retryable
    assert not body["retryable"] or int(answer.headers["retry-after"]) > 0
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_mailbox_is_registered_read_changed_listed_and_removed(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX)
    assert made.status_code == 201
    mailbox = made.json()
    assert made.headers["location"] == f"/mailboxes/{mailbox['id']}"
    assert (mailbox["port"], mailbox["security"], mailbox["has_credentials"]) == (995, "tls", True)
    assert mailbox["server_retention"] == {"mode": "keep"}
    assert mailbox["created_at"].endswith("Z")
    assert (await service.http.get(made.headers["location"])).json() == mailbox
    changed = await service.http.patch(
        made.headers["location"], json={"name": "Bills", "security": "starttls", "password": "hush"}
    )
    assert (changed.json()["name"], changed.json()["port"]) == ("Bills", 110)
    assert [item["name"] for item in (await service.http.get("/mailboxes")).json()["items"]] == ["Bills"]
    address = made.headers["location"]
    assert_problem(await service.http.delete(address), 422, "invalid_request")
    assert (await service.http.delete(address, params={"confirm": "Bills"})).status_code == 204
    assert_problem(await service.http.get(address), 404, "not_found")


async def test_an_id_is_never_given_twice(service: Client) -> None:
    first = (await service.http.post("/mailboxes", json=MAILBOX)).json()["id"]
    await service.http.delete(f"/mailboxes/{first}", params={"confirm": first})
    assert (await service.http.post("/mailboxes", json=MAILBOX)).json()["id"] != first


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"host": "a b"}, "/host"),
        ({"host": "127.0.0.1\r\nUSER x"}, "/host"),
        ({"host": "10.1.2.3"}, "/host"),
        ({"host": "[::1]"}, "/host"),
        ({"port": 0}, "/port"),
        ({"username": "a\r\nDELE 1"}, "/username"),
        ({"password": "a\r\nDELE 1"}, "/password"),
        ({"password": "a\0"}, "/password"),
        ({"security": "ssl"}, "/security"),
        ({"security": "none"}, ""),
        ({"poll_interval_seconds": 1}, "/poll_interval_seconds"),
        ({"server_retention": {"mode": "delete"}}, "/server_retention/mode"),
        ({"server_retention": {"mode": "delete_after_days"}}, "/server_retention"),
        ({"server_retention": {"mode": "delete_after_days", "days": 0}}, "/server_retention/days"),
        ({"server_retention": {"mode": "keep", "days": 3}}, "/server_retention"),
        ({"ca_certificates": "not PEM"}, "/ca_certificates"),
        ({"ca_certificates": ""}, "/ca_certificates"),
        ({"initial_sync": "yesterday"}, "/initial_sync"),
        ({"pasword": "typo"}, "/pasword"),
    ],
)
async def test_bad_input_says_where_and_what(service: Client, change: dict[str, Any], pointer: str) -> None:
    answer = await service.http.post("/mailboxes", json=MAILBOX | change)
    body = assert_problem(answer, 422, "invalid_request")
    assert pointer in {fault["pointer"] for fault in body["errors"]}
    assert "not to be seen" not in answer.text
    assert "DELE" not in answer.text
    assert (await service.http.get("/mailboxes")).json()["items"] == []


OAUTH2 = {"provider": "google", "client_id": "id", "client_secret": "hush one", "refresh_token": "hush two"}


async def test_a_mailbox_logs_in_by_password_or_by_oauth2_and_shows_which(service: Client) -> None:
    without_password = {key: value for key, value in MAILBOX.items() if key != "password"}
    made = await service.http.post("/mailboxes", json=without_password | {"oauth2": OAUTH2})
    assert (made.json()["has_credentials"], made.json()["auth_method"]) == (True, "oauth2")
    assert "hush" not in made.text
    address = made.headers["location"]
    for change, method in (
        ({"name": "same login"}, "oauth2"),
        ({"password": "hush"}, "password"),
        ({"oauth2": OAUTH2}, "oauth2"),
        ({"oauth2": None}, None),
        ({"oauth2": OAUTH2, "password": None}, "oauth2"),
        ({"password": None}, None),
    ):
        changed = await service.http.patch(address, json=change)
        assert (changed.json()["auth_method"], changed.json()["has_credentials"]) == (method, bool(method))
        assert "hush" not in changed.text
    both = await service.http.patch(address, json={"password": "hush", "oauth2": OAUTH2})
    assert_problem(both, 422, "invalid_request")
    assert "hush" not in both.text


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"provider": "other"}, "/oauth2/provider"),
        ({"provider": "custom"}, "/oauth2"),
        ({"token_url": "https://login.example.org/token"}, "/oauth2"),
        ({"client_id": ""}, "/oauth2/client_id"),
        ({"refresh_token": ""}, "/oauth2/refresh_token"),
        ({"acess_token": "x"}, "/oauth2/acess_token"),
        *(
            ({"provider": "custom", "token_url": url}, "/oauth2/token_url")
            for url in (
                "ftp://login.example.org/",
                "https:///token",
                "https://user:hush@login.example.org/",
                "https://login.example.org/#part",
                "https://login.example.org:99999/",
                "https://[::1/",
                "https://login.example.org/\r\nX: y",
                "https://10.1.2.3/token",
                "https://0x0a010203/token",
                "http://203.0.113.1/token",
                "http://8.8.8.8/token",
                "https://256.256.256.256/token",
                "https://0177.0.0.1/token",
                "https://[v1.x]/token",
                "https://[2606:4700::1]x/token",
                "https://xn--/token",
            )
        ),
    ],
)
async def test_bad_oauth2_says_where_and_what(service: Client, change: dict[str, Any], pointer: str) -> None:
    body = {key: value for key, value in MAILBOX.items() if key != "password"} | {"oauth2": OAUTH2 | change}
    answer = await service.http.post("/mailboxes", json=body)
    problem = assert_problem(answer, 422, "invalid_request")
    assert pointer in {fault["pointer"] for fault in problem["errors"]}
    assert "hush" not in answer.text


async def test_json_that_cannot_be_read_is_said_to_be_so(service: Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await service.http.post("/mailboxes", content=b'{"password": "hunter2",\n "a"}', headers=headers)
    assert "line 2, column 5" in assert_problem(answer, 400, "malformed_json")["detail"]
    assert "hunter2" not in answer.text
    answer = await service.http.post("/mailboxes", content=b"\xef\xbb\xbf{}", headers=headers)
    assert assert_problem(answer, 400, "malformed_json")["detail"].endswith("there is a byte order mark.")


async def test_no_password_is_ever_answered_or_written(service: Client, tmp_path: Path) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX)
    others = [await service.http.get(path) for path in ("/mailboxes", made.headers["location"])]
    assert all("not to be seen" not in answer.text for answer in [made, *others])
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert b"not to be seen" not in stored
    assert API_KEY.encode() not in stored


async def test_lists_come_in_pages_that_survive_inserts_and_deletes(service: Client) -> None:
    for n in range(5):
        await service.http.post("/mailboxes", json=MAILBOX | {"name": f"m{n}"})
    first = await service.http.get("/mailboxes", params={"limit": 2})
    assert [item["name"] for item in first.json()["items"]] == ["m0", "m1"]
    assert f"after={first.json()['next_cursor']}" in first.headers["link"]
    gone = first.json()["items"][1]["id"]
    await service.http.delete(f"/mailboxes/{gone}", params={"confirm": gone})
    await service.http.post("/mailboxes", json=MAILBOX | {"name": "m5"})
    rest = await service.http.get("/mailboxes", params={"after": first.json()["next_cursor"]})
    assert [item["name"] for item in rest.json()["items"]] == ["m2", "m3", "m4", "m5"]
    assert rest.json()["next_cursor"] is None
    assert "link" not in rest.headers


@pytest.mark.parametrize("cursor", ["x", "!!", "bTE6LTE", "bTE6", "AAAA", "A" * 3_000])
@pytest.mark.parametrize("path", ["/mailboxes", "/messages", "/api-keys"])
async def test_a_broken_cursor_is_said_to_be_so(service: Client, path: str, cursor: str) -> None:
    assert_problem(await service.http.get(path, params={"after": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize("path", ["/mailboxes/mbx_1", "/mailboxes/x", "/mailboxes/syn_1", "/mailboxes/mbx_01",
                                  "/mailboxes/mbx_99999999999999999999", "/messages/msg_1", "/messages/msg_1/raw",
                                  "/messages/msg_1/attachments/0", "/syncs/syn_1", "/mailboxes/mbx_1/messages",
                                  "/mailboxes/mbx_1/syncs", "/mailboxes/mbx_1/unique-ids"])  # fmt: skip
async def test_what_is_not_there_is_404(service: Client, path: str) -> None:
    assert_problem(await service.http.get(path), 404, "not_found")


async def test_an_unknown_route_and_a_wrong_method_have_the_same_form(service: Client) -> None:
    assert_problem(await service.http.get("/nowhere"), 404, "not_found")
    answer = await service.http.put("/mailboxes")
    assert_problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_every_operation_but_the_open_ones_needs_a_key(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = await service.http.request(
                method, path.format(**dict.fromkeys(_names(path), "x_1")), headers={"Authorization": ""}
            )
            if path in OPEN:
                assert answer.status_code == 200, path
            else:
                assert_problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Basic eDp5", "Bearer wrong", "bearer md_123456789abc", f"Token {API_KEY}"],
)
async def test_a_key_that_is_not_ours_is_401(service: Client, authorization: str) -> None:
    answer = await service.http.get("/mailboxes", headers={"Authorization": authorization})
    assert_problem(answer, 401, "unauthorized")


async def test_scopes_bound_what_a_key_may_do(service: Client) -> None:
    made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    read, sync, admin = [await make_key(service, scope) for scope in ("read", "sync", "admin")]
    assert (await service.http.get(made, headers=read)).status_code == 200
    assert_problem(await service.http.post(f"{made}/sync", headers=read), 403, "forbidden")
    assert (await service.http.post(f"{made}/sync", headers=sync)).status_code == 202
    assert_problem(await service.http.post("/mailboxes", json=MAILBOX, headers=sync), 403, "forbidden")
    assert (await service.http.post("/mailboxes", json=MAILBOX, headers=admin)).status_code == 201


async def test_a_revoked_key_is_no_key(service: Client) -> None:
    key = await make_key(service, "read")
    listed = (await service.http.get("/api-keys")).json()["items"]
    assert "key" not in listed[0]
    assert (await service.http.delete(f"/api-keys/{listed[0]['id']}")).status_code == 204
    assert_problem(await service.http.get("/mailboxes", headers=key), 401, "unauthorized")


async def test_a_paused_mailbox_is_not_synced(service: Client) -> None:
    made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    assert (await service.http.patch(made, json={"paused": True})).json()["status"] == "paused"
    assert_problem(await service.http.post(f"{made}/sync"), 409, "mailbox_paused")
    assert (await service.http.patch(made, json={"paused": False})).json()["status"] == "active"


async def test_a_long_poll_ends_with_an_empty_page_and_a_cursor(service: Client) -> None:
    page = (await service.http.get("/messages", params={"wait": 1})).json()
    assert (page["items"], page["has_more"]) == ([], False)
    assert page["next_cursor"]


async def test_health_needs_no_key(service: Client) -> None:
    for path in ("/livez", "/readyz"):
        assert (await service.http.get(path, headers={"Authorization": ""})).json() == {"status": "ok"}


async def test_the_openapi_document_tells_every_operation_with_its_errors(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            if path in OPEN:
                continue
            assert {"401", "403", "500", "503"} <= set(operation["responses"]), where
            is_made = where == "put /mailboxes/by-external-id/{external_id}"  # where there is none
            assert "{" not in path or is_made or "404" in operation["responses"], where
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"


async def test_the_openapi_document_agrees_with_the_contract(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {
        "id",
        "mailbox_id",
        "trigger",
        "status",
        "queued_at",
        "started_at",
        "finished_at",
        "report",
        "error",
    } == set(schemas["SyncAnswer"]["properties"])
    assert {
        "listed", "known", "new", "filtered", "retrieved", "failed", "missing", "deleted", "octets", "to_retrieve",
        "waiting", "phases", "phases_ms",
    } == set(schemas["Report"]["properties"])  # fmt: skip
    assert {
        "id", "mailbox_id", "unique_id", "occurrence", "seq", "message_id", "subject", "from", "authors",
        "from_ambiguous", "to", "cc", "reply_to", "date", "retrieved_at", "octets", "raw_sha256", "has_attachments",
        "snippet", "warnings", "automated", "automated_by", "bcc", "bounce", "delivered_to", "in_reply_to", "kind",
        "list_id", "received_at", "references", "sender", "thread_id", "text", "text_truncated", "html",
        "html_truncated", "headers", "attachments", "raw_url", "mailbox", "expired",
    } == set(schemas["MessageAnswer"]["properties"])  # fmt: skip
    with_password = {name for name, schema in schemas.items() if "password" in schema.get("properties", {})}
    assert with_password == {
        "NewMailbox",
        "MailboxChange",
        "MailboxReplacement",
        "MailboxToCheck",
        "ManyChange",
    }, "it can be sent, and is never answered"


async def test_the_docs_page_loads_nothing_from_elsewhere(service: Client) -> None:
    page = await service.http.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text.replace("http://service", "")
    assert "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/docs/files/{name}" in page.text
        assert (await service.http.get(f"/docs/files/{name}")).status_code == 200


async def test_two_services_start_one_after_the_other_on_the_same_data(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as client:
        made = (await client.http.post("/mailboxes", json=MAILBOX)).json()
    async with running(settings_for(tmp_path)) as client:
        assert (await client.http.get(f"/mailboxes/{made['id']}")).json() == made


async def test_what_the_service_keeps_is_for_its_user_alone(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path / "new" / "data")):
        assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
