"""Look-ups: each name once at a time, many names at once, and never longer than they may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.network.lookups import GOOD_FOR_SECONDS, SILENT_FOR_SECONDS, HostUnknown, Lookups, NameServerSilent
from tests.fakes.name_server import FakeNameServer

WITHIN = 0.4


class Hours:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def asking(server: FakeNameServer, **given: Any) -> AsyncIterator[Lookups]:
    usual: dict[str, Any] = {"within": WITHIN, "monotonic": Hours(), "name_servers": [server.address]}
    lookups = Lookups(**usual | given)
    try:
        yield lookups
    finally:
        await lookups.close()


async def test_all_addresses_of_a_name_are_found_in_any_case() -> None:
    async with (
        FakeNameServer({"pop.example": ["192.0.2.1", "192.0.2.2", "2001:db8::1"]}) as server,
        asking(server) as lookups,
    ):
        found = await lookups.addresses("POP.example")
        assert set(found) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
        assert await lookups.addresses("pop.EXAMPLE") == found
        assert server.asked == {"pop.example": 1}


async def test_of_very_many_addresses_of_a_name_the_first_are_taken() -> None:
    """Each is judged and tried."""
    addresses = [f"192.0.2.{number}" for number in range(1, 61)]
    async with FakeNameServer({"many.example": addresses}) as server, asking(server) as lookups:
        found = await lookups.addresses("many.example")
    assert len(set(found)) == 40
    assert set(found) <= set(addresses)


@pytest.mark.parametrize(
    "name", ["gone.example", "a..b", "x" * 300, "ä" * 70 + ".example", "", "empty.example"]
)
async def test_a_name_without_an_address_is_unknown(name: str) -> None:
    async with FakeNameServer({"empty.example": []}) as server, asking(server) as lookups:
        with pytest.raises(HostUnknown) as raised:
            await lookups.addresses(name)
        assert not isinstance(raised.value, NameServerSilent)


async def test_a_name_with_letters_of_its_language_is_asked_for_as_name_servers_know_it() -> None:
    async with (
        FakeNameServer({"xn--bcher-kva.example": ["192.0.2.7"]}) as server,
        asking(server) as lookups,
    ):
        assert await lookups.addresses("bücher.example") == ("192.0.2.7",)


async def test_what_the_hosts_file_says_needs_no_name_server() -> None:
    async with FakeNameServer(silent=[""]) as server, asking(server) as lookups:
        assert "127.0.0.1" in await lookups.addresses("localhost")
        assert not server.asked


async def test_a_good_answer_serves_for_a_while_and_is_then_asked_for_again() -> None:
    async with FakeNameServer({"pop.example": ["192.0.2.1"]}) as server:
        clock = Hours()
        async with asking(server, monotonic=clock) as first, asking(server, monotonic=clock) as second:
            assert await first.addresses("pop.example") == ("192.0.2.1",)
            clock.now += GOOD_FOR_SECONDS - 1
            await first.addresses("pop.example")
            assert server.asked["pop.example"] == 1
            clock.now += 2
            # The resolver keeps an answer for as long as its sender says (a second here).
            assert "pop.example" in first._kept
            assert clock.now >= first._kept["pop.example"].until
            await second.addresses("pop.example")
            assert server.asked["pop.example"] == 2


async def test_many_who_ask_for_one_name_ask_once_and_one_who_gives_up_spoils_nothing() -> None:
    async with FakeNameServer({"pop.example": ["192.0.2.1"]}) as server, asking(server) as lookups:
        asked = [asyncio.create_task(lookups.addresses("pop.example")) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1:] == [("192.0.2.1",)] * 49
        assert server.asked == {"pop.example": 1}


async def test_a_thousand_names_of_which_nobody_knows_anything_hold_up_no_other() -> None:
    async with (
        FakeNameServer({"pop.example": ["192.0.2.1"]}, silent=["silent.example"]) as server,
        asking(server, within=20.0) as lookups,
    ):
        silent: list[asyncio.Task[Any]] = []
        while len(silent) < 999:  # not all in one moment, or the fake's socket loses some
            silent.append(asyncio.create_task(lookups.addresses(f"n{len(silent)}.silent.example")))
            while len(server.asked) < len(silent) - 50:
                await asyncio.sleep(0.001)
        assert await lookups.addresses("pop.example") == ("192.0.2.1",)
        assert not any(task.done() for task in silent)
        for task in silent:
            task.cancel()
        await asyncio.wait(silent)


async def test_silence_is_an_answer_too_and_serves_for_a_while() -> None:
    async with FakeNameServer(silent=["silent.example"]) as server:
        clock = Hours()
        async with asking(server, monotonic=clock) as lookups:
            for _ in range(3):
                with pytest.raises(NameServerSilent, match=r"within 0.4 s\. Check"):
                    await lookups.addresses("pop.silent.example")
            once = server.asked["pop.silent.example"]
            server.silent, server.names = (), {"pop.silent.example": []}
            clock.now += SILENT_FOR_SECONDS
            with pytest.raises(HostUnknown, match=r"no data"):
                await lookups.addresses("pop.silent.example")
            assert server.asked["pop.silent.example"] > once


async def test_beyond_so_many_at_once_others_wait_their_turn_no_longer_than_they_may() -> None:
    async with (
        FakeNameServer({"pop.example": ["192.0.2.1"]}, silent=["silent.example"]) as server,
        asking(server, most_at_once=2) as lookups,
    ):
        asked = [lookups.addresses(f"n{n}.silent.example") for n in range(2)]
        outcomes = await asyncio.gather(*asked, lookups.addresses("late.example"), return_exceptions=True)
        assert all(isinstance(outcome, HostUnknown) for outcome in outcomes)
        assert await lookups.addresses("pop.example") == ("192.0.2.1",)


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.network.lookups._MOST_KEPT", 3)
    names = {f"n{n}.example": ["192.0.2.1"] for n in range(9)}
    async with FakeNameServer(names) as server, asking(server) as lookups:
        for name in names:
            await lookups.addresses(name)
        assert list(lookups._kept) == list(names)[-3:]


async def test_closing_gives_up_what_is_under_way() -> None:
    async with FakeNameServer(silent=["silent.example"]) as server, asking(server, within=30.0) as lookups:
        task = asyncio.create_task(lookups.addresses("pop.silent.example"))
        while not server.asked:
            await asyncio.sleep(0.01)
        await lookups.close()
        with pytest.raises(asyncio.CancelledError):
            await task
