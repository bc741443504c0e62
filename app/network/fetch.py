"""Getting a small file by https, from public addresses only, within bounds.

As with mail servers the name is resolved once, every address is judged, and the judged one is connected to; a redirect
is another name, and judged as the first.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from app.network.addresses import AddressRefused, resolve
from app.network.lookups import HostUnknown, Lookups
from app.settings import IpNetwork

_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_CONNECT_SECONDS: Final = 5.0


@dataclass
class NotFetched(Exception):
    """There is no such file, or it could not be had: why, in words of ours."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Gets files. ``port``: the only one that is asked; ``tls``: whom to trust; ``within``: seconds for all of it."""

    allowed: Sequence[IpNetwork]
    lookups: Lookups
    tls: ssl.SSLContext
    within: float
    most_octets: int
    port: int = 443

    async def get(self, url: str) -> bytes:
        """The octets of a file. Nothing is sent but the address. Raises NotFetched."""
        try:
            async with asyncio.timeout(self.within):
                for _ in range(_MOST_REDIRECTS + 1):
                    answer, octets = await self._answer(_target(url))
                    if answer.status_code not in _REDIRECTS or "location" not in answer.headers:
                        break
                    url = str(httpx.URL(url).join(answer.headers["location"]))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise NotFetched("there was no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise NotFetched(f"it could not be asked ({type(error).__name__})") from error
        except AddressRefused as error:
            raise NotFetched("it is at no public address") from error
        except HostUnknown as error:
            raise NotFetched("the name has no address") from error
        if answer.status_code != 200:
            raise NotFetched(f"the answer was HTTP status {answer.status_code}")
        return octets

    async def _answer(self, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        addresses = await resolve(url.host, allowed=self.allowed, lookups=self.lookups)
        for address in addresses[:-1]:
            try:
                return await self._answer_from(address, url)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._answer_from(addresses[-1], url)

    async def _answer_from(self, address: str, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        timeout = httpx.Timeout(self.within, connect=min(_CONNECT_SECONDS, self.within))
        headers = {"Host": url.host, "Accept-Encoding": "identity", "User-Agent": "maildelta"}
        async with (
            httpx.AsyncClient(
                verify=self.tls, trust_env=False, follow_redirects=False, timeout=timeout
            ) as client,
            client.stream(
                "GET",
                url.copy_with(host=address, port=self.port),
                headers=headers,
                extensions={"sni_hostname": url.host},  # what the certificate is verified against
            ) as answer,
        ):
            octets = b""
            async for part in answer.aiter_raw():
                octets += part
                if len(octets) > self.most_octets:
                    raise NotFetched(f"it is longer than {self.most_octets} octets")
            return answer, octets


def _target(url: str) -> httpx.URL:
    """Where to ask. Raises NotFetched for a redirect that leads out of https, to a port, or that holds credentials."""
    target = httpx.URL(url)
    if target.scheme != "https" or target.port not in {None, 443} or target.userinfo or not target.host:
        raise NotFetched("it leads elsewhere than to https")
    return target
