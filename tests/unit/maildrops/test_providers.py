"""How much time providers want between two logins."""

import pytest

from app.maildrops.providers import least_seconds_between_logins


@pytest.mark.parametrize(
    ("host", "seconds"),
    [
        ("pop.gmail.com", 300),
        ("POP.Gmail.com.", 300),
        ("pop3.web.de", 300),
        ("pop.gmx.net", 300),
        ("pop-mail.outlook.com", 900),
        ("pop3.live.com", 900),
        ("outlook.office365.com", 0),
        ("pop.notgmail.com", 0),
        ("gmail.com.example.org", 0),
        ("localhost", 0),
        ("127.0.0.1", 0),
        ("::1", 0),
        ("", 0),
    ],
)
def test_a_provider_is_known_by_the_end_of_the_host_s_name(host: str, seconds: int) -> None:
    assert least_seconds_between_logins(host) == seconds
