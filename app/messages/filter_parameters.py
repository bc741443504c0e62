"""The filters of the feed, as parameters of a query."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from app.errors import AppError, InputFault, pointer
from app.mail.fields.comparison import canonical
from app.mail.mime import Automated, Kind
from app.messages.indexed.indexed_headers import LONGEST_VALUE, compared
from app.messages.injected import Injected, MessageRoutes
from app.messages.pages.search import Wanted
from app.web.features import feature_of
from app.web.ids import THREAD_PATTERN, decode_thread_id
from app.web.routing import QueryFamily
from app.web.text import Label
from app.web.times import UtcTime, refuse_reversed

MOST_VALUES = 50  # of a filter each of whose values is looked up by itself
_LONGEST_SHOWN = 100
_MOST_FAULTS = 20

HeadersWanted = tuple[tuple[str, tuple[str, ...]], ...]

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]  # an empty one is in every text

_NOBODY = "none"


def _some_of(*names: str) -> tuple[AfterValidator, WithJsonSchema]:
    """What a text is annotated with that is one or more of these words, with commas between them."""
    one = f"(?:{'|'.join(names)})"

    def check(value: str) -> str:
        if unknown := [each for each in value.split(",") if each not in names]:
            told = f"'{unknown[0][:_LONGEST_SHOWN]}' is none" if unknown[0] else "something is missing"
            raise ValueError(f"{told}; known are: {', '.join(names)}, several with commas between them")
        return value

    pattern = f"^{one}(?:,{one})*$"
    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": pattern})


def _thread(value: str) -> str:
    if not re.fullmatch(THREAD_PATTERN, value, re.ASCII):
        raise ValueError("must be the thread_id of a message: thr_ and 32 hexadecimal digits in lower case")
    return value


_AUTOMATED = _some_of(*Automated, _NOBODY)
_KINDS = _some_of(*Kind)
_Thread = Annotated[
    str, AfterValidator(_thread), WithJsonSchema({"type": "string", "pattern": THREAD_PATTERN})
]


class HeaderFilters(QueryFamily):
    """``header:<name>`` for each header of the setting ``INDEXED_HEADERS``."""

    async def __call__(self, request: Request, feature: Injected) -> HeadersWanted:
        """Names and values as they are kept. Raises AppError."""
        given: dict[str, set[str]] = {}
        faults: dict[str, str] = {}
        for parameter, value in request.query_params.multi_items():
            if parameter.startswith(self.prefix):
                name = parameter.removeprefix(self.prefix).lower()
                values = given.setdefault(name, set())
                values.add(compared(value))
                if fault := _fault(name, value, values, feature.indexed.names):
                    faults.setdefault(parameter[:_LONGEST_SHOWN], fault)
        if faults:
            told = (InputFault(pointer("query", name), fault) for name, fault in faults.items())
            raise AppError(
                422, "invalid_request", "The request is not valid.", tuple(islice(told, _MOST_FAULTS))
            )
        return tuple((name, tuple(sorted(values))) for name, values in sorted(given.items()))

    def parameters(self, app: FastAPI) -> list[dict[str, Any]]:
        values = {
            "type": "array",
            "items": {"type": "string", "maxLength": LONGEST_VALUE},
            "maxItems": MOST_VALUES,
        }
        told = "The header `{}` is this, whatever the case. Of a long value its first 500 characters count."
        return [
            {
                "name": f"{self.prefix}{name}",
                "in": "query",
                "description": told.format(name),
                "schema": values,
            }
            for name in feature_of(app, MessageRoutes).indexed.names
        ]


def _fault(name: str, value: str, values: Collection[str], names: Sequence[str]) -> str:
    if name not in names:
        known = f"names {', '.join(names)}" if names else "names none"
        return f"is no header that is indexed: MAILDELTA_INDEXED_HEADERS {known}"
    if len(value) > LONGEST_VALUE:
        return f"must have at most {LONGEST_VALUE} characters"
    return f"has at most {MOST_VALUES} values" if len(values) > MOST_VALUES else ""


OfHeaders = Annotated[HeadersWanted, Depends(HeaderFilters("header:", shown="header:<name>"))]


async def _wanted(
    headers: OfHeaders,
    message_id: Annotated[
        list[Text] | None, Query(description="The Message-ID header field is this one, with its `<` and `>`.")
    ] = None,
    subject: Annotated[
        list[Text] | None, Query(description="Holds this text (ASCII letters in any case).")
    ] = None,
    sender: Annotated[
        list[Text] | None,
        Query(alias="from", description="Name or address holds this text (ASCII letters in any case)."),
    ] = None,
    from_address: Annotated[
        list[Text] | None,
        Query(
            description="The sender's address is this one, exactly (ASCII letters in any case). Messages whose "
            "sender is uncertain (`from_ambiguous`) never match.",
        ),
    ] = None,
    to: Annotated[
        list[Text] | None, Query(description="To or Cc holds this text (ASCII letters in any case).")
    ] = None,
    since: Annotated[UtcTime | None, Query(description="Retrieved at or after this time.")] = None,
    until: Annotated[UtcTime | None, Query(description="Retrieved before this time.")] = None,
    has_attachments: Annotated[bool | None, Query(description="Whether there is a part to download.")] = None,
    thread_id: Annotated[
        list[_Thread] | None,
        Query(max_length=MOST_VALUES, description="All messages of this thread."),
    ] = None,
    automated: Annotated[
        list[Annotated[str, _AUTOMATED[0], _AUTOMATED[1]]] | None,
        Query(
            description="Sent by a program as this; `none`: no header says so. Several, repeated or with commas "
            "between them: any of them."
        ),
    ] = None,
    label: Annotated[list[Label] | None, Query(description="Its mailbox has this label now.")] = None,
    kind: Annotated[
        list[Annotated[str, _KINDS[0], _KINDS[1]]] | None,
        Query(
            description="It is this, maybe among others. Several, repeated or with commas between them: any of them."
        ),
    ] = None,
) -> Wanted:
    refuse_reversed(since, until)
    return Wanted(
        message_id=_values(message_id),
        subject=_values(subject),
        sender=_values(sender),
        from_address=_values(map(canonical, from_address or ())),
        recipient=_values(to),
        since=since,
        until=until,
        has_attachments=has_attachments,
        thread_id=tuple(sorted(set(map(decode_thread_id, thread_id or ())))),
        automated=tuple(None if name == _NOBODY else Automated(name) for name in _names(automated)),
        kinds=tuple(Kind(name) for name in _names(kind)),
        labels=_values(label),
        headers=headers,
    )


Filters = Annotated[Wanted, Depends(_wanted)]


def _names(given: list[str] | None) -> Iterator[str]:
    """Each once: those that came repeated, and those with commas between them."""
    yield from dict.fromkeys(name for some in given or () for name in some.split(","))


def _values(given: Iterable[str] | None) -> tuple[str, ...]:
    """In one order, so that the same filters have the same cursors."""
    return tuple(sorted(set(given or ())))
