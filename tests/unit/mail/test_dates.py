"""The moment that a Date header means, or none; never a wrong one in silence."""

from datetime import UTC, datetime

import pytest

from app.mail import defects
from app.mail.fields.dates import date_of


def at(hour: int, minute: int = 0, *, day: int = 2, month: int = 11, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Mon, 2 Nov 2026 10:00:00 +02:00", at(8)),
        ("2 Nov 2026 10:00:00 GMT+0100", at(9)),
        ("2 Nov 2026 10:00:00 GMT +0100 (CET)", at(9)),
        ("Mon Nov 02 2026 10:00:00 GMT+0100 (Central European Standard Time)", at(9)),
        ("2 Nov 2026 10:00:00 UTC+1", at(9)),
        ("2 Nov 2026 10:00:00 GMT-05:30", at(15, 30)),
        ("2 Nov 2026 10:00:00+0100", at(9)),
        ("2 Nov 2026 10:00:00 PM +0100", at(21)),
        ("2 Nov 2026 12:00:00 AM +0000", at(0)),
        ("2 Nov 2026 12:00 p.m. +0000", at(12)),
        ("Nov 2, 2026 10:00:00 AM PST", at(18)),
        ("2026-11-02T10:00:00+01:00", at(9)),
        ("2026-11-02T10:00:00Z", at(10)),
        ("2026-11-02 10:00:00.123456 +0100", at(9)),
        ("2026/11/02 10:00:00 +0100", at(9)),
        ("02.11.2026 10:00:00 +0100", at(9)),
        ("Mon (x), 2 (y) Nov 2026 (z (z)) 10:00 (t) +0100 (u)", at(9)),
        ("Mon, 2 Nov 2026 10(comment):   00  :  00 -0600", at(16)),
        ("2 Jul 2026 10:00:00 EST5EDT", at(14, month=7)),
        ("2 Jan 2026 10:00:00 EST5EDT", at(15, month=1)),
        ("8 Mar 2026 01:59:00 PST8PDT", at(9, 59, day=8, month=3)),
        ("8 Mar 2026 03:00:00 PST8PDT", at(10, day=8, month=3)),
        ("2 Apr 2000 01:00:00 EST5EDT", at(6, day=2, month=4, year=2000)),
        ("2 Nov 2026 10:00:00 JST", at(1)),
        ("2 Nov 2026 10:00:00 MEZ", at(9)),
        ("Mo, 2 Nov 2026 10:00:00 +0100", at(9)),
        ("Mo., 2 Nov 2026 10:00:00 +0100", at(9)),
        ("lun., 2 nov. 2026 10:00:00 +0100", at(9)),
        ("Mi\u00e9, 2 Nov 2026 10:00:00 +0100", at(9)),
        ("\u041f\u043d, 2 Nov 2026 10:00:00 +0100", at(9)),
        ("Dienstag, 2 Nov 2026 10:00:00 MEZ", at(9)),
        ("mar., 3 nov. 2026 10:00:00 +0100", at(9, day=3)),  # Tuesday, in French, Italian and Spanish
        ("mardi, 3 nov. 2026 10:00:00 +0100", at(9, day=3)),
        ("Mar, 3 2026 10:00:00 +0100", at(9, day=3, month=3)),
        ("2 Jul 2026 10:00:00 MESZ", at(8, month=7)),
        ("2 Nov 2026 10:00:00 EST", at(15)),
        ("2 Nov 2026 10:00:00 EST -0500", at(15)),
        ("2 Nov 2026 10:00:00 -0500 EST5EDT", at(15)),
        ("2 Nov 2026 10:00:00 +0100 Central European Time", at(9)),
        ("Mon, 2 Nov 2026 10:00:00 GMT (x)", at(10)),
        ("2 Nov 2026 10:00:00 +0530 (IST)", at(4, 30)),
        ("Mon Nov  2 10:00:00 CET 2026", at(9)),
        ("Mon, 02-Nov-26 10:00:00 GMT", at(10)),
        ("2nd November 2026 at 10:00 UTC", at(10)),
        ("Mon, 2 Nov 126 10.00.00 +0000", at(10)),
        ('Mon, 2 Nov 2026 10:00:00 "GMT"', at(10)),
        ("Mon, 2 Nov 2026 10:00:00 -0000", at(10)),
        ("mon, 2 nov 2026 10:00:00 gmt", at(10)),
        ("Mon, 2 Nov 2026 9:5:3 +0000", datetime(2026, 11, 2, 9, 5, 3, tzinfo=UTC)),
        ("Mon, 2 Nov. 2026, 10:00:0 UTC+01", at(9)),
        ("Mon Nov  2 10:00:00 2026 +0100", at(9)),
        ("Mon Nov  2 10:00:00 -0800 PST 2026", at(18)),
        ("2026-11-02 10:00:00 +0000 UTC", at(10)),
        ("2026-11-02T10:00:00+01:00[Europe/Berlin]", at(9)),
        ("2026-11-02T10:00:00,123+01", at(9)),
        ("2 Nov 2026 10:00:00 CST+0800", at(2)),  # China, by the number
        ("2 Nov 2026 10:00:00 EST+1000", at(0)),  # Australia
        ("2 Nov 2026 10:00:00 MSK", at(7)),
        ("2 Jul 2012 10:00:00 MSK +0400", at(6, month=7, year=2012)),
        ("Mon 2026-11-02 10:00:00 UTC", at(10)),
        ("Montag, 02.11.2026, 10:00:00 +0100", at(9)),
        ("2026-11-02 at 10:00 +0100", at(9)),
        ("2026-11-02t10:00:00z", at(10)),
        ("2026-11-02 10:00:00 PM +0900", at(13)),
        ("Mon, 2 Nov 2026 (\\() 10:00:00 +0100", at(9)),
        ("Mon, 2 Nov 2026 10:00:00 (a\\) +0500) +0100", at(9)),
        ("Mon, 31 Dec 1899 23:00:00 -0500", at(4, day=1, month=1, year=1900)),
    ],
)
def test_a_date_is_the_moment_meant(value: str, moment: datetime) -> None:
    found: list[str] = []
    assert date_of(value.encode(), found) == moment
    assert found == []


@pytest.mark.parametrize(
    "value",
    [
        "2 Nov 2026 10:00:00",
        "2 Nov 2026 10:00:00 (a\\) +0500)",
        "Mon Nov  2 10:00:00 2026",
        "2026-11-02T10:00:00",
    ],
)
def test_a_date_without_zone_is_taken_for_utc_and_it_is_told(value: str) -> None:
    found: list[str] = []
    assert date_of(value.encode(), found) == at(10)
    assert found == [defects.DATE_WITHOUT_ZONE]


@pytest.mark.parametrize(
    "value",
    [
        "2 Nov 2026 10:00:00 IST",  # of India, Israel or Ireland
        "2 Nov 2026 10:00:00 A",  # RFC 822 had the letters the wrong way round
        "2 Nov 2026 10:00:00 Europe/Berlin",
        "2 Nov 2026 10:00:00 XYZ",
        "2 Nov 2026 10:00:00 XYZ+0100",
        "2 Nov 2026 10:00:00 +0100 +0200",
        "2 Nov 2026 10:00:00 +01 00",
        "2 Nov 2026 10:00:00 +0100 7",
        "2 Nov 2026 10:00:75 +0100",
        "2 Nov 2026 10:00:99 GMT",
        "2 Nov 2026 10:00:00 EST CET",
        "2 Nov 2026 10:00:00 CET-1CEST",  # POSIX: an hour ahead
        "2 Nov 2026 10:00:00 EST+5EDT",
        "2 Nov 2026 10:00:00 CET -0100",
        "2 Jul 2012 10:00:00 MSK",  # four hours ahead then, three before and after
        "2 Jul 2014 10:00:00 TRT",
        "2 Nov Dec 2026 10:00:00 +0000",
        "2 Nov 2026 10:00:00 +0100 PM",  # the half of the day, where nobody looks for it
        "2 Nov 2026 10:00:00 -0500 P.M. EST",
        "2026-11-02 PM 10:00:00 +0900",
        "PM 2026-11-02 10:00:00 +0900",
        "PM, 2026-11-02 10:00:00 +0900",
        "PM, 2 Nov 2026 10:00:00 +0900",
        "2026-11-02 \u4e0b\u534810:00:00 +0800",  # Chinese
        "2026-11-02 \uc624\ud6c4 10:00:00 +0900",  # Korean
        "02.11.2026 nachm. 10:00 +0100",
        "2026-11-02 EST 10:00:00",
        "2026-11-02 2026-11-03 10:00:00 +0000",
        "1 2026-11-02 10:00:00 +0000",
        "2 Nov 2026 10:00:00 Etc/GMT+5",
        "2 Nov 2026 10:00:00 " + " " * 180 + "+0530",  # what is cut may be the zone
        "2 Nov 2026 10:00:00 + 0100",
        "2 Nov 2026 10:00:00 \u22120500",
        "2 Nov 2026 10:00:00 +05.30",
        "2 Nov 2026 10:00:00 -530",
        "2 Nov 2026 10:0.00 +0000",
        "26-11-2 10:00:00 +0000",
        "1793613600",
        "2 Nov 2026 10:00:00 +9999",
        "2 Nov 2026 10:00:00 +010",
        "2 Nov 2026 10:00:00 0100",
        "11/02/2026 10:00:00 +0000",  # the day of a month or the month of a day
        "2 Nov 2026 24:00:00 +0000",
        "2 Nov 2026 13:00:00 PM +0000",
        "2 Nov 2026 10:61:00 +0000",
        "31 Feb 2026 10:00:00 +0000",
        "2 Mai 2026 10:00:00 +0200",
        "2 Nov 2026",
        "10:00:00 +0000",
        "",
        "yesterday",
        "\u0662 Nov 2026 10:00:00 +0000",
    ],
)
def test_what_is_not_understood_is_no_moment_and_it_is_told(value: str) -> None:
    found: list[str] = []
    assert date_of(value.encode(), found) is None
    assert found == [defects.BAD_DATE]
