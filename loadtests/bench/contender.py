"""Names what a system must offer to be measured side by side with others: processes, and sockets that are set up."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

Encode = Callable[[bytes, int], bytes]
Delivered = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Topic:
    """One publisher and its receivers: non-blocking sockets over which every handshake, subscription and answer has
    been exchanged already. Payloads are printable ASCII without quotes and backslashes, so that text carries them.

    `encode(payload, count)` gives the bytes that make the publisher's socket publish the payload so many times, as so
    many messages of their own. It may be called ahead of time and for payloads that are never sent.

    `delivered(payload)` gives, for a system whose framing we know to the last byte, what stands on a receiver's wire
    for one such message; None: only payloads are compared.
    """

    publisher: socket.socket
    receivers: list[socket.socket]
    encode: Encode
    delivered: Delivered | None = None


class Contender(ABC):
    """A system under measurement. One instance is started and stopped many times, one start at a time."""

    name: str

    def __init__(self) -> None:
        self.pids: list[int] = []  # every server process while it runs: nodes, brokers and Redis alike
        self._running = AsyncExitStack()  # where `start` puts what is to end

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The programs and libraries that matter and their versions; asked after the first start."""

    @abstractmethod
    async def start(self, nodes: int, servers_core: int | None) -> None:
        """Start so many nodes and what they need, all on this core (None: wherever the system puts them), and wait
        until they are ready. Raises `NotMeasured` where this machine lacks what it takes."""

    @abstractmethod
    async def topics(self, publishers: int, receivers_each: int, nodes: int) -> list[Topic]:
        """So many topics, each with a publisher on the first node and its receivers on the last of `nodes` (1: the
        same). WebSocket pings of four bytes are answered; nothing else that a server asks for is."""

    async def stop(self) -> None:
        """End every process; the topics' sockets are closed by whoever asked for them. Also after a failed start."""
        self.pids = []
        await self._running.aclose()


class NotMeasured(Exception):
    """Why a contender is left out, as one sentence for the table."""
