"""A private Dovecot with POP3 on free ports: plain with STLS, and implicit TLS. Versions 2.3 and 2.4."""

import base64
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from tests.servers.certificates import CertificateAuthority, CertificateFiles, CertificateKind
from tests.servers.dovecot_config import DovecotPlace, DovecotSettings, configuration
from tests.servers.maildir import Maildir
from tests.servers.ports import LOOPBACK, free_ports, greeting
from tests.servers.processes import (
    ServerFailed,
    ServerMissing,
    end_process,
    our_account,
    private_directory,
    remove_directory,
    start_process,
    unprivileged_account,
    wait_until_ready,
)

DEFAULT_UIDL_FORMAT = DovecotSettings.uidl_format


@dataclass(frozen=True)
class Maildrop:
    """One user of a Dovecot: how to log in, and the maildir behind it."""

    username: str
    password: str
    maildir: Maildir


class Dovecot:
    """A running Dovecot. Made by `Dovecot.start`; ended at the end of its block."""

    host = LOOPBACK

    def __init__(self, directory: Path, settings: DovecotSettings) -> None:
        self._directory = directory
        self._binary, self._version = _installed()
        self._mail_owner = unprivileged_account("nobody", "mail")
        self._authority = CertificateAuthority(directory)
        self._certificates: dict[CertificateKind, CertificateFiles] = {}
        self._passwords: dict[str, str] = {}
        self._password_writes = 0
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port = free_ports(2)

    @classmethod
    @contextmanager
    def start(
        cls,
        users: Mapping[str, str] | None = None,
        *,
        lock_session: bool = False,
        uidl_format: str | None = None,
        certificate: CertificateKind = "valid",
        auth_mechanisms: str = "plain login",
        extra: str = "",
    ) -> Iterator[Self]:
        """Runs a Dovecot for the block. `users` is name to password; `extra` are lines for its configuration.

        `uidl_format` is in the notation of Dovecot 2.3, also on 2.4. Raises ServerMissing, ServerFailed.
        """
        settings = DovecotSettings(
            lock_session=lock_session,
            uidl_format=uidl_format or DEFAULT_UIDL_FORMAT,
            certificate=certificate,
            auth_mechanisms=auth_mechanisms,
            extra=extra,
        )
        directory = private_directory("md-dovecot-")
        try:
            dovecot = cls(directory, settings)
            for name, password in (users or {}).items():
                dovecot.add_user(name, password)
            dovecot._run_on_free_ports()
            try:
                yield dovecot
            finally:
                dovecot.stop()
        finally:
            remove_directory(directory)

    @property
    def version(self) -> tuple[int, int]:
        """The first two numbers of Dovecot's version, such as (2, 3)."""
        return self._version

    @property
    def pid(self) -> int | None:
        """The process id of the master, which is also the id of its process group; None when stopped."""
        return self._process.pid if self._process else None

    @property
    def ca_file(self) -> Path:
        """PEM file of the authority that signed the server's certificate."""
        return self._authority.ca_file

    @property
    def log(self) -> str:
        """All that Dovecot has logged so far."""
        log_file = self._place.log_file
        return log_file.read_text(errors="replace") if log_file.exists() else ""

    def add_user(self, username: str, password: str, *, hashed: str | None = None) -> Maildrop:
        """A new user with an empty maildir; holds from the next login. Raises ValueError for an impossible name.

        ``hashed``: what is kept instead of the password, with its scheme: ``{SHA512-CRYPT}$6$…``.
        """
        if not username or username.startswith(".") or set(username) & set(":/\n"):
            raise ValueError(f"not a user name for a passwd-file: {username!r}")
        self._passwords[username] = password
        encoded = base64.b64encode(password.encode()).decode()
        self._write_passwd_entry(username, hashed or f"{{PLAIN.b64}}{encoded}")
        return self.maildrop(username)

    def change_password(self, username: str, password: str) -> Maildrop:
        """Another password for a user who exists; holds when this returns, which takes up to a second."""
        self.maildrop(username)
        maildrop = self.add_user(username, password)
        time.sleep(1.05 - time.time() % 1)  # Dovecot looks at a user's file once in each second of the clock
        return maildrop

    def maildrop(self, username: str) -> Maildrop:
        """A user's name, password and maildir. Raises KeyError for an unknown one."""
        maildir = Maildir(self._place.home(username) / "Maildir", owner=self._mail_owner)
        return Maildrop(username, self._passwords[username], maildir)

    def maildir(self, username: str) -> Maildir:
        """A user's maildir. Raises KeyError for an unknown user."""
        return self.maildrop(username).maildir

    def restart(
        self,
        *,
        lock_session: bool | None = None,
        uidl_format: str | None = None,
        certificate: CertificateKind | None = None,
    ) -> None:
        """Ends it and starts it on the same ports with the same mail; what is None stays as it is."""
        now = self._settings
        self._settings = replace(
            now,
            lock_session=now.lock_session if lock_session is None else lock_session,
            uidl_format=uidl_format or now.uidl_format,
            certificate=certificate or now.certificate,
        )
        self.stop()
        self._run()

    def stop(self) -> None:
        """Ends it, its open sessions too; its ports are closed then. Nothing when it is stopped already."""
        if self._process:
            end_process(self._process, first=signal.SIGTERM)
            self._process = None

    def run(self) -> None:
        """Starts it again after `stop`."""
        if not self._process:
            self._run()

    @property
    def _place(self) -> DovecotPlace:
        certificate = self._settings.certificate
        if certificate not in self._certificates:
            self._certificates[certificate] = self._authority.server_certificate(certificate)
        return DovecotPlace(
            directory=self._directory,
            host=self.host,
            port=self.port,
            tls_port=self.tls_port,
            certificate=self._certificates[certificate],
            mail_owner=self._mail_owner,
            service_owner=None if os.geteuid() == 0 else our_account(),
        )

    def _run_on_free_ports(self) -> None:
        for attempt in (1, 2, 3):
            try:
                self._run()
                return
            except ServerFailed as failure:
                # Another program took the port between our look and Dovecot's bind.
                if attempt == 3 or "Address already in use" not in str(failure):
                    raise
                self.port, self.tls_port = free_ports(2)

    def _run(self) -> None:
        place = self._place
        place.config_file.write_text(configuration(place, self._settings, version=self._version))
        output = self._directory / "output.log"
        self._process = start_process([str(self._binary), "-F", "-c", str(place.config_file)], output=output)
        try:
            wait_until_ready(
                self._process,
                lambda: greeting(self.port).startswith(b"+OK"),
                name="Dovecot",
                logs=[output, place.log_file],
            )
        except ServerFailed:
            self.stop()
            raise

    def _write_passwd_entry(self, username: str, kept: str) -> None:
        account = self._mail_owner
        directory = self._place.passwd_directory
        directory.mkdir(exist_ok=True)
        self._password_writes += 1
        moment = int(time.time()) + self._password_writes
        draft = self._directory / "user.new"
        draft.write_text(f"{username}:{kept}:{account.uid}:{account.gid}::{self._place.home(username)}::\n")
        draft.chmod(0o644)
        # Dovecot sees that a file has changed by its time in whole seconds: each of ours has its own.
        os.utime(draft, (moment, moment))
        draft.rename(directory / username)


def installed_version() -> tuple[int, int]:
    """The first two numbers of the version that is installed. Raises ServerMissing."""
    return _installed()[1]


@lru_cache(maxsize=1)
def _installed() -> tuple[Path, tuple[int, int]]:
    found = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise ServerMissing(
            "Dovecot is not installed: `make test` installs it, or install dovecot-pop3d yourself"
        )
    printed = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = printed.split()[0].split(".")[:2]
    return Path(found), (int(major), int(minor))
