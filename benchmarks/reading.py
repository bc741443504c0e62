"""`python -m benchmarks.reading`: summarise and parse ordinary mail, beside two other parsers.

They are the standard library's and fast-mail-parser, in Rust, where `requirements-bench.lock` is installed. Each letter
is read by each reader in turn, several times, and the least processor time counts: noise only adds. What is compared
from run to run are the ratios, for the others do not change.

``--beside TREE``: beside the reader of another checkout with a ``.venv`` instead (``benchmarks/beside``).
``--api``: what reading by the API costs instead (``benchmarks/answers``).
"""

import argparse
import email
import email.policy
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from random import Random
from statistics import mean, median

from app.mail.mime import parse, summarise
from benchmarks.answers import measured as answers
from benchmarks.beside import beside
from benchmarks.machine import machine_facts
from benchmarks.ordinary import ordinary_letters
from benchmarks.scale.page import bullets, with_part
from tests.servers.messages import sample_messages
from tests.servers.postgres import Postgres

try:
    import fast_mail_parser  # type: ignore[import-not-found, unused-ignore]  # only where it is installed to compare
except ImportError:
    fast_mail_parser = None

_ROUNDS = 5
_LETTERS = 12  # of each kind
_SAMPLE = "sample mail"
_PAGE = Path(__file__).with_name("READING.md")
_RESULTS = Path(__file__).with_name("RESULTS.md")
_ABOVE = (
    "# Reading mail",
    "",
    "Made by `python -m benchmarks.reading --write`; `README.md` beside this says what it means.",
    "",
)
_WORDS = (
    "summer",
    "offer",
    "order",
    "delivery",
    "please",
    "update",
    "week",
    "price",
    "the",
    "of",
    "and",
    "best",
)


def library_summary(raw: bytes) -> object:
    """What a row of the feed shows, by the standard library."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    words = body.get_content()[:2_000] if body else ""
    attached = any(True for _ in message.iter_attachments()) if message.is_multipart() else False
    return message["subject"], message["from"], message["to"], message["date"], attached, words


def library_parse(raw: bytes) -> object:
    """All headers, text, HTML (neither made safe nor made text) and attachments, by the standard library."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    headers = {name: str(value) for name, value in message.items()}
    bodies = [body.get_content() for kind in ("plain", "html") if (body := message.get_body((kind,)))]
    attached = message.iter_attachments() if message.is_multipart() else ()
    return headers, bodies, [part.get_payload(decode=True) for part in attached]


def newsletters(count: int, blocks: int) -> Iterator[bytes]:
    """HTML as shops send it: tables in tables, a style on each cell, text beside it or not."""
    chance = Random(7)
    for number in range(count):
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"] = "Müller <news@example.com>", "me@example.net"
        message["Subject"], message["Date"] = "Grüße und Angebote", "Mon, 05 Jan 2026 08:00:00 +0100"
        page = f'<html><body><table width="100%">{"".join(_block(chance) for _ in range(blocks))}</table>'
        if number % 2:
            message.set_content(_sentence(chance, 200))
            message.add_alternative(page, subtype="html")
        else:
            message.set_content(page, subtype="html")
        yield message.as_bytes()


def _block(chance: Random) -> str:
    cell = '<td style="padding:20px 30px;font-family:Arial,sans-serif;font-size:16px;color:#333333" valign="top">'
    picture = f'<img src="https://img.example.com/{chance.randrange(10**9)}.jpg" width="180" alt="">'
    link = f'<a href="https://example.com/c?u={chance.randrange(10**40)}" style="color:#06c">more</a>'
    row = "".join(f"{cell}{picture}<p>{_sentence(chance, 12)} {link}</p></td>\n" for _ in range(3))
    inner = f'<table width="100%"><tr>{row}</tr></table>'
    return f'<tr>{cell}<h2 style="margin:0">{_sentence(chance, 4)}</h2>{inner}</td></tr>\n'


def _sentence(chance: Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def fast_parse(raw: bytes) -> object:
    """All headers, text, HTML as it came, and attachments, by fast-mail-parser."""
    try:
        message = fast_mail_parser.parse_email(raw)
    except fast_mail_parser.ParseError as error:
        return error
    return message.subject, message.headers, message.text_plain, message.text_html, message.attachments


def table() -> Iterator[str]:
    """The lines of the table, each when it is measured."""
    kinds = {
        _SAMPLE: list(sample_messages(60)),
        "newsletters of 20 KB": list(newsletters(10, 20)),
        "newsletters of 100 KB": list(newsletters(6, 100)),
        **ordinary_letters(_LETTERS),
    }
    yield "| mail | reader | median, us | mean, us | of the standard library | of fast-mail-parser |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for kind, letters in kinds.items():
        for ours, library in ((summarise, library_summary), (parse, library_parse)):
            readers = (ours, library, *((fast_parse,) if fast_mail_parser else ()))
            mine, *others = zip(*(_least(readers, raw) for raw in letters), strict=True)
            ratios = [f"{sum(mine) / sum(theirs):.2f}" for theirs in others] + ["not installed"]
            yield (
                f"| {kind}, {mean(map(len, letters)) / 1024:.0f} KB | `{ours.__name__}` | {median(mine) * 1e6:.0f} "
                f"| {mean(mine) * 1e6:.0f} | {ratios[0]} | {ratios[1]} |"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; with ``--write`` also into READING.md beside this."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--write", action="store_true", help="also into benchmarks/READING.md")
    parser.add_argument("--beside", type=Path, metavar="TREE", help="beside the reader of this checkout")
    parser.add_argument(
        "--rounds", type=int, default=25, metavar="N", help="turns of each, beside a checkout (25)"
    )
    parser.add_argument("--api", action="store_true", help="read by the API, beside bare FastAPI")
    parser.add_argument(
        "--messages", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes of the feed"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate")
    parser.add_argument("--only", default="", help="ways to read whose name holds this")
    parser.add_argument("--postgresql", action="store_true", help="by the API, on a PostgreSQL of its own")
    options = parser.parse_args(arguments)
    if options.beside and not (options.beside / ".venv/bin/python").exists():
        parser.error(f"{options.beside} has no .venv: make setup there")
    if options.beside:
        kinds = {_SAMPLE: list(sample_messages(60)), **ordinary_letters(_LETTERS)}
        for line in beside(options.beside, kinds, apart=(_SAMPLE,), rounds=options.rounds):
            print(line, flush=True)
        return
    if options.api:
        say = partial(print, file=sys.stderr, flush=True)
        server = Postgres.start(fsync=True) if options.postgresql else nullcontext()
        with server as postgres:
            told = answers.measured(
                options.messages, seconds=options.seconds, say=say, only=options.only, postgres=postgres
            )
        _show(told, options)
        return
    lines = []
    for line in table():
        print(line, flush=True)
        lines.append(line)
    if options.write:
        facts = [f"- {fact}" for fact in machine_facts(Path())[:2]]
        _PAGE.write_text("\n".join([*_ABOVE, *facts, "", *lines, ""]))


def _show(text: str, options: argparse.Namespace) -> None:
    """Print what was measured of the API; with ``--write`` also into its part of RESULTS.md."""
    print(text)
    if options.write:
        facts = bullets([*machine_facts(Path())[:2], f"Measured on {datetime.now(UTC):%Y-%m-%d}."])
        name = "Reading by the API" + (", on PostgreSQL" if options.postgresql else "")
        part = f"## {name}\n\n{facts}\n\n{text}"
        page = with_part(_RESULTS.read_text(), name[0].lower() + name[1:], part, by="benchmarks.reading")
        _RESULTS.write_text(page)


def _least(readers: Sequence[Callable[[bytes], object]], raw: bytes) -> list[float]:
    best = [float("inf")] * len(readers)
    for _ in range(_ROUNDS):
        for number, read in enumerate(readers):
            start = time.thread_time()
            read(raw)
            best[number] = min(best[number], time.thread_time() - start)
    return best


if __name__ == "__main__":
    main()
