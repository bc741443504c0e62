"""The page of the API in a real browser: the main job clicked through, at a desk and on a phone, light and dark."""

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.test_clients import HERE, environment, run, service

__all__ = ["environment", "service"]  # fixtures


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_main_job_can_be_clicked_through(
    width: int, scheme: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """No error on the console, no request to another host, nothing kept, nothing wider than the screen.

    And no violation of the axe rules, of which none is excepted.
    """
    shots = tmp_path / "shots"
    shots.mkdir()
    told = run(
        "node",
        HERE / "page.mjs",
        cwd=HERE,
        **environment,
        CHROMIUM=shutil.which("chromium") or "chromium",
        SHOTS=str(shots),
        WIDTH=str(width),
        SCHEME=scheme,
    )
    seen = json.loads(told)
    assert seen["answers"] == {
        "createMailbox": 201,
        "syncMailbox": 200,
        "listMessages": 200,
        "getMessage": 200,
    }
    assert (seen["judged"], seen["barriers"]) == (["start", "key", "answers"], [])
    assert seen["errors"] == []
    assert seen["elsewhere"] == []
    assert seen["kept"] == []
    assert seen["wide"] == 0
    assert seen["dark"] == (scheme == "dark")
