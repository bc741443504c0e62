"""Answers with what was read of letters: of one message, and pages of bounded size and time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.messages.letters.forms import Form
from app.messages.letters.reader import SMALL_OCTETS, Letter, MessageReader
from app.messages.models import MessageSeq
from app.messages.pages.expiry import expired_among
from app.messages.pages.items import ListedItem, UrlOf, item_json, listed_json
from app.messages.pages.selection import Selection
from app.messages.schemas import MessageAnswer, expired
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
        url_of = _url_of(item.id, links)
        if not selection.is_read:
            return item_json(item, None, selection, url_of)
        letter = Letter(bytes.fromhex(item.raw_sha256), item.octets)
        await share.take(_SMALL_ANSWER if letter.octets <= SMALL_OCTETS else _LARGE_ANSWER)
        form = await self.letters.form(letter, owner=(share.reader, item.mailbox_id))
        return item_json(item, form, selection, url_of)

    async def page(
        self,
        items: Sequence[ListedItem],
        selection: Selection,
        share: Share,
        links: Links | None = None,
    ) -> Composed:
        """The first of these messages: as many as a page holds, and at least one, which may be larger. Raises Busy.

        Letters that have still to be read are read for so long and no longer: who asks for the next page finds there
        what was left, and what others had read meanwhile.
        """
        until, made, octets, passed = self.monotonic() + self.page_seconds, list[bytes](), 0, 0
        found: dict[bytes, Form] = {}
        gone: Collection[str] = ()
        await share.take(_SHARED_OCTETS)
        for place, item in enumerate(items):
            form = None
            try:
                if selection.is_read and item.has_content:
                    form = found.get(item.sha256) or self.letters.kept_form(item.sha256)
                    if form is None and place >= passed:
                        if made and self.monotonic() > until:
                            break
                        some = self._next(items[place : place + _AT_ONCE])
                        found, passed = await self._read(some, share), place + len(some)
                        gone = await self._expired_among(some, found)
                        form = found.get(item.sha256)
                if 2 * octets > share.octets:  # what is written, and the same joined
                    await share.take(2 * octets - share.octets + _SHARED_OCTETS)
            except Busy:
                if made:
                    return Composed(made, place)
                raise
            written = self._written(item, form, gone, selection, links)
            if written is None:
                continue
            octets += len(written) + 1
            if made and octets > self.page_octets:
                return Composed(made, place)
            made.append(written)
        else:
            place = len(items)
        return Composed(made, place)

    def _written(
        self,
        item: ListedItem,
        form: Form | None,
        gone: Collection[str],
        selection: Selection,
        links: Links | None,
    ) -> bytes | None:
        """None: it was deleted since the page was looked up. What expired since then is told as such."""
        if item.is_place:
            return item.written
        if item.id in gone:
            return expired(item.seq).model_dump_json().encode()
        if not item.has_content:
            return listed_json(item, None, selection)
        if form is None and selection.is_read:
            return None
        return listed_json(item, form, selection, _url_of(item.id, links))

    async def _expired_among(
        self, items: Sequence[ListedItem], found: Mapping[bytes, Form]
    ) -> frozenset[str]:
        """The ids of messages that were there when the page was looked up, and have expired since."""
        lost = [item for item in items if item.has_content and item.sha256 not in found]
        if not lost:
            return frozenset()
        seqs = [MessageSeq(item.seq) for item in lost]
        expired = await self.letters.database.read(partial(expired_among, seqs=seqs))
        return frozenset(item.id for item in lost if item.seq in expired)

    def _next(self, items: Sequence[ListedItem]) -> Sequence[ListedItem]:
        """What is read together: up to a letter that takes a process, or that one alone."""
        for place, item in enumerate(items):
            is_large = item.has_content and item.octets > SMALL_OCTETS
            if is_large and self.letters.kept_form(item.sha256) is None:
                return items[: max(1, place)]
        return items

    async def _read(self, items: Sequence[ListedItem], share: Share) -> dict[bytes, Form]:
        there = [item for item in items if item.has_content]
        if not there:
            return {}
        letters = [Letter(item.sha256, item.octets) for item in there]
        owner = (share.reader, there[0].mailbox_id)
        if letters[0].octets <= SMALL_OCTETS:
            return await self.letters.some_forms(letters, owner=owner)
        async with share.memory.share(share.reader) as while_it_is_read:
            await while_it_is_read.take(_LARGE_ANSWER)
            return await self.letters.some_forms(letters, owner=owner)


def _url_of(message_id: str, links: Links | None) -> UrlOf | None:
    if links is None:
        return None
    whole = f"/messages/{message_id}"
    return lambda index: links(f"{whole}/raw" if index is None else f"{whole}/attachments/{index}")
