"""The demo's POP3 server, with the standard library's client."""

import asyncio
import poplib
from collections.abc import Callable
from typing import TypeVar

import pytest

from app.demo.maildrop import Maildrop, MaildropServer
from app.demo.samples import late_mail, sample_mail

Result = TypeVar("Result")


async def with_client(
    maildrop: Maildrop, use: Callable[[poplib.POP3], Result], *, password: str = "p w"
) -> Result:
    async with MaildropServer(maildrop, username="u", password="p w") as server:

        def talk() -> Result:
            client = poplib.POP3(server.host, server.port, timeout=10)
            try:
                client.user("u")
                client.pass_(password)
                return use(client)
            finally:
                client.quit()  # poplib closes its socket with it

        return await asyncio.to_thread(talk)


def with_samples() -> Maildrop:
    maildrop = Maildrop()
    for raw in sample_mail():
        maildrop.deliver(raw)
    return maildrop


async def test_every_sample_is_served_as_it_is() -> None:
    def use(client: poplib.POP3) -> list[bytes]:
        count, octets = client.stat()
        assert octets == sum(map(len, sample_mail()))
        return [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]

    assert await with_client(with_samples(), use) == sample_mail()


async def test_uidl_list_and_top_agree_with_the_maildrop() -> None:
    maildrop = with_samples()

    def use(client: poplib.POP3) -> None:
        ids = [line.split()[1].decode() for line in client.uidl()[1]]
        assert ids == list(maildrop.messages)
        sizes = [int(line.split()[1]) for line in client.list()[1]]
        assert sizes == [len(raw) for raw in sample_mail()]
        head = b"\r\n".join(client.top(1, 0)[1])
        assert head.rstrip() == sample_mail()[0].partition(b"\r\n\r\n")[0]
        with pytest.raises(poplib.error_proto):
            client.retr(99)

    await with_client(maildrop, use)


async def test_a_wrong_password_is_refused() -> None:
    with pytest.raises(poplib.error_proto, match="AUTH"):
        await with_client(with_samples(), lambda _client: None, password="wrong")


async def test_the_maildrop_is_locked_while_somebody_is_in() -> None:
    maildrop = with_samples()
    maildrop.is_locked = True
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        await with_client(maildrop, lambda _client: None)


async def test_marked_messages_go_only_at_quit() -> None:
    maildrop = with_samples()

    def use(client: poplib.POP3) -> None:
        client.dele(1)
        client.rset()
        client.dele(2)
        assert len(maildrop.messages) == len(sample_mail())

    await with_client(maildrop, use)
    assert list(maildrop.messages.values()) == [sample_mail()[0], *sample_mail()[2:]]


async def test_mail_that_arrives_during_a_session_shows_in_the_next_one() -> None:
    maildrop = with_samples()

    def use(client: poplib.POP3) -> tuple[int, int]:
        maildrop.deliver(late_mail())
        return client.stat()

    assert (await with_client(maildrop, use))[0] == len(sample_mail())
    assert (await with_client(maildrop, lambda client: client.stat()))[0] == len(sample_mail()) + 1


async def test_only_a_dot_after_crlf_is_stuffed() -> None:
    maildrop = Maildrop()
    maildrop.deliver(b"Subject: dots\r\n\r\n.one\r\nsame line\n.still the same\r\n.\r\n")
    async with MaildropServer(maildrop, username="u", password="p w") as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"USER u\r\nPASS p w\r\nRETR 1\r\nQUIT\r\n")
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert b"\r\n..one\r\nsame line\n.still the same\r\n..\r\n.\r\n" in said


async def test_top_counts_lines_that_end_with_crlf() -> None:
    maildrop = Maildrop()
    maildrop.deliver(b"Subject: s\r\n\r\none\nstill one\r\ntwo\r\nthree\r\n")
    maildrop.deliver(b"Subject: only headers\r\n")
    answers = await with_client(maildrop, lambda client: (client.top(1, 2), client.top(2, 0)))
    assert [answer[1] for answer in answers] == [
        [b"Subject: s", b"", b"one", b"still one", b"two"],
        [b"Subject: only headers"],
    ]


def test_a_message_without_its_last_line_end_is_not_taken() -> None:
    with pytest.raises(ValueError, match="must end with CRLF"):
        Maildrop().deliver(b"Subject: s\r\n\r\ncut")


async def test_a_forgotten_connection_does_not_hold_up_the_end() -> None:
    async with MaildropServer(Maildrop(), username="u", password="p w") as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert (await reader.readline()).startswith(b"+OK")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
