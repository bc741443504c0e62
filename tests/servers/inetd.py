"""One process for each connection, the connection its standard input and output: how inetd runs a server."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.ports import LOOPBACK
from tests.servers.processes import end_process


class Inetd:
    """Listens on a free port of loopback from its making until `stop`."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self._command = command
        self._log = log
        self._environment = dict(environment)
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listens no more, and ends the sessions that are still open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread
        self._thread.join()
        self._listener.close()
        for session in self._sessions:
            if session.poll() is None:
                end_process(session)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                with connection:
                    # Or a server that writes a reply in pieces waits 40 ms within each.
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._sessions = [each for each in self._sessions if each.poll() is None]
                    self._sessions.append(self._session(connection))

    def _session(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=log,
                env=self._environment,
                start_new_session=True,
                cwd="/",
            )
