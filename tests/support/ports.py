"""Lends ports to servers under test that must know theirs before they listen."""

from __future__ import annotations

import os
import socket
from itertools import count

FIRST = 10_000
PER_WORKER = 2_000  # worker 0 to 10 fit below 32,768, where the system takes the ports of outgoing connections from
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 11
_turns = count(os.getpid())  # every call of a run starts elsewhere, so that a port is not lent twice in a row


def free_ports(wanted: int) -> list[int]:
    """So many ports in a row that nobody listens on; no other worker of this run is given them, and no connection that
    somebody opens meanwhile can take them away."""
    for _ in range(PER_WORKER):
        first = FIRST + _WORKER * PER_WORKER + next(_turns) * wanted % (PER_WORKER - wanted)
        ports = list(range(first, first + wanted))
        if all(map(_is_free, ports)):
            return ports
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: one that closed is no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
