"""A letter costs what it weighs: no letter makes the reader work or hold more than so much for each of its octets."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from app.mail.mime import attachment_facts, attachment_pieces, parse, summarise
from tests.fuzz.grammar import costliest
from tests.fuzz.laws import IS_LONG, search
from tests.fuzz.letters import KIB, LETTERS, MIB
from tests.fuzz.work import assert_linear

ROOT: Final = Path(__file__).parents[2]
MOST_MS_PER_KIB: Final = (
    20.0  # of processor time, for letters from 50 KiB on; the worst known takes a tenth of that
)
MOST_SECONDS: Final = 8.0
MOST_MEMORY: Final = 64 * MIB  # more than before the letter came, whatever it weighs
_BLOCK: Final = 4 * MIB  # as messages are stored

# These were the worst, each of its kind; the others are measured by make fuzz.
_ALWAYS: Final = (
    "padding of 100,000 em",
    "open list items in ten parts",
    "1,000 parts of 1,300 headers",
    "broken uuencode",
    "47 boundaries, each begins the next",
    "an ordinary letter with a large attachment",
)


def in_blocks(raw: bytes) -> Iterator[bytes]:
    return (raw[at : at + _BLOCK] for at in range(0, len(raw), _BLOCK))


def read_in_all_ways(raw: bytes) -> None:
    summarise(raw)
    parse(in_blocks(raw))
    attachment_facts(in_blocks(raw), 0)
    for _ in attachment_pieces(in_blocks(raw), 0):
        pass


@pytest.mark.parametrize("name", LETTERS)
def test_the_work_grows_with_the_letter(name: str) -> None:
    def work(size: int) -> Callable[[], object]:
        raw = LETTERS[name].make(size)
        return lambda: read_in_all_ways(raw)

    assert_linear(work, LETTERS[name].small // 16)


@pytest.mark.parametrize("name", LETTERS if IS_LONG else _ALWAYS)
def test_no_letter_takes_more_time_and_memory_than_one_gets(name: str) -> None:
    program = f"from tests.fuzz.test_letters import measured; measured({name!r})"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    octets, seconds, memory = json.loads(ended.stdout)
    assert memory < MOST_MEMORY
    assert seconds < MOST_SECONDS
    assert 1_000 * seconds < MOST_MS_PER_KIB * max(octets / KIB, 50)


def measured(name: str) -> None:
    """Print the letter's octets, the processor seconds that reading it took, and the octets of memory."""

    def used() -> tuple[float, int]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return time.process_time(), usage.ru_maxrss * KIB

    raw = LETTERS[name].make(LETTERS[name].large)
    read_in_all_ways(b"Content-Type: text/html\r\n\r\n<p>words")
    seconds, memory = used()
    read_in_all_ways(raw)
    more_seconds, more_memory = used()
    print(json.dumps([len(raw), more_seconds - seconds, more_memory - memory]))


@search
def test_no_letter_by_the_grammar_costs_more_work_than_it_weighs(seed: int) -> None:
    cost, letter = costliest(seed, read_in_all_ways, steps=200 if IS_LONG else 15)
    if IS_LONG:
        print(f"seed {seed}: {cost:.2f} ms/KB {letter}", flush=True)
    assert cost < MOST_MS_PER_KIB, letter
