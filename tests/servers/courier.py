"""Courier's POP3 server: maildir, PIPELINING, LOGIN-DELAY 10, no lock, and 5 s before it refuses a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from tests.servers.maildir import Maildir
from tests.servers.processes import Account, end_process, start_process, wait_until_ready
from tests.servers.unpacked import Unpacked


class Courier(Unpacked):
    """The login program asks authdaemond, a process of its own, on a socket under /run."""

    name = "courier"
    command = (
        "/usr/lib/courier/courier/courierpop3login",
        "/usr/lib/courier/courier/courierpop3d",
        "Maildir",
    )
    environment: ClassVar = {
        "MAILDIRPATH": "Maildir",
        "TCPLOCALIP": "127.0.0.1",  # this and what follows is what couriertcpd tells
        "TCPLOCALPORT": "110",
        "TCPREMOTEIP": "127.0.0.1",
        "TCPREMOTEPORT": "1110",
    }
    directories = ("run/courier/authdaemon", "etc/courier")
    files: ClassVar = {
        "etc/courier/authdaemonrc": 'authmodulelist="authpam"\nauthmodulelistorig="authpam"\ndaemons=2\n'
        "authdaemonvar=/run/courier/authdaemon\n"
    }

    def mail_of(self, username: str, owner: Account) -> Maildir:
        return Maildir(self.root / "home" / username / "Maildir", owner=owner)

    @contextmanager
    def running(self) -> Iterator[None]:
        command = self.inside("/usr/lib/courier/courier-authlib/authdaemond")
        daemon = start_process(command, output=self.log_file)
        socket = self.root / "run/courier/authdaemon/socket"
        try:
            wait_until_ready(daemon, socket.exists, name="authdaemond", logs=[self.log_file])
            yield
        finally:
            end_process(daemon)
