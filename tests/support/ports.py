"""Lends ports to servers under test or under load that must know theirs before they listen."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

FIRST = 10_000
BLOCK = 100  # ports; a worker of this suite hardly needs more than one block
BLOCKS = 220  # below 32,768, where the system takes the ports of outgoing connections from


class Lender:
    """Lends no port twice, and none that another process lends: whoever lends ports of a block has bound its first one,
    which nobody else is lent, until its process ends. So a run inside a run never meets the one around it."""

    def __init__(self) -> None:
        self._held: list[int] = []  # descriptors, which nobody complains about that are open at the end
        self._blocks = self._claimed()
        self._left = range(0)

    def ports(self, wanted: int) -> list[int]:
        """So many in a row that nobody listens on; AssertionError when there are no more."""
        assert wanted < BLOCK, "more ports in a row than there are in a block"
        while True:
            while len(self._left) < wanted:
                self._left = next(self._blocks)
            ports, self._left = self._left[:wanted], self._left[wanted:]
            if all(map(_is_free, ports)):
                return list(ports)

    def close(self) -> None:
        """Let others lend what this one did, as the end of its process does."""
        while self._held:
            os.close(self._held.pop())

    def _claimed(self) -> Iterator[range]:
        for turn in range(BLOCKS):
            # Each process begins elsewhere, for whoever still dials what an earlier run lent should find nobody there.
            first = FIRST + (os.getpid() + turn) % BLOCKS * BLOCK
            claim = socket.socket()
            try:
                claim.bind(("127.0.0.1", first))
            except OSError:
                claim.close()
                continue
            self._held.append(claim.detach())
            yield range(first + 1, first + BLOCK)
        raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: one that closed is no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_LENDER = Lender()


def free_ports(wanted: int) -> list[int]:
    """So many ports in a row that nobody listens on, and that nobody else is given while this process lives."""
    return _LENDER.ports(wanted)
