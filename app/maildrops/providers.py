"""PURE  What is known of some providers: how much time they want between two logins (what a server announces itself
counts besides), and where the maildrops of their addresses are.
"""

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the maildrops of a provider are, all of them by TLS on port 995, and how to log in: by the whole address.

    ``host``: None, it has no POP3. ``ways``: ``password``, ``oauth2``; ``oauth2``: by which provider of ours. ``note``:
    what its customers have to do first.
    """

    host: str | None
    ways: tuple[str, ...] = ("password",)
    oauth2: str | None = None
    note: str | None = None


_MADE_IN_SETTINGS: Final = "It wants an app password, made in the account's settings."
_SWITCHED_ON: Final = "POP3 has to be switched on in the account's settings."
_GMAIL: Final = Provider(
    "pop.gmail.com", ("oauth2", "password"), "google", f"{_SWITCHED_ON} {_MADE_IN_SETTINGS}"
)
_OUTLOOK: Final = Provider("outlook.office365.com", ("oauth2",), "microsoft", _SWITCHED_ON)
_GMX: Final = Provider("pop.gmx.net", note=_SWITCHED_ON)
_YAHOO: Final = Provider("pop.mail.yahoo.com", note=_MADE_IN_SETTINGS)
_APPLE: Final = Provider(None, note="Apple's mail has no POP3.")
_PROTON: Final = Provider(None, note="Proton's mail has no POP3.")

# From the providers' help pages; docs/providers.md tells people.
_PROVIDERS: Final = {
    "aol.com": Provider("pop.aol.com", note=_MADE_IN_SETTINGS),
    "fastmail.com": Provider("pop.fastmail.com", note=_MADE_IN_SETTINGS),
    "fastmail.fm": Provider("pop.fastmail.com", note=_MADE_IN_SETTINGS),
    "freenet.de": Provider("mx.freenet.de"),
    "gmail.com": _GMAIL,
    "gmx.at": _GMX,
    "gmx.ch": _GMX,
    "gmx.com": Provider("pop.gmx.com", note=_SWITCHED_ON),
    "gmx.de": _GMX,
    "gmx.net": _GMX,
    "googlemail.com": _GMAIL,
    "hotmail.com": _OUTLOOK,
    "icloud.com": _APPLE,
    "live.com": _OUTLOOK,
    "mac.com": _APPLE,
    "mail.ru": Provider("pop.mail.ru", note=_MADE_IN_SETTINGS),
    "me.com": _APPLE,
    "msn.com": _OUTLOOK,
    "outlook.com": _OUTLOOK,
    "pm.me": _PROTON,
    "proton.me": _PROTON,
    "protonmail.com": _PROTON,
    "t-online.de": Provider("securepop.t-online.de", note="It wants the password for mail programs."),
    "web.de": Provider("pop3.web.de", note=_SWITCHED_ON),
    "yahoo.com": _YAHOO,
    "yahoo.de": _YAHOO,
    "yandex.com": Provider("pop.yandex.com", note=f"{_SWITCHED_ON} {_MADE_IN_SETTINGS}"),
    "zoho.com": Provider("pop.zoho.com", note=_SWITCHED_ON),
}


def provider_of(domain: str) -> Provider | None:
    """Who has the addresses of a domain, where that is known by its name."""
    return _PROVIDERS.get(domain.lower())
