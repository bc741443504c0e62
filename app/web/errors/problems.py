"""Every error as a problem document (RFC 9457), the framework's own ones included."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.database import StorageFailed
from app.errors import AppError, InputFault
from app.reading.errors import Busy
from app.web.errors.error_codes import CODES, SYNC_CODES
from app.web.faults import faults_of
from app.web.headers import guarded
from app.web.pages import PREFIX, located
from app.web.requests import request_id

MEDIA_TYPE = "application/problem+json"
IDEMPOTENCY_KEY = "Idempotency-Key"

_log = structlog.get_logger()

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_RETRY_AFTER = "5"  # seconds
_LONGEST_ADDRESS = 200
_CODES_HERE = "x-codes"  # where the document notes the codes of a status, until it is complete
_ALL_CODES = {
    400: ("invalid_cursor", "cursor_mismatch"),
    401: ("unauthorized", "key_expired"),
    403: ("forbidden", "address_not_allowed"),
    424: tuple(SYNC_CODES),
    503: ("storage_failed", "busy", "too_many_connections", "stopping"),
}
_OF_REPEATED = {"409": ("idempotency_in_progress",), "422": ("idempotency_key_reused",)}


class Fault(BaseModel):
    """One thing wrong with the input."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or `/query/<name>`, `/path/<name>`, `/header/<name>`."
    )
    detail: str = Field(examples=["must be a time: 2026-11-23T02:47:00Z"], description="What is wrong.")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(
        examples=["/docs/errors/not_found"], description="A page of this service that says what it means."
    )
    title: str = Field(examples=["Not Found"], description="The words of the HTTP status.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(examples=["There is no such mailbox."], description="What happened, for people.")
    code: str = Field(examples=["not_found"], description="Stable; what a program decides by.")
    retryable: bool = Field(description="The same call may succeed later, without anything being changed.")
    instance: str | None = Field(None, description="The request's id, as in `X-Request-Id`.")
    errors: list[Fault] | None = Field(None, description="Only for bad input: each fault and where it is.")
    earliest: str | None = Field(
        None, description="Only with `cursor_gone`, of messages: a cursor to begin anew with."
    )
    latest: str | None = Field(
        None, description="Only with `cursor_gone`, of messages: the cursor of the end."
    )
    mailbox_id: str | None = Field(
        None, description="Only with `mailbox_exists` and `external_id_exists`: the mailbox that is there."
    )


_MEANINGS = {
    400: ("invalid_cursor", "The cursor is not one that this service gave."),
    401: ("unauthorized", "The API key is missing or not valid, or has expired."),
    403: (
        "forbidden",
        "The API key lacks the scope or the reach that this operation needs, or comes from elsewhere.",
    ),
    404: ("not_found", "There is nothing with this id."),
    408: ("request_timeout", "The body did not come in time."),
    409: ("conflict", "The state of the resource does not allow it."),
    410: ("cursor_gone", "The cursor is of another feed; `earliest` and `latest` say how to go on."),
    412: ("precondition_failed", "It was changed since it was read: its `ETag` is another one."),
    413: ("body_too_large", "The body has more octets than is allowed."),
    414: ("uri_too_long", "The URL has more octets than is allowed."),
    415: ("unsupported_media_type", "The body is of another media type than the operation takes."),
    416: (
        "range_not_satisfiable",
        "`Range` asks for octets behind the end; `Content-Range` says how many there are.",
    ),
    422: ("invalid_request", "The request is not valid; `errors` says where."),
    424: ("connect_failed", "The mail server could not be asked."),
    429: (
        "too_many_requests",
        "Too many requests, waiting requests or wrong API keys; `Retry-After` says when.",
    ),
    431: ("headers_too_large", "The header fields have more octets than is allowed."),
    500: ("internal_error", "An error of ours; nothing of what was committed is lost."),
    503: ("storage_failed", "The database cannot do its work at the moment."),
}


def documented(*statuses: int, **codes: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation: what each error status means, for the OpenAPI document.

    ``codes`` names more telling codes and a sentence for a status: ``s409="mailbox_paused|without_secrets: …"``.
    """
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 422, 429, 503, *statuses}):
        code, meaning = _MEANINGS[status]
        all_codes = _ALL_CODES.get(status, (code,))
        if told := codes.get(f"s{status}"):
            named, _, meaning = told.partition(": ")
            all_codes = (*named.split("|"), *(all_codes if status in _ALL_CODES else ()))
        answers[status] = {"description": meaning, "model": Problem} | _content(status, all_codes, meaning)
    return answers


def _content(status: int, codes: Sequence[str], meaning: str) -> dict[str, Any]:
    example = problem_body(status, codes[0], meaning)
    return {"content": {"application/json": {"example": example, _CODES_HERE: list(codes)}}}


_HEADERS = {
    "Location": "Where the thing is that this answer is about.",
    "Link": 'The next page, as `rel="next"` (RFC 8288).',
    "ETag": "Changes when what it is of does (RFC 9110 §8.8.3).",
    "Content-Range": "Which octets of how many these are (RFC 9110 §14.4).",
    "Accept-Ranges": "`bytes`: a part can be asked for by `Range`.",
    "WWW-Authenticate": "`Bearer`: how a key is sent (RFC 6750 §3).",
    "Retry-After": "In how many seconds to try again.",
    "Content-Disposition": "A name for the file.",
    "X-Request-Id": "The id of the request, as it was sent or as it was made here; the log has it.",
    "Idempotent-Replayed": "`true`: the answer to an earlier request with this `Idempotency-Key`, once more.",
}


def answered(
    status: int, description: str, *headers: str, example: object = None
) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation: what a success means, which headers it has, and an example of its JSON.

    None: one is put together from the schema.
    """
    content = {} if example is None else {"content": {"application/json": {"example": example}}}
    return {status: {"description": description, "headers": described_headers(*headers)} | content}


def answered_file(
    media_types: Sequence[str], description: str, *headers: str
) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that answers octets of one of these media types, or a part of them."""
    octets = {"schema": {"type": "string", "format": "binary"}}
    content = {"content": dict.fromkeys(media_types, octets)}
    headers = (*headers, "Accept-Ranges")
    return {
        200: answered(200, description, *headers)[200] | content,
        206: answered(206, "The octets that `Range` asks for.", *headers, "Content-Range")[206] | content,
        **not_modified(),
    }


def not_modified() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that takes ``If-None-Match``."""
    return answered(304, "It is what you have.", "ETag")


def described_headers(*names: str) -> dict[str, Any]:
    """The ``headers`` of a response, for the OpenAPI document."""
    return {
        name: {
            "description": _HEADERS[name],
            "schema": {"type": "integer" if name == "Retry-After" else "string"},
        }
        for name in names
    }


def problem_body(
    status: int, code: str, detail: str, faults: Iterable[InputFault] = (), *, request: str = ""
) -> dict[str, Any]:
    """The JSON of a problem document. ``request``: the id of the request; empty: of the one that is being answered."""
    body: dict[str, Any] = {
        "type": f"/docs/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": CODES[code].retryable,
    }
    if request := request or request_id.current.get():
        body["instance"] = f"urn:maildelta:request:{request}"
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
            for status in (400, 408, 414, 431, 500, *((413, 415) if takes_body else ())):
                code, meaning = _MEANINGS[status]
                if status == 400:
                    code, meaning = "bad_request", "The request is not HTTP."
                told_here = {"description": meaning} | _content(status, (code,), meaning)
                operation["responses"].setdefault(str(status), told_here)
            if may_be_repeated(operation):
                in_progress = CODES["idempotency_in_progress"].meaning
                operation["responses"].setdefault(
                    "409", {"description": in_progress} | _content(409, _OF_REPEATED["409"], in_progress)
                )
            for status, response in operation["responses"].items():
                if status >= "400":
                    told = response.get("content", {}).get("application/json", {})
                    codes = [*told.get(_CODES_HERE, ())]
                    if status == "400":
                        more = ["bad_request", "malformed_json"] if takes_body else ["bad_request"]
                        codes += more
                    if may_be_repeated(operation):
                        codes += _OF_REPEATED.get(status, ())
                    only = {"properties": {"code": {"type": "string", "enum": list(dict.fromkeys(codes))}}}
                    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, only]}
                    example = {"example": told["example"]} if "example" in told else {}
                    response["content"] = {MEDIA_TYPE: {"schema": schema} | example}
    return document


def may_be_repeated(operation: dict[str, Any]) -> bool:
    """Whether an operation of the document takes ``Idempotency-Key``."""
    return any(each["name"] == IDEMPOTENCY_KEY for each in operation.get("parameters", ()))


def problem(error: AppError) -> Response:
    """The answer for one of our own errors."""
    body = problem_body(error.status, error.code, error.detail, error.faults) | error.members
    headers = dict(error.headers)
    if body["retryable"]:
        headers.setdefault("Retry-After", _RETRY_AFTER)
    return JSONResponse(body, error.status, headers=headers, media_type=MEDIA_TYPE)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    answer = problem(error)
    if path := error.headers.get("Location"):
        answer.headers["Location"] = located(request, path)
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "conflict" if error.status_code == 409 else "bad_request")
    headers, detail = dict(error.headers or {}), str(error.detail)
    if error.status_code == 404:
        meant = _address_meant(request)
        detail = "There is nothing at this address" + (f"; there is at {meant}." if meant else ".")
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
        detail = f"The address knows {headers['Allow']}, and not {request.method}."
    body = problem_body(error.status_code, code, detail)
    return JSONResponse(body, error.status_code, headers=headers, media_type=MEDIA_TYPE)


def _address_meant(request: Request) -> str:
    """The same without slashes too many, in lower case; empty: there is nothing either."""
    path: str = request.scope["path"]
    single = re.sub("/+", "/", path).rstrip("/")
    for meant in (single, single.lower()):
        scope = {**request.scope, "root_path": "", "path": meant.removeprefix(PREFIX)}
        routes = (each for each in iter_route_contexts(request.app.routes) if each.methods)
        if meant != path and any(each.matches(scope)[0] is not Match.NONE for each in routes):
            return meant[:_LONGEST_ADDRESS]
    return ""


def allowed_methods(request: Request) -> list[str]:
    """What all routes of this address know together (RFC 9110 §10.2.1); each by itself knows only its own."""
    known: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            known |= route.methods or set()
    known = known or {"GET"}  # a mount has taken its part of the path away: what is mounted are files
    return sorted(known | ({"HEAD"} if "GET" in known else set()))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body is not None else None
    faults = faults_of(error.errors(), members=getattr(model, "model_fields", ()))
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
    _log.error("unexpected_error", exc_info=error, request_id=request_id.current.get())
    answer = problem(AppError(500, "internal_error", "An error of ours; the log of the service has it."))
    answer.raw_headers = guarded(answer.raw_headers)  # it is made outside of what guards all others
    answer.raw_headers.append((request_id.HEADER, request_id.current.get().encode()))
    return answer
