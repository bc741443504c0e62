"""Images that HTML names by their Content-Location, relative to its own."""

import pytest

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.locations import MAX_LOCATION, content_id_at, joined
from app.mail.mime import parse
from tests.unit.mail.nasty import multipart

_PAGE = b"http://e.org/mail/page.html"


@pytest.mark.parametrize(
    ("around", "page", "image", "source", "is_shown"),
    [
        (b"", _PAGE, b"http://e.org/mail/a.png", "a.png", True),
        (b"", _PAGE, b"http://e.org/mail/a.png", "./b/../a.png", True),
        (b"", _PAGE, b"http://e.org/mail/a.png", "/mail/a.png", True),
        (b"", _PAGE, b"http://e.org/mail/a.png", "//e.org/mail/a.png", True),
        (b"", _PAGE, b"http://e.org/mail/a.png", "/a.png", False),
        (b"", _PAGE, b"http://e.org/mail/a.png", "b.png", False),
        (b"", _PAGE, b"http://e.org/mail/a.png", "", False),
        (b"", b"", b"http://e.org/mail/a.png", "a.png", False),
        (b"", b"file:///C:/x/page.htm", b"file:///C:/x/page.files/a.png", "page.files/a.png", True),
        (b"", b"x/page.html", b"x/a.png", "a.png", True),
        (_PAGE, b"", b"a.png", "http://e.org/mail/a.png", True),
        (_PAGE, b"", b"http://e.org/mail/a.png", "a.png", True),
        (_PAGE, b"", b"../a.png", "/a.png", True),
        (_PAGE, b"", b"", "a.png", False),
        (b"http://e.org/", b"mail/page.html", b"mail/a.png", "a.png", True),
        (b"http://e.org/", b"mail/page.html", b"a.png", "a.png", True),  # as both are written
        (b"", _PAGE, b"a.png", "a.png", True),
        (b"", b"http://[", b"http://e.org/a.png", "a.png", False),
        (b"", b"http://[", b"a.png", "a.png", True),
        (b"", _PAGE, b"http://e.org/mail/a.png", "http://[", False),
    ],
)
def test_an_address_is_seen_from_where_it_stands(
    around: bytes, page: bytes, image: bytes, source: str, is_shown: bool
) -> None:
    html = b"Content-Type: text/html\r\nContent-Location: " + page + f'\r\n\r\n<img src="{source}">'.encode()
    png = b"Content-Type: image/png\r\nContent-ID: <i>\r\nContent-Location: " + image + b"\r\n\r\nPNG"
    related = multipart(html, png, boundary=b"r", subtype=b"related")
    for letter in (related, multipart(related)):
        assert parse(b"Content-Location: " + around + b"\r\n" + letter).html == (
            '<img src="cid:i">' if is_shown else "<img>"
        )


def test_what_is_too_long_for_an_address_stays_as_it_is() -> None:
    folders = "a/" * (MAX_LOCATION // 2)
    assert joined("http://e.org/", folders) == folders
    assert content_id_at({folders + "x": "i"}, "", Budget([]), folders + "x") is None


def test_sources_are_joined_only_as_far_as_the_budget_goes() -> None:
    found: list[str] = []
    budget, ids = Budget(found), {"http://e.org/a": "i"}
    assert content_id_at(ids, "http://e.org/", budget, "a") == "i"
    budget.take(Work.STEPS, budget.left(Work.STEPS))
    assert content_id_at(ids, "http://e.org/", budget, "a") is None
    assert found == [defects.TOO_COSTLY]
