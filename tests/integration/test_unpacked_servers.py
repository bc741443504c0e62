"""The servers that run in root directories of their own: missing ones are said to be, and nothing stays behind."""

from pathlib import Path

import pytest

from tests.servers.courier import Courier
from tests.servers.mailutils import Mailutils
from tests.servers.popa3d import Popa3d
from tests.servers.ports import greeting
from tests.servers.processes import ServerMissing
from tests.servers.unpacked import Unpacked

ALL = [Mailutils, Courier, Popa3d]


def processes_in(root: Path) -> list[str]:
    """The ids of processes whose root directory is this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "root").readlink().is_relative_to(root):
                found.append(process.name)
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.parametrize("kind", ALL)
def test_a_server_greets_on_loopback_and_leaves_nothing_behind(kind: type[Unpacked]) -> None:
    accounts = Path("/etc/passwd").read_bytes()
    with kind.start() as server:
        server.add_user("alice").mail.deliver(b"Subject: x\n\nx\n")
        assert greeting(server.port).startswith(b"+OK")
        root, port = server.root, server.port
    assert not root.parent.exists()
    assert processes_in(root) == []
    assert greeting(port) == b""
    assert Path("/etc/passwd").read_bytes() == accounts


@pytest.mark.parametrize("kind", ALL)
def test_a_server_that_is_not_unpacked_is_missing(
    kind: type[Unpacked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILDELTA_POP3_SERVERS", str(tmp_path))
    with pytest.raises(ServerMissing, match="make test"), kind.start():
        pass


@pytest.mark.parametrize("kind", [Mailutils, Popa3d])
def test_an_mbox_is_filled_and_emptied_behind_the_servers_back(kind: type[Unpacked]) -> None:
    with kind.start() as server:
        mail = server.add_user("alice").mail
        names = mail.deliver_many([b"Subject: 1\r\n\r\nFrom me\r\n", b"Subject: 2\n\nno end", b"gone\n"])
        mail.remove(names[2])
        stored = [b"Subject: 1\n\n>From me\n", b"Subject: 2\n\nno end\n"]
        assert mail.messages() == dict(zip(names, stored, strict=False))
        with pytest.raises(KeyError):
            mail.remove(names[2])
        assert len(mail) == 2
