"""Mail that looks like mail: varied, always the same for a seed, and fast to make (blocks are used again and again)."""

import base64
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

_BLOCK_OCTETS = 1 << 20
_SMALLEST_BODY = 60
_LARGEST_BODY_IN_MEANS = 40  # a tail of large ones, but no single one that decides a benchmark
_FIRST_DATE = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_PROSE = """
the order invoice has been sent and should arrive by Friday please confirm that your address is still right
we will meet again next week to speak about numbers from spring attached you find a new draft of this contract
thank you for writing so quickly kind regards from all here report server backup finished without errors
"""
_FOREIGN_PROSE = "schöne Grüße aus Köln où êtes-vous déjà señor mañana København größer čeština žlutý"
_WORDS = _PROSE.split()
_FOREIGN_WORDS = _FOREIGN_PROSE.split()
_HTML_WORDS = ("<p>", "</p>", "<b>new</b>", '<a href="https://example.org/x">here</a>', "&amp;")
_PEOPLE = (
    ("Ada Byron", "ada@example.org"),
    ("Grüne Post", "post@example.net"),
    ("Jürgen Maß", "juergen@example.com"),
    ("Build Robot", "robot@example.org"),
    ("O'Neill, Róisín", "roisin@example.net"),
)


@dataclass(frozen=True)
class _Pools:
    """Random blocks made once for a seed; a body is a slice of one. All end their lines with LF."""

    text: bytes
    foreign: bytes
    html: bytes
    base64: bytes
    long_line: bytes


_Body = Callable[[_Pools, Random, int, str], bytes]


def sample_messages(count: int, *, seed: int = 1, mean_octets: int = 34_000) -> Iterator[bytes]:
    """`count` different messages with LF line ends, as a maildir holds them, of about `mean_octets` on average.

    Plain, 8-bit, multipart with attachments, HTML, very long lines, lines of dots, encoded subjects. Sizes are
    spread as real ones are: most are small, few are many times the mean. The same arguments give the same octets.
    """
    random = Random(seed)
    pools = _pools(random)
    kinds = random.choices(_BODIES, weights=_WEIGHTS, k=count)
    spread = 1.1
    middle = (
        math.log(max(mean_octets - 400, 200)) - spread**2 / 2
    )  # so that the mean, not the median, is as asked
    for serial, body in enumerate(kinds):
        size = int(random.lognormvariate(middle, spread))
        size = min(max(size, _SMALLEST_BODY), mean_octets * _LARGEST_BODY_IN_MEANS)
        boundary = f"=_part_{seed}_{serial}"
        yield _head(random, serial, seed) + body(pools, random, size, boundary)


def _head(random: Random, serial: int, seed: int) -> bytes:
    sender, address = random.choice(_PEOPLE)
    to_name, to_address = random.choice(_PEOPLE)
    subject = " ".join(random.choices(_WORDS, k=random.randint(2, 9)))
    if random.random() < 0.2:
        subject = _encoded(f"{subject} {random.choice(_FOREIGN_WORDS)}")
    date = format_datetime(_FIRST_DATE + timedelta(seconds=97 * serial + random.randrange(90)))
    return (
        f"Received: from mx{serial % 7}.example.org (mx{serial % 7}.example.org [192.0.2.{serial % 250 + 1}])\n"
        f"\tby mail.example.com with ESMTPS id {serial:06x}; {date}\n"
        f"From: {_encoded(sender)} <{address}>\n"
        f"To: {_encoded(to_name)} <{to_address}>\n"
        f"Subject: {subject}\n"
        f"Date: {date}\n"
        f"Message-ID: <{serial}.{seed}@maildelta.test>\n"
        "MIME-Version: 1.0\n"
    ).encode()


def _encoded(text: str) -> str:
    """The text as it may stand in a header: in quotes, or as an encoded word (RFC 2047 §2) when not ASCII."""
    if text.isascii():
        return text if text.replace(" ", "").isalnum() else f'"{text}"'
    return f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def _plain(pools: _Pools, random: Random, size: int, _boundary: str) -> bytes:
    return b"Content-Type: text/plain; charset=us-ascii\n\n" + _slice(pools.text, random, size)


def _eight_bit(pools: _Pools, random: Random, size: int, _boundary: str) -> bytes:
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    return head + _slice(pools.foreign, random, size)


def _latin(pools: _Pools, random: Random, size: int, _boundary: str) -> bytes:
    head = b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    return head + b"Sch\xf6ne Gr\xfc\xdfe\n" + _slice(pools.text, random, size)


def _dotted(pools: _Pools, random: Random, size: int, _boundary: str) -> bytes:
    dots = b".\n..\n.hidden file\n...\n. \n"  # each begins as the end of a reply does (RFC 1939 §3)
    return b"Content-Type: text/plain\n\n" + dots + _slice(pools.text, random, size) + dots


def _one_long_line(pools: _Pools, random: Random, size: int, _boundary: str) -> bytes:
    begin = random.randrange(len(pools.long_line) // 2)
    line = pools.long_line[begin : begin + size]
    end = b"" if random.random() < 0.2 else b"\n"  # some mail has no line end at its end
    return b"Content-Type: text/plain\n\n" + line + end


def _html(pools: _Pools, random: Random, size: int, boundary: str) -> bytes:
    return _multipart(
        "alternative",
        boundary,
        b"Content-Type: text/plain; charset=utf-8\n\n" + _slice(pools.foreign, random, size // 4),
        b"Content-Type: text/html; charset=utf-8\n\n<html><body>\n"
        + _slice(pools.html, random, size * 3 // 4)
        + b"</body></html>\n",
    )


def _attachment(pools: _Pools, random: Random, size: int, boundary: str) -> bytes:
    name = random.choice(("report.pdf", "invoice 2026.xlsx", "photo.jpeg", "notes.zip"))
    head = (
        f'Content-Type: application/octet-stream; name="{name}"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="{name}"\n\n'
    )
    return _multipart(
        "mixed",
        boundary,
        b"Content-Type: text/plain; charset=us-ascii\n\n" + _slice(pools.text, random, min(size // 4, 2_000)),
        head.encode() + _slice(pools.base64, random, size),
    )


_BODIES: tuple[_Body, ...] = (_plain, _eight_bit, _latin, _dotted, _one_long_line, _html, _attachment)
_WEIGHTS = (30, 10, 5, 5, 4, 21, 25)


def _multipart(subtype: str, boundary: str, *parts: bytes) -> bytes:
    head = (
        f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\nA message in several parts.\n'.encode()
    )
    mark = f"--{boundary}\n".encode()
    return head + b"".join(mark + part for part in parts) + f"--{boundary}--\n".encode()


def _slice(pool: bytes, random: Random, size: int) -> bytes:
    """About `size` octets of whole lines from a random place; the pool again and again when it is too short."""
    size = min(size, len(pool) * 8)
    begin = pool.find(b"\n", random.randrange(len(pool) // 2)) + 1
    piece = pool[begin : begin + size]
    while len(piece) < size:
        piece += pool[: size - len(piece)]
    last = piece.rfind(b"\n") + 1
    return piece[:last] if last else piece + b"\n"


def _pools(random: Random) -> _Pools:
    return _Pools(
        text=_prose(random, _WORDS),
        foreign=_prose(random, [*_WORDS, *_FOREIGN_WORDS]),
        html=_prose(random, [*_WORDS, *_HTML_WORDS]),
        base64=base64.encodebytes(random.randbytes(_BLOCK_OCTETS * 3 // 4)),
        long_line=_prose(random, _WORDS).replace(b"\n", b" "),
    )


def _prose(random: Random, words: list[str]) -> bytes:
    """Lines of words, a quarter of a block, repeated: long enough that no two slices begin alike."""
    lines = [
        " ".join(random.choices(words, k=random.randint(4, 14))) for _ in range(_BLOCK_OCTETS // 4 // 55)
    ]
    return ("\n".join(lines) + "\n").encode() * 4
