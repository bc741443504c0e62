"""The service with a clock that goes wrong: `python serve.py PORT FILE`; the file holds seconds to be added."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from app.main import create_app
from app.settings import Settings


def serve(port: int, ahead: Path) -> None:
    """Serve until told to stop."""

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(ahead.read_text() or 0))

    app = create_app(Settings(_env_file=None), clock=clock)
    uvicorn.run(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
