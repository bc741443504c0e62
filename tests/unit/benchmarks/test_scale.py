"""The arithmetic behind the figures on size: what is computed, put into a page, or judged of a plan."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.processes import family_cpu_seconds
from benchmarks.scale.page import milliseconds, octets, with_part
from benchmarks.scale.paper import PerPoll, extrapolated
from benchmarks.scale.plans import is_doubtful, postgresql_steps, shortened, sqlite_steps

COST = PerPoll(
    cpu=0.003,
    cpu_of_postgresql=0.001,
    transactions=0.5,
    inserted=1,
    updated=3,
    wal_octets=2_000,
    wal_pages=0.01,
    sync_octets=500,
    connections=14,
)


def test_what_a_poll_costs_is_taken_times_the_polls() -> None:
    much = extrapolated(COST, mailboxes=30_000, interval_seconds=300)
    assert much.polls_per_second == 100
    assert much.cores == pytest.approx(0.3)
    assert much.cores_of_postgresql == pytest.approx(0.1)
    assert much.transactions == 50
    assert much.rows == 500
    assert much.wal_octets_per_second == 200_000
    assert much.wal_octets_per_year == 200_000 * 86_400 * 365
    assert much.syncs_per_day == 8_640_000
    assert (much.workers, much.connections) == (1, 14)


def test_there_are_workers_enough_for_the_processor_time_and_for_the_sessions() -> None:
    assert (
        extrapolated(COST, mailboxes=100_000).workers == 3
    )  # 2.6 by sessions of a second, 1.4 by processor time
    assert extrapolated(replace(COST, cpu=0.03), mailboxes=100_000).workers == 15  # 14.3 by processor time
    assert extrapolated(COST, mailboxes=1).workers == 1


def test_the_log_at_worst_holds_whole_pages_instead_of_those_that_it_held() -> None:
    much = extrapolated(COST, mailboxes=300, interval_seconds=300)
    assert much.most_wal_octets_per_second == pytest.approx(2_000 - 0.01 * 8_192 + 2 * 8_192)


def test_a_part_takes_the_place_of_the_one_before_and_leaves_the_others() -> None:
    page = with_part(with_part("# Page\n", "a", "old a"), "b", "the b")
    again = with_part(page, "a", "new a")
    assert "old a" not in again
    assert again.index("# Page") < again.index("new a") < again.index("the b")
    assert with_part(again, "a", "new a") == again


def test_a_part_without_an_end_is_refused() -> None:
    page = with_part("# Page\n", "a", "text").replace("<!-- end of a -->", "")
    with pytest.raises(ValueError, match="no end"):
        with_part(page, "a", "text")


def test_numbers_have_the_digits_that_count() -> None:
    assert [milliseconds(value) for value in (0.00012, 0.0123, 1.5)] == ["0.12", "12.3", "1,500"]
    assert [octets(value) for value in (12, 1_500, 2.5e9)] == ["12 B", "1.5 kB", "2.5 GB"]


@pytest.mark.parametrize(
    "step",
    [
        "SCAN syncs",
        "SCAN messages USING INDEX ix_messages_raw_sha256",
        "USE TEMP B-TREE FOR ORDER BY",
        "Seq Scan on syncs",
        "Parallel Seq Scan on unique_ids unique_ids_1",
        "Sort",
    ],
)
def test_reading_from_end_to_end_and_sorting_are_doubtful(step: str) -> None:
    assert is_doubtful(step)


@pytest.mark.parametrize(
    "step",
    [
        "SEARCH syncs USING INDEX ix_syncs_server (status=?)",
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SCAN feed",
        "SCAN walk",
        "Seq Scan on feed",
        "Index Scan using syncs_pkey on syncs",
    ],
)
def test_a_step_in_an_index_and_what_a_statement_brings_along_are_not(step: str) -> None:
    assert not is_doubtful(step)


def test_a_plan_is_told_by_its_steps_alone() -> None:
    told = [
        "Limit",
        "  ->  Index Scan using a on syncs",
        "        Index Cond: (id > 1)",
        "        Filter: (x = 2)",
    ]
    assert postgresql_steps(told) == ("Index Scan using a on syncs",)
    assert sqlite_steps(["SEARCH syncs USING INDEX a (id=?)", "LIST SUBQUERY 1"]) == (
        "SEARCH syncs USING INDEX a (id=?)",
    )


def test_a_statement_is_told_without_its_columns() -> None:
    statement = (
        "SELECT messages.seq, messages.subject,\n messages.snippet FROM messages WHERE seq > %(a)s::BIGINT"
    )
    assert shortened(statement) == "SELECT … FROM messages WHERE seq > ?"


def test_the_processor_time_of_a_family_has_that_of_children_who_ended(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    done = tmp_path / "done"
    parent = (
        f"import pathlib, subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        f"pathlib.Path({str(done)!r}).touch()\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        while not done.exists():
            assert process.poll() is None
            os.sched_yield()
        assert family_cpu_seconds(process.pid) >= 0.25
        process.kill()
