"""PURE  What a part is for: text or HTML that is shown, or an attachment."""

from enum import Enum

from app.mail.names import type_by_name
from app.mail.parts import Part


class Role(Enum):
    """Of a part that is no multipart."""

    TEXT = "text"
    HTML = "html"
    ATTACHMENT = "attachment"


def role_of(part: Part) -> Role:
    """Body or attachment, from the part alone: the rules of JMAP (RFC 8621 §4.1.4), but no image is a body."""
    kind = part.content_type
    if part.disposition == "attachment":
        return Role.ATTACHMENT
    if kind not in {"text/plain", "text/html"}:
        is_lone_text = not part.parent and kind.startswith("text/") and kind != "text/calendar"
        return Role.TEXT if is_lone_text else Role.ATTACHMENT
    if part.parent == "related" and not part.is_root:
        return Role.ATTACHMENT
    if part.place > 0 and part.parent != "related" and part.filename([]) is not None:
        return Role.ATTACHMENT
    return Role.HTML if kind == "text/html" else Role.TEXT


def is_inline(part: Part) -> bool:
    """What the HTML shows by its Content-ID, or a further form of the body (AMP, an invitation) without a name."""
    disposition = part.disposition
    if disposition == "attachment":
        return False
    if part.content_id is not None and (part.parent == "related" or disposition == "inline"):
        return _may_be_shown(part)
    return part.parent == "alternative" and part.filename([]) is None


def _may_be_shown(part: Part) -> bool:
    """Whether HTML can show a part: a PDF beside it was attached, although some programs give it a Content-ID."""
    if not part.content_type.startswith("application/"):
        return True
    name = part.filename([])
    return part.content_type == "application/octet-stream" and (
        name is None or type_by_name(name).startswith("image/")
    )
