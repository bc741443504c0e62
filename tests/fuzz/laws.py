"""How a law is tried: the same examples each time, or new ones for as long as FUZZ_SECONDS says."""

import os
import time
from collections.abc import Callable, Iterator
from functools import wraps
from random import Random
from typing import Any, Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

_SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "0"))
IS_LONG: Final = _SECONDS > 0
_laws: list[str] = []  # by which FUZZ_SECONDS is shared out: all that were collected


def law(
    *strategies: SearchStrategy[Any], examples: int
) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """A test that tries so many examples, the same ones in each run; with FUZZ_SECONDS round after round of others."""

    def decorated(test: Callable[..., None]) -> Callable[[], None]:
        _laws.append(test.__name__)

        def tried() -> None:
            for number in _rounds():
                once = settings(
                    max_examples=examples,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=False,
                )(given(*strategies)(test))
                try:
                    seed(number)(once)()
                except BaseException as failure:
                    failure.add_note(f"{test.__name__}, round {number}")
                    raise

        return _named_like(test, tried)

    return decorated


def mutations(
    seeds: Callable[[], list[bytes]], *, examples: int
) -> Callable[[Callable[[bytes], object]], Callable[[], None]]:
    """A test that tries so many mutants of the seeds. What it returns tells one behaviour from another (a hashable):
    a mutant with a new one is bred from too."""

    def decorated(test: Callable[[bytes], object]) -> Callable[[], None]:
        _laws.append(test.__name__)

        def tried() -> None:
            pool = seeds()
            known = {test(octets) for octets in pool}
            for number in _rounds():
                chance = Random(number)
                for _ in range(examples):
                    mutant = mutated(chance, chance.choice(pool), pool)
                    try:
                        behaviour = test(mutant)
                    except BaseException as failure:
                        failure.add_note(f"{test.__name__}, round {number}: {mutant!r}")
                        raise
                    if behaviour not in known:
                        known.add(behaviour)
                        pool.append(mutant)

        return _named_like(test, tried)

    return decorated


def search(test: Callable[[int], None]) -> Callable[[], None]:
    """A test that is given the number of each round: a seed."""
    _laws.append(test.__name__)

    def tried() -> None:
        for number in _rounds():
            try:
                test(number)
            except BaseException as failure:
                failure.add_note(f"{test.__name__}, round {number}")
                raise

    return _named_like(test, tried)


def mutated(chance: Random, octets: bytes, others: list[bytes]) -> bytes:
    """The octets after one to four changes: a bit, a piece gone, doubled, put elsewhere, or taken from another."""
    result = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(result))
        to = min(len(result), at + chance.choice((1, 2, 5, 40, 400)))
        match chance.randrange(6):
            case 0 if result:
                result[at % len(result)] ^= 1 << chance.randrange(8)
            case 1:
                del result[at:to]
            case 2:
                result[at:at] = result[at:to] * chance.choice((1, 2, 30))
            case 3:
                result[at:at] = chance.choice(_SPICES)
            case 4:
                other = chance.choice(others)
                start = chance.randint(0, len(other))
                result[at:to] = other[start : start + chance.choice((1, 5, 50, 500))]
            case _:
                del result[at:]
    return bytes(result[:_LARGEST])


_LARGEST: Final = 64 * 1024
_SPICES: Final = (
    *(b".", b"\r\n.\r\n", b"\n.\n", b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"..", b" ", b"\t"),
    *(b"+OK", b"-ERR", b"+OK\r\n", b"-ERR [IN-USE] x\r\n", b"9" * 30, b"-1", b"x" * 300),
    *(
        b"=?utf-8?q?",
        b"?=",
        b"--b",
        b"Content-Type: multipart/mixed; boundary=b\n\n",
        b"(",
        b'"',
        b"\\",
        b"<",
        b"@",
    ),
)


def _rounds() -> Iterator[int]:
    """The numbers of the rounds: the first one only, or as many as the law's share of the time lets begin."""
    end = time.monotonic() + _SECONDS / len(_laws)
    number = 0
    yield number
    while time.monotonic() < end:
        number += 1
        yield number


def _named_like(test: Callable[..., object], tried: Callable[[], None]) -> Callable[[], None]:
    """pytest would take the law's arguments for fixtures if it could see them."""
    named = wraps(test)(tried)
    del named.__wrapped__
    return named
