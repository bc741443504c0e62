"""What is written is the service's user's alone, whatever the folder and the umask were."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, ServiceProcess


def open_to_others(folder: Path) -> dict[str, str]:
    """Files that anybody but their owner may read or write."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log"]
    assert len(files) > 3
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


async def test_every_file_is_made_0600_in_a_folder_for_everybody(tmp_path: Path) -> None:
    data, drop = tmp_path / "data", FakeMaildrop()
    data.mkdir()
    before = os.umask(0)
    data.chmod(0o777)
    try:
        process = ServiceProcess(data)
        process.start()
        async with FakePop3Server(drop) as server, process.client() as http:
            await Client(http).sync(await Client(http).register(drop, server))
        assert open_to_others(data) == {}
        environment = os.environ | {"MAILDELTA_DATA_DIR": str(data)}
        for words in (["backup", str(data / "copy")], ["make-key", "k", "--scope", "read"]):
            subprocess.run([sys.executable, "-m", "app", *words], env=environment, check=True)
        process.stop()
        moved = f"sqlite:///{data}/moved.sqlite"
        for words in (
            ["migrate-data", f"sqlite:///{data}/maildelta.sqlite", moved],
            ["restore", str(data / "copy"), "--force"],
            ["secret-key", "rotate", "--new-key"],
        ):
            subprocess.run([sys.executable, "-m", "app", *words], env=environment, check=True)
        assert open_to_others(data) == {}
    finally:
        os.umask(before)
