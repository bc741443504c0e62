"""The mail server of the benchmark, and the delaying proxy before it."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.delay import DelayProxy
from tests.servers.dovecot import Dovecot, installed_version

_SESSIONS_READY = 8


@contextmanager
def started_servers() -> Iterator[tuple[Dovecot, DelayProxy]]:
    """Both, for the block. Raises ServerMissing without Dovecot."""
    extra = _configuration(installed_version())
    with (
        Dovecot.start(extra=extra) as dovecot,
        DelayProxy.start(dovecot.host, dovecot.port) as proxy,
    ):
        yield dovecot, proxy


def _configuration(version: tuple[int, int]) -> str:
    """Processes that serve one session after the other: to start one costs more than a poll that finds nothing."""
    reused = "restart_request_count = unlimited" if version >= (2, 4) else "service_count = 0"
    return f"""
service pop3 {{
  {reused}
  process_min_avail = {_SESSIONS_READY}
}}
service pop3-login {{
  process_min_avail = 2
}}
"""
