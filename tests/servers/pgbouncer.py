"""A private PgBouncer in transaction mode, as many installations have it: a connection is lent for one transaction."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import (
    ServerMissing,
    end_process,
    private_directory,
    remove_directory,
    start_process,
    unprivileged_account,
    wait_until_ready,
)


@contextmanager
def pgbouncer(url: str, *, connections: int = 20) -> Iterator[str]:
    """The URL of the same database, through a pool of so many connections. Raises ServerMissing, ServerFailed."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise ServerMissing(
            "PgBouncer is not installed: `make test` installs it, or install pgbouncer yourself"
        )
    parts, port = urlsplit(url), free_port()
    directory = private_directory("md-pgbouncer-")
    log, configuration = directory / "log", directory / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port} user={parts.username}\n"
        f"[pgbouncer]\nlisten_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    configuration.chmod(0o644)
    through = urlunsplit(parts._replace(netloc=f"{parts.username}@{LOOPBACK}:{port}"))

    def answers() -> bool:
        try:
            psycopg.connect(through, connect_timeout=5, prepare_threshold=None).close()
        except psycopg.OperationalError:
            return False
        return True

    process: subprocess.Popen[bytes] | None = None
    try:
        account = unprivileged_account("postgres", "nobody")
        process = start_process([program, str(configuration)], output=log, account=account)
        wait_until_ready(process, answers, name="PgBouncer", logs=[log])
        yield through
    finally:
        if process is not None:
            end_process(process)
        remove_directory(directory)
