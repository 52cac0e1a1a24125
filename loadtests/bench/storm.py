"""Opens thousands of connections at once, each from TCP to its welcome, and keeps those that are open alive."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from loadtests.bench import wire

IN_FLIGHT = 200  # handshakes under way, each waiting for the node
WELCOME = b'"welcome"'
READ_BYTES = 65_536
LOOK_SECONDS = 0.05
STUCK_SECONDS = 20.0  # without any progress: whoever is still waiting counts as failed
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no ports in TIME_WAIT: the next round needs them


class Guest(NamedTuple):
    """One peer to be: where it dials, and what it says."""

    port: int
    request: bytes
    hello: bytes


class _Peer:
    """One connection: dialling, upgrading, greeting, then welcome."""

    __slots__ = ("guest", "read", "socket", "state")

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.state = "dialling"
        self.read = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        began = self.socket.connect_ex(("127.0.0.1", guest.port))
        if began not in (0, errno.EINPROGRESS):
            raise OSError(began, "connect")


class Storm:
    """All connections of one measurement; `with` closes them."""

    def __init__(self) -> None:
        self.welcomed: list[socket.socket] = []
        self.failures: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        self._waiting = 0

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._end(key.data)
        self._selector.close()

    def dial(self, guests: Iterable[Guest]) -> None:
        """Connect them all, so many at a time, until each was welcomed or failed."""
        coming: Iterator[Guest] = iter(guests)
        moved = time.perf_counter()
        more = True
        while more or self._waiting:
            while more and self._waiting < IN_FLIGHT:
                guest = next(coming, None)
                if guest is None:
                    more = False
                    break
                peer = _Peer(guest)
                self._waiting += 1
                self._selector.register(peer.socket, selectors.EVENT_WRITE, peer)
            if self._look():
                moved = time.perf_counter()
            elif time.perf_counter() - moved > STUCK_SECONDS:
                self._give_up()

    def hold(self, seconds: float) -> None:
        """Do nothing but answer pings."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._look()

    def _look(self) -> bool:
        ready = self._selector.select(LOOK_SECONDS)
        for key, _ in ready:
            self._move(key.data)
        return bool(ready)

    def _move(self, peer: _Peer) -> None:
        try:
            if peer.state == "dialling":
                peer.socket.send(peer.guest.request)
                peer.state = "upgrading"
                self._selector.modify(peer.socket, selectors.EVENT_READ, peer)
                return
            data = peer.socket.recv(READ_BYTES)
        except OSError as error:
            self._fail(peer, error.strerror or "an error of the socket")
            return
        if not data:
            self._fail(peer, "closed")
            return
        peer.read += data
        if peer.state == "upgrading":
            self._upgraded(peer)
        while peer.state != "upgrading" and (frame := wire.cut(peer.read)) is not None:
            opcode, payload, size = frame
            peer.read = peer.read[size:]
            if not self._heard(peer, opcode, payload):
                return

    def _upgraded(self, peer: _Peer) -> None:
        answer, end, rest = peer.read.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " not in answer[:16]:
            self._fail(peer, answer.partition(b"\r\n")[0].decode("ascii", "replace"))
            return
        peer.read = rest
        peer.socket.send(peer.guest.hello)
        peer.state = "greeting"

    def _heard(self, peer: _Peer, opcode: int, payload: bytes) -> bool:
        """Act on one frame; whether the connection is still there."""
        if opcode == wire.PING:  # also before the welcome
            peer.socket.send(wire.from_client(payload, wire.PONG))
        elif opcode == wire.CLOSE:
            self._fail(peer, f"closed with {int.from_bytes(payload[:2], 'big')}")
            return False
        elif peer.state == "greeting":
            if WELCOME not in payload:
                self._fail(peer, f"was told {payload[:60]!r}")
                return False
            peer.state = "welcome"
            self._waiting -= 1
            self.welcomed.append(peer.socket)
        return True

    def _give_up(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data.state != "welcome":
                self._fail(key.data, f"nothing for {STUCK_SECONDS:g} s while {key.data.state}")

    def _fail(self, peer: _Peer, why: str) -> None:
        self.failures[f"{peer.state}: {why}"] += 1
        if peer.state != "welcome":
            self._waiting -= 1
        self._end(peer)

    def _end(self, peer: _Peer) -> None:
        self._selector.unregister(peer.socket)
        peer.socket.close()
