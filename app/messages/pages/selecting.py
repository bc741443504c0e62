"""The query parameters by which a request says what of each message it wants."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query
from pydantic import StringConstraints

from app.messages.pages.selection import (
    LIST_TEXT_LIMIT,
    MOST_TEXT_OCTETS,
    PARSED,
    Include,
    Selection,
    selected,
)

_INCLUDES = ", ".join(f"`{one}`" for one in Include)

Names = Annotated[str, StringConstraints(max_length=500)]
Included = Annotated[
    list[Names] | None,
    Query(
        description=f"What else to tell of each message, with commas between: {_INCLUDES}.",
        examples=[["text", "attachments"]],
    ),
]
Fields = Annotated[
    list[Names] | None,
    Query(
        description="Only these members of each message, with commas between, and what `include` names. Others are not "
        "there, not even those that the schema requires; but `expired: true` is where a message expired.",
        examples=[["id", "subject", "text"]],
    ),
]
TextLimit = Annotated[
    int | None,
    Query(
        ge=1,
        le=MOST_TEXT_OCTETS,
        description="Octets of UTF-8: a longer `text` is cut there (`text_truncated`), a longer `html` left out "
        f"(`html_truncated`). Default: {LIST_TEXT_LIMIT} in lists, no limit for one message.",
    ),
]


async def _of_list(
    include: Included = None, fields: Fields = None, text_limit: TextLimit = None
) -> Selection:
    chosen = selected(include, fields, text_limit)
    is_of_body = chosen.include & {Include.TEXT, Include.HTML}
    return replace(chosen, text_limit=LIST_TEXT_LIMIT) if is_of_body and text_limit is None else chosen


async def _of_one(include: Included = None, fields: Fields = None, text_limit: TextLimit = None) -> Selection:
    return selected(include, fields, text_limit, unless_asked=PARSED)


InList = Annotated[Selection, Depends(_of_list)]
OfOne = Annotated[Selection, Depends(_of_one)]
