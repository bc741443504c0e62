"""What people send who misread the API is refused with a hint, instead of answered as something else."""

import json

from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.service import Client


async def _fault(service: Client, address: str) -> tuple[str, str]:
    answer = await service.http.get(address)
    (fault,) = assert_problem(answer, 422, "invalid_request")["errors"]
    return fault["pointer"], fault["detail"]


async def test_a_filter_without_a_value_is_no_filter_for_everything(service: Client) -> None:
    """``from=$SENDER`` with a variable that is not set answered everybody's mail."""
    for name in ("subject", "from", "from_address", "to", "message_id"):
        where, told = await _fault(service, f"/messages?{name}=")
        assert (where.removesuffix("/0"), told) == (f"/query/{name}", "must not be empty")


async def test_a_parameter_that_cannot_be_meant_so_says_what_may_be(service: Client) -> None:
    for query, where, hint in (
        ("since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "until", "must be later than since"),
        ("since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "until", "must be later than since"),
        ("fields=", "fields", "names no member"),
        ("fields=,", "fields", "names no member"),
        ("fields=ID", "fields", "did you mean 'id'?"),
        ("include=HTML", "include", "did you mean 'html'?"),
        ("LIMIT=5", "LIMIT", "did you mean 'limit'?"),
        ("mailboxId=mbx_1", "mailboxId", "did you mean 'mailbox_id'?"),
        ("After-Time=x", "After-Time", "did you mean 'after_time'?"),
        ("mailbox_id=1", "mailbox_id", "an id of one is mbx_ and a number"),
        ("mailbox_id=mbx_1,mbx_2", "mailbox_id", "mailbox_id=mbx_1&mailbox_id=mbx_2"),
    ):
        pointer, told = await _fault(service, f"/messages?{query}")
        assert pointer == f"/query/{where}"
        assert hint in told


async def test_an_address_that_is_almost_one_says_which(service: Client) -> None:
    for path, meant in (
        ("/v1/messages/", "/v1/messages"),
        ("/messages/", "/messages"),
        ("/v1//messages", "/v1/messages"),
        ("/V1/Messages/msg_1/raw", "/v1/messages/msg_1/raw"),
        ("/Livez", "/livez"),
        ("/v1/syncs/syn_1/events/", "/v1/syncs/syn_1/events"),
    ):
        told = assert_problem(await service.http.get(path), 404, "not_found")["detail"]
        assert told == f"There is nothing at this address; there is at {meant}."
    for path in ("/nowhere/", "/v2/messages", "/v1", "/docs/page/NONE.js", "/docs/page/none.js/"):
        told = assert_problem(await service.http.get(path), 404, "not_found")["detail"]
        assert told == "There is nothing at this address."


async def test_what_is_no_id_is_told_from_what_is_not_there(service: Client) -> None:
    for word in ("5", "mbx_5", "MSG_5", "msg_05"):
        told = assert_problem(await service.http.get(f"/messages/{word}"), 404, "not_found")["detail"]
        assert told == "There is no such message: an id of one is msg_ and a number."
    absent = assert_problem(await service.http.get("/messages/msg_5"), 404, "not_found")["detail"]
    assert absent == "There is no such message."


async def test_a_whole_number_may_be_written_as_a_decimal(service: Client) -> None:
    """Some languages write all numbers so, and JSON Schema takes them for integers (draft 2020-12, §6.1.1)."""
    for written, status in (("300.0", 201), ("3e2", 201), ("300.5", 422), ("1e300", 422)):
        body = f'{json.dumps(MAILBOX)[:-1]}, "poll_interval_seconds": {written}}}'
        asked = {"Content-Type": "application/json"}
        answer = await service.http.post("/mailboxes", content=body, headers=asked)
        assert answer.status_code == status, answer.text
        if status == 201:
            assert '"poll_interval_seconds":300,' in answer.text


async def test_what_stands_in_a_body_that_is_not_read_is_not_passed_over(service: Client) -> None:
    """An option of a sync, or a filter of the feed, was sent as JSON and not applied."""
    mailbox = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    for method, path in (
        ("POST", f"{mailbox}/sync"),
        ("POST", "/syncs/syn_1/cancel"),
        ("GET", "/messages"),
        ("DELETE", "/messages/msg_1"),
    ):
        answer = await service.http.request(method, path, json={"mailbox_id": "mbx_2", "force": True})
        (fault,) = assert_problem(answer, 422, "invalid_request")["errors"]
        assert (fault["pointer"], "go into the query" in fault["detail"]) == ("", True)
        for nothing in (b"", b"{}"):
            again = await service.http.request(method, path, content=nothing)
            assert again.status_code != 422, again.text


async def test_a_filter_of_another_list_needs_a_value_too(service: Client) -> None:
    for address in ("/mailboxes?q=", "/mailboxes?host=", "/audit?action=", "/audit?key="):
        _, told = await _fault(service, address)
        assert told == "must not be empty"
    period = "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z"
    assert (await _fault(service, f"/audit?{period}"))[1] == "must be later than since"
