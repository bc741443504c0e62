"""What is on its way out says so itself."""

from datetime import UTC, datetime

import httpx
from fastapi import Depends, FastAPI

from app.web.deprecation import Deprecated
from app.web.routing import Router

OLD = Deprecated(
    since=datetime(2026, 12, 1, tzinfo=UTC), until=datetime(2027, 6, 1, tzinfo=UTC), instead="/new"
)


async def test_an_operation_that_is_deprecated_says_since_when_until_when_and_what_to_use() -> None:
    router = Router()

    @router.get("/old", dependencies=[Depends(OLD)])
    async def old() -> int:
        return 1

    @router.get("/new")
    async def new() -> int:
        return 2

    app = FastAPI()
    app.include_router(router)
    for prefix in ("", "/v1"):
        asked = httpx.ASGITransport(app=app, root_path=prefix)
        async with httpx.AsyncClient(transport=asked, base_url="http://service") as http:
            told = (await http.get("/old")).headers
            assert (told["deprecation"], told["sunset"]) == ("@1796083200", "Tue, 01 Jun 2027 00:00:00 GMT")
            assert told["link"] == f'<{prefix}/new>; rel="successor-version"'
            assert not {"deprecation", "sunset", "link"} & set((await http.get("/new")).headers)
    document = app.openapi()["paths"]
    assert document["/old"]["get"]["deprecated"] is True
    assert "deprecated" not in document["/new"]["get"]
