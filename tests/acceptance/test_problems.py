"""What a caller is told when something is not as it should be: a code, a page, a sentence, an id."""

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import structlog

import app
from app.edge.refusals import Refusal
from app.maildrops.errors import SyncErrorCode
from app.web.errors.error_codes import CODES
from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.service import Client

ROOT = Path(app.__file__).parent
# What the server answers before it is known which operation is meant, or that there is none.
OF_NO_OPERATION = {"method_not_allowed", "http_version_not_supported"}


def raised() -> Iterator[str]:
    """The codes that the code itself names."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "AppError":
                continue
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                yield str(node.args[1].value)
    yield from (refusal.code for refusal in Refusal)
    yield from SyncErrorCode


async def test_code_pages_and_document_have_the_same_codes(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    told: set[str] = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    only = response["content"]["application/problem+json"]["schema"]["allOf"][1]
                    codes = only["properties"]["code"]["enum"]
                    assert codes
                    told.update(codes)
    assert set(raised()) | told <= CODES.keys()
    assert CODES.keys() - told == OF_NO_OPERATION
    everything = (await service.http.get("/docs/errors", headers={"Authorization": ""})).text
    for code, about in CODES.items():
        page = await service.http.get(f"/docs/errors/{code}", headers={"Authorization": ""})
        assert page.status_code == 200
        assert f'id="{code}"' in page.text
        for told_there in (about.meaning, f"Likely cause: {about.cause}", f"What to do: {about.remedy}"):
            assert escape(told_there) in page.text
        assert f'id="{code}"' in everything
        assert ("may succeed later" in page.text) is about.retryable
        assert "<script" not in page.text
    assert_problem(await service.http.get("/docs/errors/nonsense"), 404, "not_found")


async def test_every_answer_has_the_id_of_its_request(service: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        for path in ("/livez", "/mailboxes", "/nowhere", "/docs", "/mailboxes/x"):
            own = await service.http.get(path, headers={"X-Request-Id": "a-1.b_2"})
            assert own.headers.get_list("x-request-id") == ["a-1.b_2"]
            for odd in (b"", b"a b", b"x" * 101, b"\xff"):
                made = await service.http.get(path, headers={b"X-Request-Id": odd})
                assert re.fullmatch(r"[0-9a-f]{24}", made.headers["x-request-id"])
    assert "a-1.b_2" in {line["request_id"] for line in lines if line["event"] == "request"}


async def test_a_wrong_method_is_told_all_that_the_address_knows(service: Client) -> None:
    for path, allowed in (("/mailboxes", "DELETE, GET, HEAD, PATCH, POST"),
                          ("/mailboxes/mbx_1", "DELETE, GET, HEAD, PATCH"),
                          ("/syncs/syn_1/cancel", "POST"), ("/livez", "GET, HEAD"),
                          ("/docs/page/start.js", "GET, HEAD")):  # fmt: skip
        answer = await service.http.put(path)
        assert f"knows {allowed}, and not PUT" in assert_problem(answer, 405, "method_not_allowed")["detail"]
        assert answer.headers["allow"] == allowed


async def test_sentences_are_for_people(service: Client) -> None:
    async def told(**change: Any) -> str:
        answer = await service.http.post("/mailboxes", json=MAILBOX | change)
        return str(assert_problem(answer, 422, "invalid_request")["errors"][0]["detail"])

    assert await told(host="a b") == "must be a name or an address, without blanks, / and @"
    assert "1 to 63 ASCII letters" in await told(labels=["ü"])
    assert "the first one a letter, a digit or _" in await told(external_id="a/b")
    labelled = await service.http.post("/api-keys", json={"name": "x", "scopes": ["read"], "labels": ["ü"]})
    assert "1 to 63" in assert_problem(labelled, 422, "invalid_request")["errors"][0]["detail"]
    assert await told(nmae="x") == "is not known here; did you mean 'name'?"
    assert await told(pollIntervalSeconds=300) == "is not known here; did you mean 'poll_interval_seconds'?"
    assert await told(Port=995) == "is not known here; did you mean 'port'?"
    assert await told(xyzzy=1) == "is not known here"
    assert await told(name="x" * 201) == "must have a length of at most 200"
    oauth2 = {"provider": "custom", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    for url in ("https://x.example:99999/", "https://[::1/"):
        assert await told(password=None, oauth2=oauth2 | {"token_url": url}) == "must be an https URL"
    for nowhere in (".", "[]"):
        assert await told(host=nowhere) == "must be a name or an address"
    assert await told(port="x") == "must be a whole number"
    assert await told(port=0) == "must be at least 1"
    assert await told(name="") == "must not be empty"
    assert "'tls'" in await told(security="ssl")
    named = await service.http.post("/mailboxes", json=MAILBOX | {"metadata": {"a/b": "c", "": "d"}})
    fault = {"pointer": "/metadata/", "detail": "the name must not be empty"}
    assert assert_problem(named, 422, "invalid_request")["errors"] == [fault]
    long = await service.http.get("/messages?limit=" + "1" * 5000)
    fewer = assert_problem(long, 422, "invalid_request")["errors"][0]["detail"]
    assert fewer == "must be a whole number of fewer digits"
    plus = await service.http.get("/messages?since=2026-11-23T02:47:00+01:00")
    assert "%2B" in assert_problem(plus, 422, "invalid_request")["errors"][0]["detail"]
    assert (await service.http.get("/messages?since=2026-11-23T02:47:00%2B01:00")).status_code == 200


async def test_what_goes_on_says_when_to_ask_again(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX)
    asked = await service.http.post(f"{made.headers['location']}/sync")
    assert (asked.status_code, asked.headers["retry-after"]) == (202, "1")
