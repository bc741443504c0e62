"""GNU Mailutils' pop3d: mbox, PIPELINING, RESP-CODES, and a maildrop that is locked during a session."""

from typing import ClassVar

from tests.servers.mbox import Mbox
from tests.servers.processes import Account
from tests.servers.unpacked import Unpacked


class Mailutils(Unpacked):
    """It writes `X-UIDL`, `X-UID` and `Status` into the messages, so sizes and headers change once at a QUIT."""

    name = "mailutils"
    command = ("/usr/sbin/pop3d", "--inetd", "--config-file=/etc/pop3d.conf")
    files: ClassVar = {
        "etc/pop3d.conf": "auth { authentication generic:system; authorization system; };\n"
        "logging { syslog no; };\ntcp-wrappers { enable no; };\n"
    }

    def mail_of(self, username: str, owner: Account) -> Mbox:
        return Mbox(self.root / "var/mail" / username, owner=owner)
