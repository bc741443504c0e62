"""Every error as a problem document (RFC 9457), the framework's own ones included."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.database import StorageFailed
from app.errors import AppError, InputFault
from app.reading.errors import Busy
from app.web.headers import guarded

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger()

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_MOST_FAULTS = 100


class Fault(BaseModel):
    """One thing wrong with the input."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or `/query/<name>`, `/path/<name>`."
    )
    detail: str = Field(examples=["must be a time: 2026-11-23T02:47:00Z"], description="What is wrong.")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["urn:maildelta:problem:not_found"], description="Names the kind of problem.")
    title: str = Field(examples=["Not Found"], description="The words of the HTTP status.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(examples=["There is no such mailbox."], description="What happened, for people.")
    code: str = Field(examples=["not_found"], description="Stable; what a program decides by.")
    errors: list[Fault] | None = Field(None, description="Only for bad input: each fault and where it is.")
    earliest: str | None = Field(None, description="Only with `cursor_gone`: a cursor to begin anew with.")
    latest: str | None = Field(None, description="Only with `cursor_gone`: the cursor of the end.")


_MEANINGS = {
    400: ("invalid_cursor", "The cursor is not one that this service gave."),
    401: ("unauthorized", "The API key is missing or not valid."),
    403: ("forbidden", "The API key lacks the scope that this operation needs."),
    404: ("not_found", "There is nothing with this id."),
    408: ("request_timeout", "The body did not come in time."),
    409: ("conflict", "The state of the resource does not allow it."),
    410: ("cursor_gone", "The cursor is of another feed; `earliest` and `latest` say how to go on."),
    412: ("precondition_failed", "It was changed since it was read: its `ETag` is another one."),
    413: ("body_too_large", "The body has more octets than is allowed."),
    414: ("uri_too_long", "The URL has more octets than is allowed."),
    415: ("unsupported_media_type", "The body is of another media type than the operation takes."),
    422: ("invalid_request", "The request is not valid; `errors` says where."),
    424: ("connect_failed", "The mail server could not be asked."),
    429: (
        "too_many_requests",
        "Too many requests, waiting requests or wrong API keys; `Retry-After` says when.",
    ),
    431: ("headers_too_large", "The header fields have more octets than is allowed."),
    503: ("storage_failed", "The database cannot do its work at the moment."),
}


def documented(*statuses: int, **codes: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation: what each error status means, for the OpenAPI document.

    ``codes`` names a more telling code and sentence for a status: ``s409="mailbox_paused: …"``.
    """
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 422, 429, 503, *statuses}):
        code, meaning = _MEANINGS[status]
        if told := codes.get(f"s{status}"):
            code, _, meaning = told.partition(": ")
        example = problem_body(status, code, meaning)
        content = {"application/json": {"example": example}}
        answers[status] = {"description": meaning, "model": Problem, "content": content}
    return answers


_HEADERS = {
    "Location": "Where the thing is that this answer is about.",
    "Link": 'The next page, as `rel="next"` (RFC 8288).',
    "ETag": "Changes when the octets do (RFC 9110 §8.8.3).",
    "Retry-After": "In how many seconds to try again.",
    "Content-Disposition": "A name for the file.",
}


def answered(status: int, description: str, *headers: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation: what a success means, and which headers it has."""
    return {status: {"description": description, "headers": described_headers(*headers)}}


def answered_file(media_type: str, description: str, *headers: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that answers octets of this media type."""
    answers = answered(200, description, *headers)
    answers[200]["content"] = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return answers


def described_headers(*names: str) -> dict[str, Any]:
    """The ``headers`` of a response, for the OpenAPI document."""
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def problem_body(status: int, code: str, detail: str, faults: Iterable[InputFault] = ()) -> dict[str, Any]:
    """The JSON of a problem document."""
    body: dict[str, Any] = {
        "type": f"urn:maildelta:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors := [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]:
        body["errors"] = errors
    return body


def install(app: FastAPI) -> None:
    """Answer every exception that reaches the top in the one form."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(StorageFailed, _storage_failed)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(Exception, _unexpected)


def with_errors(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with what any operation can answer, and with the media type of errors.

    The framework takes its own media type for them.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            takes_body = "requestBody" in operation
            for status in (400, 408, 414, 431, *((413, 415) if takes_body else ())):
                code, meaning = (
                    ("bad_request", "The request is not HTTP.") if status == 400 else _MEANINGS[status]
                )
                content = {"application/json": {"example": problem_body(status, code, meaning)}}
                operation["responses"].setdefault(str(status), {"description": meaning, "content": content})
            for status, response in operation["responses"].items():
                if status >= "400":
                    example = response.get("content", {}).get("application/json", {}).get("example")
                    schema = {"$ref": "#/components/schemas/Problem"}
                    told = {"schema": schema, "example": example} if example else {"schema": schema}
                    response["content"] = {MEDIA_TYPE: told}
    return document


def problem(error: AppError) -> Response:
    """The answer for one of our own errors."""
    body = problem_body(error.status, error.code, error.detail, error.faults) | error.members
    return JSONResponse(body, error.status, headers=error.headers, media_type=MEDIA_TYPE)


async def _app_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return problem(error)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).name.lower())
    detail = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
    body = problem_body(error.status_code, code, detail)
    return JSONResponse(body, error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = tuple(
        InputFault(_pointer(item["loc"]), _sentence(item)) for item in error.errors()[:_MOST_FAULTS]
    )
    return problem(AppError(422, "invalid_request", "The request is not valid.", faults))


async def _storage_failed(_request: Request, error: Exception) -> Response:
    _log.error("storage_failed", reason=str(error))
    detail = "The database cannot do its work at the moment."
    return problem(AppError(503, "storage_failed", detail, headers={"Retry-After": "5"}))


async def _busy(_request: Request, _error: Exception) -> Response:
    detail = (
        "Others are being answered, and their mail takes all the memory or time that there is for answers."
    )
    return problem(AppError(503, "busy", detail, headers={"Retry-After": "2"}))


async def _unexpected(_request: Request, error: Exception) -> Response:
    _log.error("unexpected_error", exc_info=error)
    answer = problem(AppError(500, "internal_error", "An error of ours; the log of the service has it."))
    answer.raw_headers = guarded(answer.raw_headers)  # it is made outside of what guards all others
    return answer


def _pointer(location: tuple[int | str, ...]) -> str:
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _sentence(item: dict[str, Any]) -> str:
    """Pydantic's message without the input, which may be a password."""
    return str(item["msg"]).removeprefix("Value error, ")
