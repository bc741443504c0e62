"""The benchmark works: it runs, counts what each client really has, and does not print a number that does not count."""

import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.__main__ import main, measure
from benchmarks.clients import Account, Cost, Opened
from benchmarks.delay import DelayProxy
from benchmarks.floor_client import Floor
from benchmarks.plan import WORKS, Sizes
from benchmarks.results import OURS, Run, Work, summaries, table
from benchmarks.servers import started_servers
from benchmarks.turns import Turns
from benchmarks.works import Bench, Route, Standing, checked
from tests.servers.dovecot import Dovecot
from tests.servers.ports import LOOPBACK
from tests.servers.processes import ServerMissing

SIZES = Sizes(
    messages=20,
    many_messages=25,
    few_listed=5,
    listed=60,
    many_listed=70,
    arriving=5,
    mailboxes=4,
    messages_each=3,
    large_octets=5_000_000,
    rounds=1,
)


def run(client: str, seconds: float, *, fault: str | None = None, peak_octets: int | None = 1_000_000) -> Run:
    return Run(client, Cost(seconds, seconds / 2, peak_octets), fault)


@pytest.mark.slow
@pytest.mark.usefixtures("dovecot_server")  # where Dovecot is missing, that says so
def test_a_small_benchmark_measures_every_work_for_the_service_beside_poplib_and_the_floor() -> None:
    page, is_valid = measure(SIZES, clients=[OURS, "poplib", "floor"], works=WORKS)
    assert is_valid, page
    for title in (
        "First sync of 20 messages",
        "First sync of 20 messages over TLS",
        "First sync of 20 messages at 40 ms of round trip",
        "First sync of 25 messages",
        "Nothing new among 5",
        "Nothing new among 60",
        "5 new among 60",
        "Nothing new among 70",
        "5 new among 70",
        "4 mailboxes, nothing new",
        "4 mailboxes over TLS, nothing new",
        "4 mailboxes at 40 ms of round trip, nothing new",
        "A message of 5 MB",
    ):
        _before, found, after = page.partition(f"## {title}\n")
        assert found, title
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
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        assert place.is_dir()
        yield self

    def sync(self) -> Cost:
        self.syncs += 1
        return Cost(0.001, 0.001, None)

    def kept(self) -> int:
        return SIZES.messages - 1


def test_the_time_of_a_client_that_lost_a_message_is_invalid(tmp_path: Path) -> None:
    forgetful = Forgetful()
    turns = Turns([forgetful], rounds=2)
    with started_servers() as (dovecot, proxy):
        bench = Bench(dovecot, proxy, tmp_path, say=lambda _line: None)
        [work] = bench.first_sync(turns, SIZES.messages, Route.PLAIN)
        nothing, some = bench.standing(turns, Standing(60, arriving=5))
    assert forgetful.syncs == 2 + 1
    assert [each.fault for each in work.runs] == ["has 19 messages instead of 20"] * 2
    assert "**forgetful: invalid.** has 19 messages instead of 20" in table(work)
    assert [each.fault for each in nothing.runs] == ["has 19 messages instead of 60"]
    assert not some.runs


@pytest.mark.parametrize("with_compiler", [True, False])
@pytest.mark.parametrize("with_tls", [True, False])
def test_the_floor_reads_every_message_and_the_next_time_only_what_is_new(
    dovecot_server: Dovecot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_compiler: bool,
    with_tls: bool,
) -> None:
    if with_compiler and not shutil.which("cc"):
        raise ServerMissing("the floor in C needs a C compiler: install gcc")
    if not with_compiler:
        monkeypatch.setenv("PATH", "")
    maildrop = dovecot_server.add_user(f"floor{with_compiler:d}{with_tls:d}", "secret")
    # Ends that are none, a message larger than what is read at once.
    contents = [b"Subject: 1\n\n.\n..\n", b"Subject: 2\n\n", b"Subject: 3\n\n" + b"a.b\n" * 50_000]
    maildrop.maildir.deliver_many(contents * 100)
    account = Account(dovecot_server.host, dovecot_server.port, maildrop.username, maildrop.password)
    if with_tls:
        account = replace(account, port=dovecot_server.tls_port, ca_file=dovecot_server.ca_file)
    with Floor(tmp_path).opened([account], tmp_path) as opened:
        opened.sync()
        assert opened.kept() == 300
        maildrop.maildir.deliver_many(contents)
        opened.sync()
        assert opened.kept() == 303
        assert opened.sync().seconds > 0
        assert opened.kept() == 303


@pytest.mark.parametrize("with_compiler", [True, False])
def test_the_floor_finds_an_end_wherever_the_network_cuts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_compiler: bool
) -> None:
    if not with_compiler:
        monkeypatch.setenv("PATH", "")
    replies = (
        b"+OK hello\r\n+OK\r\n+OK\r\n+OK 2 19\r\n",
        b"+OK\r\n1 a\r\n2 b\r\n.\r\n+OK\r\na\r\n..\r\n.\r\n+OK\r\n.\r\n",
    )

    def serve(server: socket.socket) -> None:
        connection, _address = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(10)
        with connection:
            for octet in b"".join(replies):
                connection.sendall(bytes([octet]))
                time.sleep(0.001)
            while not connection.recv(4096).endswith(b"QUIT\r\n"):
                pass

    with socket.create_server((LOOPBACK, 0)) as server:
        Thread(target=serve, args=(server,)).start()
        account = Account(LOOPBACK, server.getsockname()[1], "reader", "secret")
        with Floor(tmp_path).opened([account], tmp_path) as opened:
            opened.sync()
            assert opened.kept() == 2


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that greets, and sends back what it gets until the client has said its last word."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(b"hello")
                while piece := connection.recv(65536):
                    connection.sendall(piece)

        thread = Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_the_proxy_delays_each_direction_and_the_opening_and_changes_nothing(echo_port: int) -> None:
    content = bytes(range(256)) * 8192
    with DelayProxy.start(LOOPBACK, echo_port) as proxy, proxy.delaying(0.1):
        begun = time.monotonic()
        with socket.create_connection((LOOPBACK, proxy.port)) as connection:
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            assert time.monotonic() - begun >= 0.4  # SYN, SYN and ACK, ACK, greeting
            begun = time.monotonic()
            Thread(target=connection.sendall, args=(content,)).start()
            assert connection.recv(1) == content[:1]
            assert time.monotonic() - begun >= 0.2
            assert connection.recv(len(content) - 1, socket.MSG_WAITALL) == content[1:]


def test_the_clients_take_turns_and_a_slow_one_takes_fewer() -> None:
    quick, other = Forgetful(), Forgetful()
    slow = Forgetful()
    slow.name = "slow"
    turns = Turns([quick, slow, other], rounds=3, slow=frozenset({"slow"}), slow_rounds=1)
    assert list(turns) == [[quick, slow, other], [other, quick], [quick, other]]
    assert turns.remark == "Slow here and therefore in 1 of 3 rounds only: slow."
    none = replace(turns, slow_rounds=0)
    assert none.taking_part == [quick, other]
    assert none.remark == "Slow here and therefore left out: slow."
    assert replace(turns, slow=frozenset()).remark is None


def test_many_mailboxes_are_told_in_polls_a_second() -> None:
    work = Work("w", 1, 1, [run("mpop", 4)], polls=200)
    assert table(work).splitlines()[-1].endswith("| 50 | 10.00 |")


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
