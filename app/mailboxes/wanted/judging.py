"""PURE  Whether a message is wanted: criteria judged on its headers and size, and the rule that decided."""

import json
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice

from app.mail import defects
from app.mail.budget import Budget
from app.mail.envelope import charset_of, senders
from app.mail.fields.comparison import canonical
from app.mail.fields.dates import date_of
from app.mail.fields.people import MAX_ADDRESSES, Address, marks_of_a_field, people_in
from app.mail.fields.words import decoded
from app.mail.octets.decoding import printable
from app.mail.octets.headers import Block
from app.mail.octets.scanner import Scanner
from app.mailboxes.wanted.criteria import Condition, Criteria

MAX_JUDGED = (
    64 * 1024
)  # characters of all values of one field together; what is longer is judged by its start
_QUOTED = 100
_ASCII_LOWER = str.maketrans({letter: letter.lower() for letter in string.ascii_uppercase})
# Default_Ignorable_Code_Point of Unicode: soft hyphens, joiners, marks of direction, variation selectors, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Marks that combine are sorted, in time that is quadratic in how many there are. No character of ASCII combines with
# what is before it, so that texts are cut there; in another place where there is none.
_PARTS = re.compile(r".{1,250}(?![^\x00-\x7f])|.{1,250}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a message is wanted, and in one sentence why: what the ledger records."""

    wanted: bool
    rule: str


class JudgedHead:
    """The headers of a message, read once however many conditions ask for them. Takes any octets; never raises.

    ``raw``: the header block, or a whole message, of which only the headers are looked at (256 KiB at most).
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._found: list[str] = []  # what is odd
        self._texts: dict[str, list[str]] = {}
        self._people: dict[str, list[str]] = {}
        self._addresses: dict[str, list[str]] = {}

    @cached_property
    def _block(self) -> Block:
        return Scanner(self._raw, Budget(self._found), self._found).block()

    @property
    def _headers(self) -> Mapping[str, Sequence[bytes]]:
        return self._block.fields

    @cached_property
    def _charset(self) -> str:
        return charset_of(self._block)

    @cached_property
    def _senders(self) -> tuple[tuple[Address, ...], bool]:
        return senders(self._headers.get("from", ()), [], charset=self._charset)

    @property
    def from_ambiguous(self) -> bool:
        """Whether it is uncertain who wrote the message."""
        return self._senders[1] or defects.HEADERS_CUT in self._found

    def from_address(self) -> list[str]:
        """The address of the sender in its canonical form; none where none can be read or it is uncertain."""
        known = [] if self.from_ambiguous else [canonical(author.address) for author in self._senders[0]]
        return [address for address in known if address]

    def has(self, name: str) -> bool:
        """Whether the header is there, with or without a value."""
        return name in self._headers

    def texts(self, name: str) -> list[str]:
        """The values of a header as one line of text each, in their order."""
        if name not in self._texts:
            self._texts[name] = _bounded(
                decoded(value, [], charset=self._charset) for value in self._headers.get(name, ())
            )
        return self._texts[name]

    def people(self, name: str) -> list[str]:
        """Every name of a header; of a value in which there is no address, all of it."""
        if name not in self._people:
            self._people[name] = _bounded(_names_in(self._headers.get(name, ()), self._charset))
        return self._people[name]

    def addresses_of(self, name: str) -> list[str]:
        """Every address of a header."""
        if name not in self._addresses:
            self._addresses[name] = _bounded(_addresses_in(self._headers.get(name, ()), self._charset))
        return self._addresses[name]

    def dates(self) -> list[datetime]:
        """The dates that can be read, in UTC."""
        read = (date_of(value, []) for value in self._headers.get("date", ()))
        return [moment for moment in read if moment is not None]


def judge(criteria: Criteria | None, *, head: JudgedHead, octets: int | None) -> Verdict:
    """Judge one message. ``octets`` as the server counts, None when it did not say. Never raises.

    A condition on a header that is missing, on a date that cannot be read or on a size that is not known is false,
    and true when it has ``not``. Any of several values of a header may make it true.
    """
    if criteria is None:
        return Verdict(True, "there are no criteria: all is wanted")
    return _judged(criteria, head, octets)


def _judged(item: Condition | Criteria, head: JudgedHead, octets: int | None) -> Verdict:
    """The verdict on a part: of several rules the one that decided, as far as a single one did."""
    if isinstance(item, Condition):
        is_true = _holds(item, head, octets) is not item.negated
        if item.field == "from_address" and head.from_ambiguous:
            is_true = False  # nothing is decided by a sender whom others may see differently
        return Verdict(is_true, f"{_sentence(item)} is {'true' if is_true else 'false'}")
    decides = item.kind == "any"
    for inner in item.items:
        verdict = _judged(inner, head, octets)
        if verdict.wanted is decides:
            return verdict
    if len(item.items) == 1:
        return verdict
    return Verdict(not decides, 'no rule of "any" is true' if decides else 'every rule of "all" is true')


def _holds(condition: Condition, head: JudgedHead, octets: int | None) -> bool:
    name = condition.field.removeprefix("header:").lower()
    match condition.field:
        case "octets":
            return octets is not None and _compares(condition, octets)
        case "date":
            return any(_is_on_its_side(condition, moment) for moment in head.dates())
        case "from_address":
            return _address_fits(condition, head.from_address())
        case _ if condition.op == "exists":
            return head.has(name)
        case "from" | "to" | "cc":
            return _any_fits(condition, head.people(name)) or _any_address_fits(
                condition, head.addresses_of(name)
            )
        case _:
            return _any_fits(condition, head.texts(name))


def _address_fits(condition: Condition, found: list[str]) -> bool:
    if condition.op == "exists":
        return bool(found)
    if condition.op == "equals":
        return canonical(str(condition.value)) in found
    return _any_address_fits(condition, found)


def _any_address_fits(condition: Condition, found: list[str]) -> bool:
    """Addresses are compared exactly, in their canonical form: what looks alike may be somebody else's."""
    if condition.op == "matches":
        return any(condition.pattern.is_found_in(address) for address in found)
    sought = str(condition.value).strip()
    if condition.op == "equals":
        return _exactly(sought) in {_exactly(address) for address in found}
    return any(_in_lower_case(sought) in _in_lower_case(address) for address in found)


def _exactly(address: str) -> str:
    return canonical(address) or _in_lower_case(address)


def _in_lower_case(address: str) -> str:
    """A to Z in lower case, and nothing else changed."""
    return address.translate(_ASCII_LOWER)


def _compares(condition: Condition, octets: int) -> bool:
    limit = condition.value
    assert isinstance(limit, int)
    match condition.op:
        case "lt":
            return octets < limit
        case "gt":
            return octets > limit
        case _:
            return octets == limit


def _is_on_its_side(condition: Condition, moment: datetime) -> bool:
    match condition.op:
        case "before":
            return moment < condition.moment
        case "after":
            return moment > condition.moment
        case _:
            return True


def _any_fits(condition: Condition, texts: list[str]) -> bool:
    if condition.op == "matches":
        return any(condition.pattern.is_found_in(text) for text in texts)
    assert isinstance(condition.value, str)
    sought = comparable(condition.value)
    if condition.op == "equals":
        return any(comparable(text) == sought for text in texts)
    return any(sought in comparable(text) for text in texts)


def comparable(text: str) -> str:
    """A text as it is compared: compatible forms are the same (NFKC), case, runs of blanks and what nobody sees count
    for nothing."""
    if not text.isascii():
        text = _INVISIBLE.sub("", _normalized(_normalized(text).casefold()))
    return " ".join(text.casefold().split())


def _normalized(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", part) for part in _PARTS.findall(text))


def _names_in(values: Iterable[bytes], charset: str) -> Iterator[str]:
    marks = marks_of_a_field()
    for value in values:
        some = list(islice(people_in(value, [], marks, charset=charset), MAX_ADDRESSES))
        if any(one.name or one.address for one in some):
            yield from (one.name for one in some if one.name)
        else:
            yield decoded(value, [], charset=charset)


def _addresses_in(values: Iterable[bytes], charset: str) -> Iterator[str]:
    marks = marks_of_a_field()
    for value in values:
        some = islice(people_in(value, [], marks, charset=charset), MAX_ADDRESSES)
        yield from (one.address for one in some if one.address)


def _bounded(texts: Iterable[str]) -> list[str]:
    """No message makes a judgement long: neither by one huge value nor by thousands of small ones."""
    kept: list[str] = []
    left = MAX_JUDGED
    for text in texts:
        if left <= 0:
            break
        kept.append(text[:left])
        left -= len(text) + 1
    return kept


def _sentence(condition: Condition) -> str:
    words = [condition.field, condition.op]
    if isinstance(condition.value, str) and condition.field != "date":
        excerpt = condition.value[:_QUOTED] + ("…" if len(condition.value) > _QUOTED else "")
        words.append(printable(json.dumps(excerpt, ensure_ascii=False)))
    elif condition.value is not None:
        words.append(str(condition.value))
    said = " ".join(words)
    return f"not ({said})" if condition.negated else said
