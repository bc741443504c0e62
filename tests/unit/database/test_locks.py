"""Under which name a worker works."""

import socket
import subprocess
import sys
from pathlib import Path

from app.database.locks import WorkerName

TAKE_AND_WAIT = """
import sys
from pathlib import Path
from app.database.locks import WorkerName
place = WorkerName(Path(sys.argv[1]))
print(place.name, flush=True)
sys.stdin.read()
"""


def test_two_workers_with_one_folder_have_two_names_and_each_that_starts_again_has_its_own(
    tmp_path: Path,
) -> None:
    first, second = WorkerName(tmp_path), WorkerName(tmp_path)
    assert first.name.startswith(f"{socket.gethostname()}-")
    assert (first.name[-2:], second.name[-2:]) == ("-1", "-2")
    first.release()
    again = WorkerName(tmp_path)
    assert again.name == first.name
    again.release()
    second.release()


def test_workers_with_folders_of_their_own_have_two_names(tmp_path: Path) -> None:
    places = [WorkerName(tmp_path / name) for name in "ab"]
    assert places[0].name != places[1].name
    for place in places:
        place.release()


def test_the_name_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE_AND_WAIT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        beside = WorkerName(tmp_path)
        assert beside.name != name
        process.kill()
        process.wait(10)
    after = WorkerName(tmp_path)
    assert after.name == name
    after.release()
    beside.release()
