"""PURE  The moment that a Date header means (RFC 5322 §3.3 and §4.3, and what mail programs write instead).

A date is read when it has a day, a month, a year and a time in any of the usual orders; a zone that is not understood
makes it unreadable, for a wrong moment that nobody is told of is worse than none. No zone at all means UTC, and is
told.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.mail import defects

LONGEST_DATE = 200  # octets: what would have to be cut may be cut within the zone
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_TWO_DIGITS = {name.title(): f"{number:02}" for name, number in _MONTH.items()}
_LONG_MONTHS = (
    *("january", "february", "march", "april", "june", "july", "august", "september"),
    *("october", "november", "december", "sept"),
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_USUAL = re.compile(
    r"(?:[A-Za-z]{3},)?\s*(\d{1,2})\s(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s(\d{4})\s"
    r"(\d\d:\d\d):(\d\d)\s(?:([+-](?:[01]\d|2[0-3]))([0-5]\d)|GMT)(?:\s*\([^()]*\))?\Z",
    re.ASCII,
)
_COMMENT = re.compile(r"\((?:[^()\\]++|\\.)*+\)", re.DOTALL)
_AROUND_COLON = re.compile(r"\s*+:\s*+")
_TIME = re.compile(
    r"(?<![\d:.])(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?|\.(\d\d)(?:\.(\d\d))?)(?![\d:])", re.ASCII
)
_HALF = re.compile(r"\s*([ap])\.?m\b\.?", re.IGNORECASE)
_HALF_ELSEWHERE = re.compile(r"(?<![a-z])[ap]\.?m(?![a-z])", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?=T|\b)", re.ASCII | re.IGNORECASE)
_DAY_FIRST = re.compile(
    r"\b(\d{1,2})\.(\d{1,2})\.(\d{4})\b", re.ASCII
)  # as German and Russian programs write it
# A weekday in any language: words at the start that a comma follows, and then a month. "Mar." is a Tuesday too.
_WEEKDAY = re.compile(
    rf"\A(?![ap]\.?m\b)[^\d,]{{1,30}},(?=.*\b(?:{'|'.join(_MONTHS)}))", re.ASCII | re.IGNORECASE
)
# What may stand before a day in numbers, and between it and the time: a half of the day would be one that is not read.
_BEFORE_NUMERIC_DAY = re.compile(
    rf"(?:(?![ap]\.?m\b)[^\d,]{{1,30}},|(?:{'|'.join(_WEEKDAYS)})[a-z]*\.?)?\s*", re.ASCII | re.IGNORECASE
)
_BEHIND_NUMERIC_DAY = re.compile(r"(?:[\s,;]|t\b|t$|at\b)*", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+|\d+", re.ASCII)
_OFFSET = re.compile(r"([+-])(?:(\d\d)(\d\d)|(\d{1,2})(?::(\d\d))?)(?![\d:])", re.ASCII)
_DIGIT = re.compile(r"\d", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z]+(?:\d[A-Za-z]+)?", re.ASCII)

# RFC 5322 §4.3, and others that stand for one offset wherever they are written. IST (India, Israel, Ireland) and the
# letters that RFC 822 had the wrong way round stand for several, and so for none.
_ZONES: Final = {
    **dict.fromkeys(("ut", "utc", "gmt", "z", "wet"), 0),
    "est": -300,
    "edt": -240,
    "cst": -360,
    "cdt": -300,
    "mst": -420,
    "mdt": -360,
    "pst": -480,
    "pdt": -420,
    "akst": -540,
    "akdt": -480,
    "hst": -600,
    "nst": -210,
    "ndt": -150,
    "brt": -180,
    "art": -180,
    **dict.fromkeys(("cet", "met", "mez", "west", "bst", "wat"), 60),
    **dict.fromkeys(("cest", "mest", "mesz", "eet", "sast", "cat"), 120),
    **dict.fromkeys(("eest", "msk", "eat", "trt"), 180),
    "msd": 240,
    "pkt": 300,
    "npt": 345,
    "wib": 420,
    "hkt": 480,
    "awst": 480,
    "jst": 540,
    "kst": 540,
    "acst": 570,
    "aest": 600,
    "acdt": 630,
    "aedt": 660,
    "nzst": 720,
    "nzdt": 780,
}
# When a name stood for another offset: zones are moved by law.
_MOVED: Final = {
    "msk": ((datetime(2011, 3, 27, tzinfo=UTC), datetime(2014, 10, 26, tzinfo=UTC)),),
    "trt": ((datetime(1, 1, 1, tzinfo=UTC), datetime(2016, 9, 8, tzinfo=UTC)),),
}
_WITH_SUMMER = {"est5edt": -300, "cst6cdt": -360, "mst7mdt": -420, "pst8pdt": -480}


def date_of(value: bytes, found: list[str]) -> datetime | None:
    """The moment in UTC, or None with a warning.

    Only years 1900 to 9998: at the ends of the calendar a change of zone overflows, in the database driver too.
    """
    text = value.decode("latin-1") if len(value) <= LONGEST_DATE else ""
    try:
        moment = _usual(text) or _unusual(text, found)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not 1900 <= moment.year <= 9998:
        found.append(defects.BAD_DATE)
        return None
    return moment


def _usual(text: str) -> datetime | None:
    match = _USUAL.match(text)
    if match is None:
        return None
    day, month, year, clock, second, zone_hours, zone_minutes = match.groups()
    if second == "60":  # a leap second (RFC 5322 §3.3), which datetime does not know
        second = "59"
    zone = f"{zone_hours}:{zone_minutes}" if zone_hours else "+00:00"
    local = f"{year}-{_TWO_DIGITS[month]}-{day:0>2}T{clock}:{second}{zone}"
    return datetime.fromisoformat(local).astimezone(UTC)


def _unusual(text: str, found: list[str]) -> datetime | None:
    """By its parts, in whatever order: comments out, the time, what is left of the zone, the day."""
    text = _AROUND_COLON.sub(":", _without_comments(text).replace('"', " ")).strip()
    clock = _TIME.search(text, _behind_numeric_day(text))
    if clock is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2] or clock[4]), int(clock[3] or clock[5] or 0)
    before, after = text[: clock.start()], text[clock.end() :]
    if half := _HALF.match(after):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[1] in "pP" else 0)
        after = after[half.end() :]
    day, after = _day(before, after)
    if day is None or second > 60:
        return None
    local = datetime(day.year, day.month, day.day, hour, minute, min(second, 59), tzinfo=UTC)
    offset = _offset(after.strip(" ,;\t"), local)
    if offset is None:
        return None
    if not after.strip(" ,;\t"):
        found.append(defects.DATE_WITHOUT_ZONE)
    return local - offset


def _without_comments(text: str) -> str:
    for _ in range(5):  # they nest
        text, count = _COMMENT.subn(" ", text)
        if not count:
            break
    return text.partition("(")[0]


def _behind_numeric_day(text: str) -> int:
    match = _DAY_FIRST.search(text) or _YEAR_FIRST.search(text)
    return match.end() if match else 0


def _day(before: str, after: str) -> tuple[date | None, str]:
    """The day, of what stands before the time; the year may stand behind it (asctime). And what is left there."""
    if match := _YEAR_FIRST.search(before) or _DAY_FIRST.search(before):
        around = (before[: match.start()], before[match.end() :])
        if not (_BEFORE_NUMERIC_DAY.fullmatch(around[0]) and _BEHIND_NUMERIC_DAY.fullmatch(around[1])):
            return None, after
        numbers = [int(number) for number in match.groups()]
        return date(*(numbers if len(match[1]) == 4 else reversed(numbers))), after
    month, words = 0, list[str]()
    for word in _WORD.findall(_WEEKDAY.sub("", before)):
        if word.isdigit():
            words.append(word)
        elif (name := word.lower()) in _MONTH or name in _LONG_MONTHS:
            if month:
                return None, after
            month = _MONTH[name[:3]]
        elif name[:3] not in _WEEKDAYS and name not in {"st", "nd", "rd", "th", "at", "t", "of"}:
            return None, after
    if len(words) == 1:  # Mon Nov  2 10:00:00 CET 2026
        year = re.search(r"(?<![\d:+-])\d{4}(?!\d)", after, re.ASCII)
        if year is None:
            return None, after
        words.append(year[0])
        after = after[: year.start()] + " " + after[year.end() :]
    if not month or len(words) != 2:
        return None, after
    if len(words[0]) == 4:
        words.reverse()
    return date(_year(words[1]), month, int(words[0])), after


def _year(digits: str) -> int:
    """RFC 5322 §4.3: two digits below 50 are of this century, three and the others are counted from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _offset(zone: str, local: datetime) -> timedelta | None:
    """What the zone is ahead of UTC. Numbers count before names: ``GMT +0100 (CET)``. None: it is not understood."""
    if not zone:
        return timedelta()
    if match := _OFFSET.search(zone):
        name = zone[: match.start()].strip(" ,;\t").lower()
        hours, minutes = int(match[2] or match[4]), int(match[3] or match[5] or 0)
        behind = zone[match.end() :].strip(" ,;.\t").lower()
        if (name and not _is_known(name)) or (_DIGIT.search(behind) and not _is_known(behind)):
            return None
        if hours > 23 or minutes > 59 or _HALF_ELSEWHERE.search(behind):
            return None
        offset = (60 * hours + minutes) * (1 if match[1] == "+" else -1)
        if offset and _ZONES.get(name) == -offset:  # POSIX has the signs the other way round: CET-1CEST
            return None
        return timedelta(minutes=offset)
    match = _ZONE_NAME.match(zone)
    if match is None or ((rest := zone[match.end() :].strip(" ,;.\t")) and not _is_known(rest.lower())):
        return None
    name = match[0].lower()
    if name in _WITH_SUMMER:
        minutes = _WITH_SUMMER[name] + (60 if _is_american_summer(local) else 0)
    elif name in _ZONES and not any(first <= local < last for first, last in _MOVED.get(name, ())):
        minutes = _ZONES[name]
    else:
        return None
    if rest and rest.lower() in _ZONES and _ZONES[rest.lower()] != minutes:
        return None
    return timedelta(minutes=minutes)


def _is_known(name: str) -> bool:
    return name in _ZONES or name in _WITH_SUMMER


def _is_american_summer(local: datetime) -> bool:
    """Daylight saving time of the United States, since 1987: from two to two on Sundays."""
    if local.year >= 2007:
        first, last = _sunday(local.year, 3, 8), _sunday(local.year, 11, 1)
    else:
        first, last = _sunday(local.year, 4, 1), _sunday(local.year, 10, 25)
    return first <= local < last


def _sunday(year: int, month: int, not_before: int) -> datetime:
    day = date(year, month, not_before)
    day += timedelta(days=(6 - day.weekday()) % 7)
    return datetime(day.year, day.month, day.day, 2, tzinfo=UTC)
