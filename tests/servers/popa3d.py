"""popa3d: mbox, no CAPA, one command at a time, and unique-ids that are digests of some header fields."""

from tests.servers.mbox import Mbox
from tests.servers.processes import Account
from tests.servers.unpacked import Unpacked


class Popa3d(Unpacked):
    """Messages without Message-ID, Date and Received share one unique-id, whatever else is in them."""

    name = "popa3d"
    command = ("/usr/sbin/popa3d",)
    directories = ("var/lib/popa3d",)

    def mail_of(self, username: str, owner: Account) -> Mbox:
        return Mbox(self.root / "var/mail" / username, owner=owner)
