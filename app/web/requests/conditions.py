"""PURE  Conditional requests (RFC 9110 §13): does what the client has seen still stand?"""

import re

from app.errors import AppError

_TAG = re.compile(r'(?:^|,)[ \t]*((?:W/)?"[^"]*")[ \t]*(?=,|$)')  # an element of a list (§8.8.3)


def is_among(etag: str, header: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags holds this one, or is ``*``. ``weakly``: weak ones count too (§8.8.3.2)."""
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    if weakly:
        return etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}
    return etag in tags


def refuse_unless_matching(if_match: str, etag: str) -> None:
    """Raises 412 where ``If-Match`` names other states than the present one."""
    if not is_among(etag, if_match, weakly=False):
        raise AppError(
            412,
            "precondition_failed",
            "It was changed since it was read: its ETag is not among those of If-Match. Read it again.",
            headers={"ETag": etag},
        )
