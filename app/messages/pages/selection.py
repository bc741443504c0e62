"""PURE  What of a message is wanted in an answer: ``include``, ``fields`` and ``text_limit`` of a request."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.errors import AppError, InputFault
from app.messages.schemas import MessageAnswer
from app.web.text import nearest

LIST_TEXT_LIMIT: Final = 64 * 1024
MOST_TEXT_OCTETS: Final = 16 * 1024 * 1024  # more than the budget of a letter lets any text have
_LONGEST_NAME = 100
_MOST_FAULTS = 20


class Include(StrEnum):
    """What is told of a message only where it is asked for, for it has to be read or made."""

    TEXT = "text"
    HTML = "html"
    HEADERS = "headers"
    ATTACHMENTS = "attachments"
    RAW_URL = "raw_url"


PARSED: Final = frozenset({Include.TEXT, Include.HTML, Include.HEADERS, Include.ATTACHMENTS})
PLAIN: Final = frozenset(
    field.serialization_alias or name for name, field in MessageAnswer.model_fields.items()
) - {*Include, "text_truncated", "html_truncated"}
"""The members that a message of a list has in any case."""

_ALSO_CALLED: Final = {
    "body": "text",
    "content": "text",
    "plain": "text",
    "text_body": "text",
    "html_body": "html",
    "header": "headers",
    "files": "attachments",
    "raw": "raw_url",
    "url": "raw_url",
    "size": "octets",
    "uid": "unique_id",
    "preview": "snippet",
    "from_address": "from",
    "from_name": "from",
    "sha256": "raw_sha256",
}


_INCLUDED: Final = tuple(each.value for each in Include)
_FIELDS: Final = (*PLAIN, *_INCLUDED)


@dataclass(frozen=True, slots=True)
class Selection:
    """``fields``: of the plain members these; None: all. ``text_limit``: octets of UTF-8; None: no limit."""

    include: frozenset[Include] = frozenset()
    fields: frozenset[str] | None = None
    text_limit: int | None = None

    @property
    def is_plain(self) -> bool:
        """The members that every list answers, and no other."""
        return not self.include and self.fields is None

    @property
    def is_read(self) -> bool:
        """The letter itself has to be read."""
        return bool(self.include & PARSED)

    @property
    def has_links(self) -> bool:
        """Links are to be made."""
        return Include.RAW_URL in self.include

    @property
    def words(self) -> str:
        """The same for the same answer, and another for another one: for entity tags."""
        if self == WHOLE:
            return ""
        fields = "*" if self.fields is None else ",".join(sorted(self.fields))
        return f"{','.join(sorted(self.include))} {fields} {self.text_limit}"


WHOLE: Final = Selection(PARSED)
"""One message as it is answered to who asks for nothing else."""


def selected(
    include: Iterable[str] | None,
    fields: Iterable[str] | None,
    text_limit: int | None,
    *,
    unless_asked: frozenset[Include] = frozenset(),
) -> Selection:
    """The selection of a request; each value may hold several names with commas between them.

    ``unless_asked``: what is included where ``fields`` does not say what is wanted. Raises AppError 422 for a name that
    is none.
    """
    included, named = list(_names(include)), None if fields is None else list(_names(fields))
    faults = [*_faults("include", included, _INCLUDED)]
    if named is not None:
        faults += _faults("fields", named, _FIELDS)
        if not named:
            faults.append(InputFault("/query/fields", "names no member: name some, or leave it out"))
        if Include.RAW_URL in named and Include.RAW_URL not in included:
            faults.append(InputFault("/query/fields", "'raw_url' is made where include=raw_url asks for it"))
    if faults:
        raise AppError(422, "invalid_request", "The request is not valid.", tuple(faults[:_MOST_FAULTS]))
    wanted = frozenset(map(Include, included))
    if named is None:
        return Selection(wanted | unless_asked, None, text_limit)
    more = frozenset(Include(name) for name in named if name in PARSED)
    return Selection(wanted | more, PLAIN & set(named), text_limit)


def _names(given: Iterable[str] | None) -> Iterator[str]:
    """Each once, without blanks around it."""
    names = (name.strip() for some in given or () for name in some.split(","))
    yield from dict.fromkeys(name for name in names if name)


def _faults(parameter: str, names: Iterable[str], known: Collection[str]) -> Iterator[InputFault]:
    for name in names:
        if name not in known:
            near = _ALSO_CALLED.get(name.lower(), "")
            if near not in known:
                near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else f"known are: {', '.join(sorted(known))}"
            yield InputFault(f"/query/{parameter}", f"'{name[:_LONGEST_NAME]}' is no member of it; {hint}")
