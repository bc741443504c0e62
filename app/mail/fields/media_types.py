"""PURE  What a Content-Type means that is none: senders write ``text``, ``multipart``, ``application-x-gzip``."""

import re

from app.mail import defects
from app.mail.fields.parameters import Parsed, parameter

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{0,126}[a-z0-9!#$&^_+-]\Z")
_READABLE_TYPE = re.compile(r"[a-z]{1,127}/[a-z0-9.+-]{0,126}[a-z0-9]")
_TEXTS = ("text", "plain", "html")  # how a type that is only half written begins


def media_type(typed: Parsed, found: list[str]) -> str:
    """The type; of one that is none what can be read in it, else a multipart, a file, or plain text, by its
    parameters."""
    content_type = typed.main
    if _MEDIA_TYPE.match(content_type):
        return content_type
    if readable := _READABLE_TYPE.search(content_type):
        return readable[0]
    if content_type == "multipart":
        return "multipart/mixed"
    found.append(defects.BAD_CONTENT_TYPE)
    if parameter(typed, b"boundary") is not None:
        return "multipart/mixed"
    is_file = not content_type.startswith(_TEXTS) and parameter(typed, b"name")
    return "application/octet-stream" if is_file else "text/plain"  # RFC 2045 §5.2
