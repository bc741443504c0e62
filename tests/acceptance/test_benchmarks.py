"""The benchmark works: it runs, counts what each client really has, and does not print a number that does not count."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main, measure
from benchmarks.clients import Account, Cost, Opened
from benchmarks.results import OURS, Run, Work, summaries, table
from benchmarks.works import Bench, Sizes, checked
from tests.servers.dovecot import Dovecot

SIZES = Sizes(messages=20, maildrop=60, arriving=5, rounds=2)


def run(client: str, seconds: float, *, fault: str | None = None, peak_octets: int | None = 1_000_000) -> Run:
    return Run(client, Cost(seconds, seconds / 2, peak_octets), fault)


@pytest.mark.usefixtures("dovecot_server")  # where Dovecot is missing, that says so
def test_a_small_benchmark_measures_the_service_beside_poplib_and_the_floor() -> None:
    page, is_valid = measure(replace(SIZES, rounds=1), only=[OURS, "poplib", "floor"])
    assert is_valid, page
    for title in ("First sync of 20 messages", "Nothing new among 60", "5 new among 60"):
        _before, found, after = page.partition(f"## {title}\n")
        assert found
        rows = [line for line in after.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
        assert {row.split(" | ")[0] for row in rows} == {"| maildelta", "| poplib", "| floor"}


class Forgetful:
    """A client that says that it has one message less than there are."""

    name = "forgetful"

    def __init__(self) -> None:
        self.syncs = 0

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "forgetful 1"

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        assert place.is_dir()
        yield self

    def sync(self) -> Cost:
        self.syncs += 1
        return Cost(0.001, 0.001, None)

    def kept(self) -> int:
        return SIZES.messages - 1


def test_the_time_of_a_client_that_lost_a_message_is_invalid(dovecot_server: Dovecot, tmp_path: Path) -> None:
    forgetful = Forgetful()
    bench = Bench(dovecot_server, tmp_path, say=lambda _line: None)
    work = bench.first_sync([forgetful], SIZES)
    assert forgetful.syncs == SIZES.rounds
    assert [each.fault for each in work.runs] == ["has 19 messages instead of 20"] * 2
    assert "**forgetful: invalid.** has 19 messages instead of 20" in table(work)
    nothing, some = bench.large_maildrop([forgetful], SIZES)
    assert [each.fault for each in nothing.runs] == ["has 19 messages instead of 60"]
    assert not some.runs


@pytest.mark.parametrize(("kept", "counts"), [(10, True), (9, False), (20, False)])
def test_a_run_counts_only_with_every_message_once(kept: int, counts: bool) -> None:
    assert (checked("x", Cost(1, 1, None), kept=kept, expected=10).fault is None) is counts


def test_medians_and_ratios_are_taken_over_the_runs_of_one_work() -> None:
    runs = [run(OURS, 3), run("mpop", 4), run(OURS, 1), run("mpop", 4), run(OURS, 2, peak_octets=None)]
    work = Work("w", 1, 1, runs)
    assert [(each.client, each.seconds, each.fastest, each.slowest) for each in summaries(work)] == [
        (OURS, 2, 1, 3),
        ("mpop", 4, 4, 4),
    ]
    assert "| mpop | 4.000 | 4.000 to 4.000 | 2.00 | 1.00 | - | 2.00 | 1.0 MB |" in table(work)


def test_one_run_that_does_not_count_spoils_the_median_of_its_client() -> None:
    work = Work("w", 1, 1, [run("mpop", 1), run("mpop", 1, fault="lost mail"), run("floor", 1)])
    assert [(each.client, each.seconds, each.fault) for each in summaries(work)] == [
        ("floor", 1, None),
        ("mpop", None, "lost mail"),
    ]


def test_an_option_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--repeat", "0"])
    assert "must be at least 1" in capsys.readouterr().err
