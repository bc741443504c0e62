"""``/docs``: the OpenAPI document as a page that loads nothing from elsewhere."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES = Path(__file__).parent.parent / "static" / "vendor" / "swagger-ui"
_ADDRESS = "/docs/files"


def install(app: FastAPI) -> None:
    """Serve the page and its vendored files."""
    app.mount(_ADDRESS, StaticFiles(directory=_FILES), name="docs files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title} API",
            swagger_js_url=f"{_ADDRESS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ADDRESS}/swagger-ui.css",
            swagger_favicon_url=f"{_ADDRESS}/favicon-32x32.png",
            swagger_ui_parameters={
                "validatorUrl": None,
                "persistAuthorization": True,
                "displayRequestDuration": True,
                "tagsSorter": None,
            },
        )
