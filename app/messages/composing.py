"""Answers with what was read of letters: of one message, and pages of bounded size and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.messages.forms import Form
from app.messages.items import UrlOf, item_json
from app.messages.reader import SMALL_OCTETS, Letter, MessageReader
from app.messages.schemas import MessageAnswer
from app.messages.selection import Selection
from app.reading.errors import Busy
from app.reading.memory import Share

PAGE_OCTETS: Final = 8 * 1024 * 1024
PAGE_SECONDS: Final = 5.0
_AT_ONCE = 16  # messages that are read ahead of what is written
_SHARED_OCTETS = 1024 * 1024
# What is held at most while a letter is read, in octets: it, with what is made of it in its several forms on the way.
_SMALL_ANSWER = 1024 * 1024
_LARGE_ANSWER = 32 * 1024 * 1024

Links = Callable[[str], str]
"""The signed link to a path of this service."""


@dataclass(frozen=True, slots=True)
class Composed:
    """Messages as JSON; ``passed``: of how many of the given ones, those included that are gone by now."""

    items: list[bytes]
    passed: int


@dataclass(frozen=True, kw_only=True)
class Composer:
    """Makes answers of messages. ``page_octets``: where a page is cut; ``page_seconds``: and when."""

    letters: MessageReader
    monotonic: Callable[[], float]
    page_octets: int = PAGE_OCTETS
    page_seconds: float = PAGE_SECONDS

    async def one(
        self, item: MessageAnswer, selection: Selection, share: Share, links: Links | None = None
    ) -> bytes:
        """One message as JSON, however large. Raises Busy, and 404 when it is gone by now."""
        url_of = _url_of(item, links)
        if not selection.is_read:
            return item_json(item, None, selection, url_of)
        letter = _letter(item)
        await share.take(_SMALL_ANSWER if letter.octets <= SMALL_OCTETS else _LARGE_ANSWER)
        form = await self.letters.form(letter, owner=(share.reader, item.mailbox_id))
        return item_json(item, form, selection, url_of)

    async def page(
        self,
        items: Sequence[MessageAnswer],
        selection: Selection,
        share: Share,
        links: Links | None = None,
    ) -> Composed:
        """The first of these messages: as many as a page holds, and at least one, which may be larger. Raises Busy.

        Letters that have still to be read are read for so long and no longer: who asks for the next page finds there
        what was left, and what others had read meanwhile.
        """
        until, made, octets, passed = self.monotonic() + self.page_seconds, list[bytes](), 0, 0
        await share.take(_SHARED_OCTETS)
        while passed < len(items) and not (made and self.monotonic() > until):
            some = self._next(items[passed : passed + _AT_ONCE], selection)
            try:
                found = await self._read(some, share) if selection.is_read else {}
                if 2 * octets > share.octets:  # what is written, and the same joined
                    await share.take(2 * octets - share.octets + _SHARED_OCTETS)
            except Busy:
                if made:
                    break
                raise
            for item in some:
                form = found.get(_letter(item).sha256)
                if form is not None or not selection.is_read:
                    written = item_json(item, form, selection, _url_of(item, links))
                    octets += len(written) + 1
                    if made and octets > self.page_octets:
                        return Composed(made, passed)
                    made.append(written)
                passed += 1
        return Composed(made, passed)

    def _next(self, items: Sequence[MessageAnswer], selection: Selection) -> Sequence[MessageAnswer]:
        """What is read together: up to a letter that takes a process, or that one alone."""
        if not selection.is_read:
            return items
        for place, item in enumerate(items):
            if item.octets > SMALL_OCTETS and not self.letters.has_form(_letter(item)):
                return items[: max(1, place)]
        return items

    async def _read(self, items: Sequence[MessageAnswer], share: Share) -> dict[bytes, Form]:
        letters = [_letter(item) for item in items]
        owner = (share.reader, items[0].mailbox_id)
        if letters[0].octets <= SMALL_OCTETS or self.letters.has_form(letters[0]):
            return await self.letters.some_forms(letters, owner=owner)
        async with share.memory.share(share.reader) as while_it_is_read:
            await while_it_is_read.take(_LARGE_ANSWER)
            return await self.letters.some_forms(letters, owner=owner)


def _url_of(item: MessageAnswer, links: Links | None) -> UrlOf | None:
    if links is None:
        return None
    whole = f"/messages/{item.id}"
    return lambda index: links(f"{whole}/raw" if index is None else f"{whole}/attachments/{index}")


def _letter(item: MessageAnswer) -> Letter:
    return Letter(bytes.fromhex(item.raw_sha256), item.octets)
