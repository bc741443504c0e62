"""PURE  How much time some providers want between two logins. What a server announces itself counts besides."""

# From providers' help pages and what users of other clients report; docs/providers.md tells people.
_LEAST_SECONDS = {
    "gmail.com": 300,
    "googlemail.com": 300,
    "gmx.at": 300,
    "gmx.ch": 300,
    "gmx.com": 300,
    "gmx.de": 300,
    "gmx.net": 300,
    "hotmail.com": 900,
    "live.com": 900,
    "outlook.com": 900,
    "web.de": 300,
}


def least_seconds_between_logins(host: str) -> int:
    """What the provider of a mail server wants at least, by the end of its name; 0 where none is known."""
    labels = host.lower().rstrip(".").split(".")
    return _LEAST_SECONDS.get(".".join(labels[-2:]), 0)
