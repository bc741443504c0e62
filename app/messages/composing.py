"""Answers with what was read of letters: of one message, and pages of bounded size and time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.messages.expiry import expired_among
from app.messages.forms import Form
from app.messages.items import UrlOf, item_json
from app.messages.models import MessageSeq
from app.messages.reader import SMALL_OCTETS, Letter, MessageReader
from app.messages.schemas import ExpiredAnswer, MessageAnswer, expired
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

Item = MessageAnswer | ExpiredAnswer
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
        items: Sequence[Item],
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
                gone = await self._expired_among(some, found) if selection.is_read else frozenset[str]()
                if 2 * octets > share.octets:  # what is written, and the same joined
                    await share.take(2 * octets - share.octets + _SHARED_OCTETS)
            except Busy:
                if made:
                    break
                raise
            for item in some:
                written = self._written(item, found, gone, selection, links)
                if written is not None:
                    octets += len(written) + 1
                    if made and octets > self.page_octets:
                        return Composed(made, passed)
                    made.append(written)
                passed += 1
        return Composed(made, passed)

    def _written(
        self,
        item: Item,
        found: Mapping[bytes, Form],
        gone: Collection[str],
        selection: Selection,
        links: Links | None,
    ) -> bytes | None:
        """None: it was deleted since the page was looked up. What expired since then is told as such."""
        if isinstance(item, ExpiredAnswer) or item.id in gone:
            return expired(item.seq).model_dump_json().encode()
        if item.expired:
            return item_json(item, None, selection)
        form = found.get(_letter(item).sha256)
        if form is None and selection.is_read:
            return None
        return item_json(item, form, selection, _url_of(item, links))

    async def _expired_among(self, items: Sequence[Item], found: Mapping[bytes, Form]) -> frozenset[str]:
        """The ids of messages that were there when the page was looked up, and have expired since."""
        lost = [item for item in _with_content(items) if _letter(item).sha256 not in found]
        if not lost:
            return frozenset()
        seqs = [MessageSeq(item.seq) for item in lost]
        expired = await self.letters.database.read(partial(expired_among, seqs=seqs))
        return frozenset(item.id for item in lost if item.seq in expired)

    def _next(self, items: Sequence[Item], selection: Selection) -> Sequence[Item]:
        """What is read together: up to a letter that takes a process, or that one alone."""
        if not selection.is_read:
            return items
        for place, item in enumerate(items):
            if isinstance(item, ExpiredAnswer) or item.expired:
                continue
            if item.octets > SMALL_OCTETS and not self.letters.has_form(_letter(item)):
                return items[: max(1, place)]
        return items

    async def _read(self, items: Sequence[Item], share: Share) -> dict[bytes, Form]:
        there = _with_content(items)
        if not there:
            return {}
        letters = [_letter(item) for item in there]
        owner = (share.reader, there[0].mailbox_id)
        if letters[0].octets <= SMALL_OCTETS or self.letters.has_form(letters[0]):
            return await self.letters.some_forms(letters, owner=owner)
        async with share.memory.share(share.reader) as while_it_is_read:
            await while_it_is_read.take(_LARGE_ANSWER)
            return await self.letters.some_forms(letters, owner=owner)


def _with_content(items: Sequence[Item]) -> list[MessageAnswer]:
    return [item for item in items if isinstance(item, MessageAnswer) and not item.expired]


def _url_of(item: MessageAnswer, links: Links | None) -> UrlOf | None:
    if links is None:
        return None
    whole = f"/messages/{item.id}"
    return lambda index: links(f"{whole}/raw" if index is None else f"{whole}/attachments/{index}")


def _letter(item: MessageAnswer) -> Letter:
    return Letter(bytes.fromhex(item.raw_sha256), item.octets)
