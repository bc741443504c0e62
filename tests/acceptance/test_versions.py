"""Every address under /v1 too, and every GET as HEAD."""

from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.service import Client


async def test_everything_is_under_v1_too_and_answers_keep_the_prefix(service: Client) -> None:
    for prefix in ("/v1", ""):
        made = await service.http.post(f"{prefix}/mailboxes", json=MAILBOX)
        assert made.headers["location"] == f"{prefix}/mailboxes/{made.json()['id']}"
        asked = await service.http.post(f"{made.headers['location']}/sync")
        assert asked.headers["location"] == f"{prefix}/syncs/{asked.json()['id']}"
        again = await service.http.post(f"{made.headers['location']}/syncs")
        assert (again.status_code, again.json()["id"]) == (202, asked.json()["id"])
        assert (await service.http.get(asked.headers["location"])).status_code == 200
    for prefix in ("/v1", ""):
        page = await service.http.get(f"{prefix}/mailboxes?limit=1")
        following = page.links["next"]["url"]
        assert following.startswith(f"{prefix}/mailboxes?")
        assert (await service.http.get(following)).json()["items"][0]["id"] == "mbx_2"
        assert (await service.http.get(f"{prefix}/")).headers["location"] == f"{prefix}/docs"
    for path in (
        "/v1/livez",
        "/v1/readyz",
        "/v1/docs",
        "/v1/openapi.json",
        "/v1/docs/errors/not_found",
        "/v1/metrics",
    ):
        assert (await service.http.get(path)).status_code == 200, path
    for path in ("/v1", "/v1/v1/mailboxes", "/v2/mailboxes", "/v1mailboxes"):
        assert_problem(await service.http.get(path), 404, "not_found")
    assert_problem(
        await service.http.get("/v1/mailboxes", headers={"Authorization": ""}), 401, "unauthorized"
    )
    document = (await service.http.get("/openapi.json")).json()
    assert [server["url"] for server in document["servers"]] == ["/v1", "/"]
    assert (await service.http.get("/v1/openapi.json")).json() == document


async def test_what_can_be_got_can_be_asked_for_without_its_body(service: Client) -> None:
    made = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if "get" in operations and not path.endswith("/events"):
            address = path.replace("{mailbox_id}", made.rpartition("/")[2])
            got, head = await service.http.get(address), await service.http.head(address)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            same = {"content-type", "etag", "cache-control"}
            assert {n: v for n, v in head.headers.items() if n in same} == {
                n: v for n, v in got.headers.items() if n in same
            }
