"""PURE  Names of attachments: safe ones, and some for those that have none."""

import re
from typing import Final

from app.mail.octets.decoding import shown

MAX_FILENAME: Final = 180  # characters; file systems stop at 255 octets
_LONGEST_ENDING: Final = 20
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# fmt: off
_ENDINGS: Final = {
    "application/gzip": "gz", "application/ics": "ics", "application/json": "json", "application/msword": "doc",
    "application/pdf": "pdf", "application/pgp-encrypted": "asc", "application/pgp-keys": "asc",
    "application/pgp-signature": "asc", "application/pkcs7-mime": "p7m", "application/pkcs7-signature": "p7s",
    "application/x-pkcs7-mime": "p7m", "application/x-pkcs7-signature": "p7s", "application/postscript": "ps",
    "application/rtf": "rtf", "application/tlsrpt+gzip": "json.gz", "application/vnd.ms-excel": "xls",
    "application/vnd.ms-outlook": "msg", "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp", "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/x-7z-compressed": "7z", "application/x-gzip": "gz", "application/x-tar": "tar",
    "application/x-zip-compressed": "zip", "application/xml": "xml", "application/zip": "zip",
    "audio/aac": "aac", "audio/mp4": "m4a", "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/wav": "wav",
    "audio/x-wav": "wav", "image/bmp": "bmp", "image/gif": "gif", "image/heic": "heic", "image/jpeg": "jpg",
    "image/jpg": "jpg", "image/pjpeg": "jpg", "image/png": "png", "image/svg+xml": "svg", "image/tiff": "tif",
    "image/webp": "webp", "message/delivery-status": "txt", "message/disposition-notification": "txt",
    "message/feedback-report": "txt", "message/global": "eml", "message/global-delivery-status": "txt",
    "message/global-headers": "txt", "text/calendar": "ics", "text/csv": "csv",
    "text/html": "html", "text/rfc822-headers": "txt", "text/rtf": "rtf", "text/vcard": "vcf",
    "text/x-amp-html": "html", "text/x-vcard": "vcf", "text/xml": "xml", "video/mp4": "mp4", "video/mpeg": "mpg",
    "video/quicktime": "mov", "video/webm": "webm",
}
# fmt: on


_TYPES: Final = {
    **{ending: content_type for content_type, ending in reversed(_ENDINGS.items())},
    "asc": "application/octet-stream",  # a key, a signature, or what was encrypted
    "eml": "message/rfc822",
    "htm": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "tiff": "image/tiff",
    "txt": "text/plain",
}


def type_by_name(name: str) -> str:
    """The type that the ending of a name tells, of a file of which nothing else is known."""
    return _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def name_by_type(content_type: str, index: int) -> str | None:
    """A name with the ending of its type, for a part that was given none; None where the type tells none."""
    ending = _ENDINGS.get(content_type)
    return f"attachment-{index}.{ending}" if ending else None


def safe_filename(name: str, found: list[str]) -> str | None:
    """One to save under: no folders, no control characters, not too long; None where nothing is left."""
    name = _CONTROLS.sub("", name.replace("\\", "/").rpartition("/")[2])
    name = shown(name, found).strip(" .\"'")
    if len(name) > MAX_FILENAME:
        stem, dot, ending = name.rpartition(".")
        if not dot or len(ending) > _LONGEST_ENDING:
            return name[:MAX_FILENAME]
        name = stem[: MAX_FILENAME - len(ending) - 1] + dot + ending
    return name or None
