"""The one error that a caller of the API may see: a status, a code and a sentence."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class InputFault:
    """One thing wrong with the input: a JSON pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


def pointer(*parts: object) -> str:
    """A JSON pointer of these parts: `~` and `/` within one are escaped (RFC 6901 §3)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass
class AppError(Exception):
    """Answered as a problem document (RFC 9457) with this HTTP status and this stable code, and further ``members``."""

    status: int
    code: str
    detail: str
    faults: tuple[InputFault, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def not_found(what: str) -> AppError:
    """404: an id that names nothing (or not something of this kind)."""
    return AppError(404, "not_found", f"There is no such {what}.")


def without_secrets() -> AppError:
    """409: the service was started without its secret key."""
    detail = (
        "This service runs without its secret key (--without-secrets): it serves what is stored. Credentials can be "
        "neither stored nor used, and no sync runs."
    )
    return AppError(409, "without_secrets", detail)


def invalid_request(pointer: str, detail: str) -> AppError:
    """422 with one fault; several faults come from the schemas."""
    return AppError(422, "invalid_request", "The request is not valid.", (InputFault(pointer, detail),))
