"""Cyrus' POP3 server, whose password check (saslauthd) does not run: what it says to a password that may be right."""

import os
import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.servers.maildir import Maildir
from tests.servers.ports import LOOPBACK, free_ports
from tests.servers.processes import Account, end_process, start_process, wait_until_ready
from tests.servers.unpacked import Unpacked

_CYRUS = "/usr/lib/cyrus/bin"
_CYRUS_ID, _MAIL_ID = 101, 8
_IMAPD_CONF = """\
configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
defaultpartition: default
proc_path: /run/cyrus
mboxname_lockpath: /run/cyrus
cyrus_user: cyrus
cyrus_group: mail
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: /run/no-saslauthd
sasl_mech_list: PLAIN LOGIN CRAM-MD5
allowplaintext: yes
"""


class Cyrus(Unpacked):
    """Its master listens, and starts a process for each connection. Nobody can log in."""

    name = "cyrus"
    command = (
        f"{_CYRUS}/master", "-D", "-j", "1", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf", "-p", "/run/cyrus/pid"
    )  # fmt: skip
    directories = ("run/cyrus", "var/lib/cyrus/db", "var/lib/cyrus/socket", "var/lib/cyrus/proc", "var/spool/cyrus",
                   "usr/share/zoneinfo")  # fmt: skip
    files: ClassVar = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/false\ncyrus:x:101:8::/var/lib/cyrus:/bin/false\n",
        "etc/imapd.conf": _IMAPD_CONF,
        "usr/share/zoneinfo/zone.tab": "DE\t+5230+01322\tEurope/Berlin\n",  # it insists on one
    }

    def mail_of(self, username: str, owner: Account) -> Maildir:
        raise NotImplementedError

    def listens(self) -> "_Master":
        (port,) = free_ports(1)
        service = f'pop3 cmd="{_CYRUS}/pop3d" listen="{LOOPBACK}:{port}" prefork=0'
        (self.root / "etc/cyrus.conf").write_text(
            f"START {{\n}}\nSERVICES {{\n{service}\n}}\nEVENTS {{\n}}\n"
        )
        for directory in ("run/cyrus", "var/lib/cyrus", "var/spool/cyrus"):
            for each in (self.root / directory, *(self.root / directory).rglob("*")):
                os.chown(each, _CYRUS_ID, _MAIL_ID)
        return _Master(self.inside(*self.command), port, log=self.log_file)


class _Master:
    def __init__(self, command: list[str], port: int, *, log: Path) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] = start_process(command, output=log)
        wait_until_ready(self._process, self._answers, name="cyrus", logs=[log])

    def stop(self) -> None:
        end_process(self._process)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0
