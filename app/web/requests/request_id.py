"""The id of a request: the client's own where it is sane, else made here. Answer, problem, log and trace have it."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from random import Random

HEADER = b"x-request-id"
current: ContextVar[str] = ContextVar("request_id", default="")
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,100}")
_random = Random()  # noqa: S311  an id is no secret, and the system is not called for it


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that these header fields give, or a new one."""
    for name, value in headers:
        if name == HEADER and _SANE.fullmatch(value):
            return value.decode()
    return f"{_random.getrandbits(96):024x}"
