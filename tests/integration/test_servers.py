"""The servers that other tests rely on: they start, serve what was delivered, restart, and leave nothing behind."""

import contextlib
import poplib
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.servers.ports import greeting
from tests.servers.postgres import Postgres
from tests.servers.processes import ServerFailed, living_members

_ODD_CONTENT = {
    "NUL octets": b"Subject: x\n\na\0b\0\n",
    "8-bit octets": b"Subject: \xff\xfe\n\n\x80\x81\xe4\n",
    "a line of 150,000 octets": b"Subject: x\n\n" + b"x" * 150_000 + b"\n",
    "bare CR": b"Subject: x\n\na\rb\r\rc\n\r\n",
    "CR before CRLF": b"Subject: x\n\na\r\r\nb\r\r\n",
    "no line end at the end": b"Subject: x\n\nabc",
    "CR at the end": b"Subject: x\n\nabc\r",
    "lines of dots": b"Subject: x\n\n.\n..\n.a\n...\n.\n",
    "a dot at the end": b"Subject: x\n\n.",
    "empty body": b"Subject: x\n\n",
    "header without its blank line": b"Subject: x\n",
    "only a blank line": b"\n",
    "nothing": b"",
    "CRLF in the file": b"Subject: x\r\n\r\na\r\nb\r\n",
    "both line ends": b"Subject: x\n\r\na\r\nb\n",
    "From lines": b"From x\nSubject: x\n\nFrom here\n",
    "fields that mbox servers hide": b"Status: RO\nX-UID: 7\nContent-Length: 3\nSubject: x\n\nabc\n",
}


@contextlib.contextmanager
def own_dovecot(*, lock_session: bool = False) -> Iterator[Dovecot]:
    """A Dovecot for one test that restarts it."""
    with Dovecot.start({"alice": "secret"}, lock_session=lock_session) as dovecot:
        yield dovecot


def log_in(dovecot: Dovecot, username: str, password: str, *, timeout_seconds: float = 20) -> poplib.POP3:
    connection = poplib.POP3(dovecot.host, dovecot.port, timeout=timeout_seconds)
    try:
        connection.user(username)
        connection.pass_(password)
    except poplib.error_proto:
        connection.close()
        raise
    return connection


def unique_ids(dovecot: Dovecot) -> list[str]:
    session = log_in(dovecot, "alice", "secret")
    lines = session.uidl()[1]
    session.quit()
    return [line.split()[1].decode() for line in lines]


def retrieve(session: poplib.POP3, number: int) -> bytes:
    """One message without poplib's own line limit: what stands on the wire, unstuffed."""
    session.sock.sendall(b"RETR %d\r\n" % number)
    file = session.file
    assert file.readline().startswith(b"+OK")
    received = b""
    while (line := file.readline()) != b".\r\n":
        received += line.removeprefix(b".")
    return received


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def trusting(dovecot: Dovecot) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=dovecot.ca_file)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_dovecot_speaks_tls_from_the_first_octet_with_a_certificate_that_verifies(
    dovecot_server: Dovecot, maildrop: Maildrop, host: str
) -> None:
    raw = socket.create_connection((dovecot_server.host, dovecot_server.tls_port), timeout=10)
    with trusting(dovecot_server).wrap_socket(raw, server_hostname=host) as connection:
        assert connection.recv(512).startswith(b"+OK")
        connection.sendall(b"USER %s\r\n" % maildrop.username.encode())
        assert connection.recv(512).startswith(b"+OK")


def test_dovecot_turns_to_tls_after_stls(dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    session = poplib.POP3(dovecot_server.host, dovecot_server.port, timeout=10)
    assert "STLS" in session.capa()
    session.stls(trusting(dovecot_server))
    session.user(maildrop.username)
    session.pass_(maildrop.password)
    assert session.stat() == (0, 0)
    session.quit()


@pytest.mark.parametrize("kind", ["wrong_host", "expired"])
def test_a_client_that_verifies_refuses_the_bad_certificates(kind: str) -> None:
    with own_dovecot() as dovecot:
        dovecot.restart(certificate="wrong_host" if kind == "wrong_host" else "expired")
        raw = socket.create_connection((dovecot.host, dovecot.tls_port), timeout=10)
        reason = "Hostname mismatch" if kind == "wrong_host" else "expired"
        with raw, pytest.raises(ssl.SSLCertVerificationError, match=f"(?i){reason}"):
            trusting(dovecot).wrap_socket(raw, server_hostname="localhost")


def test_odd_content_is_served_as_the_maildir_says(dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    maildrop.maildir.deliver_many(_ODD_CONTENT.values())
    session = log_in(dovecot_server, maildrop.username, maildrop.password)
    for number, (what, raw) in enumerate(_ODD_CONTENT.items(), start=1):
        assert retrieve(session, number) == as_served(raw), what
    session.quit()


def test_what_dovecot_garbles_is_not_called_served() -> None:
    with pytest.raises(ValueError, match="begins with a dot"):
        as_served(b".\n")


def test_sample_messages_are_served_and_varied(dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    messages = list(sample_messages(60, seed=7, mean_octets=3_000))
    maildrop.maildir.deliver_many(messages)
    session = log_in(dovecot_server, maildrop.username, maildrop.password)
    assert [retrieve(session, number + 1) for number in range(60)] == [as_served(raw) for raw in messages]
    session.quit()
    assert messages == list(sample_messages(60, seed=7, mean_octets=3_000))
    assert messages != list(sample_messages(60, seed=8, mean_octets=3_000))
    assert sum(b"multipart/mixed" in raw for raw in messages) > 3
    assert 2_000 < sum(map(len, messages)) / 60 < 5_000


def test_mail_removed_behind_the_server_leaves_the_other_ids_alone(
    maildrop: Maildrop, dovecot_server: Dovecot
) -> None:
    names = maildrop.maildir.deliver_many(b"Subject: %d\n\n%d\n" % (n, n) for n in range(4))
    session = log_in(dovecot_server, maildrop.username, maildrop.password)
    before = [line.split()[1] for line in session.uidl()[1]]
    session.quit()
    maildrop.maildir.remove(names[0], names[2])
    session = log_in(dovecot_server, maildrop.username, maildrop.password)
    assert [line.split()[1] for line in session.uidl()[1]] == [before[1], before[3]]
    session.quit()
    assert list(maildrop.maildir.messages()) == [names[1], names[3]]


def test_what_a_client_deletes_leaves_the_maildir(maildrop: Maildrop, dovecot_server: Dovecot) -> None:
    names = maildrop.maildir.deliver_many([b"Subject: 1\n\n", b"Subject: 2\n\n"])
    session = log_in(dovecot_server, maildrop.username, maildrop.password)
    session.dele(1)
    session.quit()
    assert maildrop.maildir.messages() == {names[1]: b"Subject: 2\n\n"}


def test_wrong_passwords_are_refused_quickly_and_do_not_slow_later_logins(
    dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    for username in (maildrop.username, maildrop.username, "nobody-has-this-name"):
        with pytest.raises(poplib.error_proto, match="AUTH"):
            log_in(dovecot_server, username, "wrong", timeout_seconds=1.5)
    log_in(dovecot_server, maildrop.username, maildrop.password, timeout_seconds=1.5).quit()


def test_users_and_passwords_change_while_dovecot_runs(dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    log_in(dovecot_server, maildrop.username, maildrop.password).quit()
    dovecot_server.change_password(maildrop.username, "word:päss")
    with pytest.raises(poplib.error_proto):
        log_in(dovecot_server, maildrop.username, maildrop.password)
    session = poplib.POP3(dovecot_server.host, dovecot_server.port, timeout=10)
    session.encoding = "utf-8"
    session.user(maildrop.username)
    session.pass_("word:päss")
    session.quit()


def test_two_hundred_sessions_are_open_at_once(dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    def session(_: int) -> poplib.POP3:
        return log_in(dovecot_server, maildrop.username, maildrop.password)

    with ThreadPoolExecutor(40) as threads:
        sessions = list(threads.map(session, range(200)))
    assert [one.stat() for one in sessions] == [(0, 0)] * 200
    for one in sessions:
        one.quit()


def test_restarts_keep_mail_and_ports_and_may_change_every_unique_id() -> None:
    with own_dovecot() as dovecot:
        dovecot.maildir("alice").deliver_many([b"Subject: 1\n\n", b"Subject: 2\n\n"])
        ports, before = (dovecot.port, dovecot.tls_port), unique_ids(dovecot)
        dovecot.restart()
        assert unique_ids(dovecot) == before
        dovecot.restart(uidl_format="%u-%v")
        assert (dovecot.port, dovecot.tls_port) == ports
        assert len(set(unique_ids(dovecot)) - set(before)) == 2


@pytest.mark.slow
def test_a_locked_maildrop_says_that_it_is_in_use() -> None:
    with own_dovecot(lock_session=True) as dovecot:
        first = log_in(dovecot, "alice", "secret")
        with pytest.raises(poplib.error_proto, match="IN-USE"):  # after some ten seconds, which Dovecot fixes
            log_in(dovecot, "alice", "secret", timeout_seconds=30)
        first.quit()


def test_dovecot_ends_with_its_sessions_and_its_files() -> None:
    with own_dovecot() as dovecot:
        group, port, directory = dovecot.pid, dovecot.port, dovecot.ca_file.parent
        session = log_in(dovecot, "alice", "secret")
        assert group is not None
        assert len(living_members(group)) > 1
    session.close()
    assert living_members(group) == []
    assert greeting(port) == b""
    assert not directory.exists()


def test_a_dovecot_that_cannot_start_says_why_and_leaves_nothing() -> None:
    with pytest.raises(ServerFailed, match="no_such_setting"), Dovecot.start(extra="no_such_setting = yes"):
        pass


def test_dovecot_serves_more_ways_to_log_in_when_asked() -> None:
    with Dovecot.start({"alice": "secret"}, auth_mechanisms="plain cram-md5") as dovecot:
        session = poplib.POP3(dovecot.host, dovecot.port, timeout=10)
        assert set(session.capa()["SASL"]) == {"PLAIN", "CRAM-MD5"}
        session.quit()


def test_postgres_makes_empty_databases_and_copies(postgres_server: Postgres, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:
        assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        db.execute("CREATE TABLE note (text text)")
        db.execute("INSERT INTO note VALUES ('kept')")
    copy = postgres_server.create_database(template=postgres_url)
    with psycopg.connect(copy) as db:
        assert db.execute("SELECT text, lower('Ä') FROM note").fetchall() == [("kept", "ä")]
        postgres_server.drop_database(copy)
        with pytest.raises(psycopg.OperationalError):
            db.execute("SELECT 1")


def test_postgres_keeps_what_was_committed_over_restarts_and_crashes_and_then_leaves_nothing() -> None:
    with Postgres.start() as postgres:
        url = postgres.create_database()
        with psycopg.connect(url) as db:
            db.execute("CREATE TABLE note (text text)")
        for crash in (False, True):
            postgres.restart(crash=crash)
            with psycopg.connect(url) as db:
                db.execute("INSERT INTO note VALUES ('once more')")
        with psycopg.connect(url) as db:
            assert db.execute("SELECT count(*) FROM note").fetchone() == (2,)
        assert postgres.pid is not None
        # Each of PostgreSQL's processes has a group of its own.
        processes = [postgres.pid, *children(postgres.pid)]
        assert len(processes) > 3
    assert not any(living_members(process) for process in processes)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
