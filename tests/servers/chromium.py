"""Chromium without a window, and the pages that it is given: what it loads and runs of them is seen by their server."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.servers.processes import ServerMissing

_SECONDS = 200
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
    "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--no-pings",
    "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider", "--hide-scrollbars",
    "--no-default-browser-check",
)  # fmt: skip


@dataclass
class Site:
    """Pages by their host and path (``safe.test/1``), and the requests for anything else; any host leads here."""

    pages: Mapping[str, str]
    port: int = 0
    requests: set[str] = field(default_factory=set)


@contextmanager
def serving(pages: Mapping[str, str]) -> Iterator[Site]:
    """Serve the pages on loopback."""
    site = Site(pages)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            host = self.headers.get("Host", "").partition(":")[0]
            page = site.pages.get(host + self.path)
            if page is None and self.path != "/favicon.ico":
                site.requests.add(host + self.path)
            body = (page or "").encode()
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            self.close_connection = True  # TLS: the browser's own business, or to an https address

        def log_message(self, *_of_each_request: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visit(site: Site, page: str, directory: Path, *options: str) -> str:
    """Open one page of a site, wait until nothing more happens, and give what is there then.

    Raises ServerMissing where there is no Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise ServerMissing("Chromium is not here: scripts/install-test-servers --with-browser installs it")
    command = [
        chromium, *_OPTIONS, f"--user-data-dir={directory}", f"--host-resolver-rules=MAP * 127.0.0.1:{site.port}",
        "--virtual-time-budget=3000", "--dump-dom", *options, f"http://{page}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
    return done.stdout.decode()
