"""Attackers without a key beside healthy clients. How fast those are served is what the benchmark tells."""

import asyncio
import socket
from pathlib import Path

from benchmarks.edge import memory_mib, under, watched
from tests.service import ServiceProcess


def test_attackers_without_a_key_shut_nobody_out_and_take_no_memory(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path)
    with service.started():
        asyncio.run(watched(service.port, 0.5))
        for _ in range(30):
            _gone_half_way(service.port)
        before = memory_mib(service.pid)
        seen = under("everything", service.port, 4.0)
        assert seen.failed == 0
        assert seen.kept
        assert seen.anew
        assert memory_mib(service.pid) < before + 100
    assert "unexpected_error" not in service.log
    refused = [line for line in service.log.splitlines() if '"connection_refused"' in line]
    assert 1 <= len(refused) <= 20  # however many there were


def _gone_half_way(port: int) -> None:
    """A request whose sender closes his side at once: he may be gone before he is answered."""
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        stranger.shutdown(socket.SHUT_WR)
