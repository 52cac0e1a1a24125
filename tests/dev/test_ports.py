"""Shows that a port is lent once: not to two servers of a test, and not by two runs beside or inside each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import ports
from tests.support.ports import BLOCK, Lender, free_ports

ANOTHER = """
import sys
from tests.support.ports import free_ports
print(*[port for wanted in (6, 1, 1, 2, 40) for port in free_ports(wanted)], flush=True)
sys.stdin.read()
"""


@contextmanager
def another_run() -> Iterator[list[int]]:
    """What a process that believes to be the same worker lends, while it lives."""
    environ = os.environ | {"PYTEST_XDIST_WORKER": os.environ.get("PYTEST_XDIST_WORKER", "gw0")}
    words, pipe = [sys.executable, "-c", ANOTHER], subprocess.PIPE
    with subprocess.Popen(words, env=environ, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield [int(port) for port in process.stdout.readline().split()]
        finally:
            process.kill()


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()
    yield lender
    lender.close()


def test_no_port_is_lent_twice_however_many_are_asked_for_at_once_although_nobody_listens_yet() -> None:
    lent = [port for _ in range(5) for wanted in (6, 1, 1, 2, 12) for port in free_ports(wanted)]
    assert len(lent) == len(set(lent)) == 5 * 22


def test_runs_beside_and_inside_each_other_are_lent_different_ports() -> None:
    ours = free_ports(3)
    with another_run() as theirs, another_run() as others:
        ours += free_ports(90)
        assert len(theirs) == len(others) == 50
        assert len({*ours, *theirs, *others}) == len(ours) + 100


def test_a_port_that_somebody_listens_on_is_left_out(lender: Lender) -> None:
    (before,) = lender.ports(1)
    with socket.create_server(("127.0.0.1", before + 2)):
        assert lender.ports(2) == [before + 3, before + 4]


def test_a_lender_whose_ports_are_used_up_says_so(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "BLOCKS", 3)
    monkeypatch.setattr(ports, "FIRST", ports.FIRST + 100 * BLOCK)  # those of other runs are left to them
    with pytest.raises(AssertionError, match="no free ports"):
        [lender.ports(BLOCK - 1) for _ in range(4)]
