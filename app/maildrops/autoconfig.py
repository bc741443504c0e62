"""PURE  Reading autoconfig files, by which providers tell mail programs where their servers are.

The format is Thunderbird's (config-v1.1.xml): ``clientConfig`` with ``incomingServer`` elements. It comes from whoever
has the domain: what is read of it is bounded, a document type (by which entities are declared) is refused, and what is
not understood is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

MOST_OCTETS: Final = 64 * 1024
_MOST_ELEMENTS: Final = 2_000
_DEEPEST: Final = 12
_MOST_SERVERS: Final = 10
_LONGEST: Final = 255  # characters of a text

_PLACEHOLDER: Final = re.compile("%EMAILADDRESS%|%EMAILLOCALPART%|%EMAILDOMAIN%")
_SECURITIES: Final = {"ssl": "tls", "starttls": "starttls"}  # never clear text
_WORDS: Final = ("hostname", "port", "sockettype", "username", "authentication")


class AutoconfigUnreadable(Exception):
    """It is no such file."""


@dataclass(frozen=True, slots=True)
class AutoconfigServer:
    """A POP3 server of the file. ``username``: with its placeholders filled in; None: it says none that is understood.

    ``ways``: how to log in, ``password`` or ``oauth2``.
    """

    host: str
    port: int
    security: str
    username: str | None
    ways: tuple[str, ...]


def servers_in(octets: bytes, *, local_part: str, domain: str) -> tuple[AutoconfigServer, ...]:
    """The POP3 servers of a file that speak TLS, in its order. Raises AutoconfigUnreadable."""
    if len(octets) > MOST_OCTETS:
        raise AutoconfigUnreadable("it is too long")
    reading = _Reading()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refused
    parser.EntityDeclHandler = _refused
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(octets, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise AutoconfigUnreadable("it is not well-formed XML") from error
    if not reading.is_config:
        raise AutoconfigUnreadable("it is no autoconfig file")
    filled = {
        "%EMAILADDRESS%": f"{local_part}@{domain}",
        "%EMAILLOCALPART%": local_part,
        "%EMAILDOMAIN%": domain,
    }
    return tuple(_servers(reading.servers, filled))


@dataclass
class _Reading:
    """What was read so far: of each POP3 server its words, each the first time but ways to log in."""

    servers: list[dict[str, list[str]]] = field(default_factory=list)
    is_config: bool = False
    _path: list[str] = field(default_factory=list)
    _elements: int = 0
    _is_pop3: bool = False
    _text: str = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.lower()
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._path) >= _DEEPEST:
            raise AutoconfigUnreadable("it has too many elements")
        if not self._path:
            self.is_config = name == "clientconfig"
        self._path.append(name)
        self._text = ""
        if name == "incomingserver":
            self._is_pop3 = attributes.get("type", "").lower() == "pop3" and len(self.servers) < _MOST_SERVERS
            if self._is_pop3:
                self.servers.append({})

    def end(self, name: str) -> None:
        name = self._path.pop()
        is_word = self._is_pop3 and name in _WORDS and self._path[-1:] == ["incomingserver"]
        if is_word and len(self._text) <= _LONGEST:
            self.servers[-1].setdefault(name, []).append(self._text.strip())
        if name == "incomingserver":
            self._is_pop3 = False

    def text(self, data: str) -> None:
        if len(self._text) <= _LONGEST:
            self._text += data


def _refused(*_: object) -> None:
    raise AutoconfigUnreadable("it declares a document type")


def _servers(read: list[dict[str, list[str]]], filled: dict[str, str]) -> Iterator[AutoconfigServer]:
    for words in read:
        host, port, security = (_first(words, name) for name in ("hostname", "port", "sockettype"))
        if security.lower() not in _SECURITIES or not (port.isascii() and port.isdigit() and len(port) < 6):
            continue
        username = _first(words, "username")
        if _is_odd(host) or not 1 <= int(port) <= 65535:
            continue
        yield AutoconfigServer(
            _filled(host, filled).lower(),
            int(port),
            _SECURITIES[security.lower()],
            _filled(username, filled) if username and not _is_odd(username) else None,
            tuple(dict.fromkeys(_way(each) for each in words.get("authentication", ()))) or ("password",),
        )


def _first(words: dict[str, list[str]], name: str) -> str:
    return next(iter(words.get(name, ())), "")


def _filled(text: str, filled: dict[str, str]) -> str:
    """With what the placeholders stand for; one pass, so that no address fills in another."""
    return _PLACEHOLDER.sub(lambda found: filled[found[0]], text)


def _is_odd(text: str) -> bool:
    """Whether it has placeholders that are not known."""
    return "%" in _PLACEHOLDER.sub("", text)


def _way(authentication: str) -> str:
    return "oauth2" if authentication.lower() == "oauth2" else "password"
