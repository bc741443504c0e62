"""``/docs``: the OpenAPI document as a page that loads nothing from elsewhere, and keeps no key. ``/`` leads there."""

from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

import app
from app.errors import not_found
from app.web.errors.error_codes import CODES
from app.web.pages import located

_STATIC = Path(app.__file__).parent / "static"
_VENDORED = "/docs/files"
_OURS = "/docs/page"

_PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Maildelta API</title>
<link rel="stylesheet" href="{_VENDORED}/swagger-ui.css">
<link rel="stylesheet" href="{_OURS}/page.css">
<link rel="icon" href="{_VENDORED}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{_VENDORED}/swagger-ui-bundle.js"></script>
<script src="{_OURS}/start.js"></script>
</body>
</html>
"""
# No script stands in the page. Styles may: the bundle writes them into the elements that it makes.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Files(StaticFiles):
    """The library's, with weak tags: some get these files compressed (RFC 9110 §8.8.1)."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        answer = super().file_response(*arguments, **named)
        answer.headers["ETag"] = f"W/{answer.headers['ETag']}"
        return answer


def _section(code: str) -> str:
    told = CODES[code]
    again = "The same call may succeed later." if told.retryable else "The same call will fail again."
    return (
        f'<h2 id="{code}"><code>{code}</code></h2>\n<p>{escape(told.meaning)}</p>\n'
        f"<p>Likely cause: {escape(told.cause)}</p>\n<p>What to do: {escape(told.remedy)}</p>\n<p>{again}</p>\n"
    )


_ERRORS = "".join(map(_section, sorted(CODES)))


def _plain_page(title: str, body: str) -> HTMLResponse:
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title} - Maildelta</title>\n'
        f"</head>\n<body>\n{body}</body>\n</html>\n"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def install(app: FastAPI) -> None:
    """Serve the page, its script and its vendored files, and the document as it was first made."""

    @app.get("/", include_in_schema=False)
    async def root(request: Request) -> RedirectResponse:
        return RedirectResponse(located(request, "/docs"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/errors", include_in_schema=False)
    async def all_errors() -> HTMLResponse:
        return _plain_page("Errors", _ERRORS)

    @app.get("/docs/errors/{code}", include_in_schema=False)
    async def one_error(code: str) -> HTMLResponse:
        if code not in CODES:
            raise not_found("code")
        return _plain_page(code, _section(code))

    app.mount(_VENDORED, _Files(directory=_STATIC / "vendor" / "swagger-ui"), name="docs files")
    app.mount(_OURS, _Files(directory=_STATIC / "docs"), name="docs page")
