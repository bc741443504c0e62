"""Ports for tests: no two processes are given the same, whatever else runs."""

import socket
import subprocess
import sys

from tests.servers.ports import LOOPBACK, free_port, free_ports

_ASK_AND_STAY = "from tests.servers.ports import free_ports\nprint(*free_ports(50), flush=True)\ninput()"


def test_processes_at_the_same_time_are_given_different_ports() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ASK_AND_STAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    try:
        given = [port for each in processes if each.stdout for port in each.stdout.readline().split()]
    finally:
        for each in processes:
            each.communicate("\n", timeout=60)
    assert len(given) == len(set(given)) == 8 * 50


def test_a_port_on_which_somebody_listens_is_not_given() -> None:
    taken = free_port()
    with socket.create_server((LOOPBACK, taken)):
        given = {port for _ in range(3) for port in free_ports(99)}
    assert taken not in given
    assert len(given) == 99
