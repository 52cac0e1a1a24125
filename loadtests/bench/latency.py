"""Measures how long a frame is under way through two nodes and Redis, from the agent's write to each browser's read."""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections.abc import Mapping

from loadtests.bench import usage
from loadtests.bench.contender import Topic
from loadtests.bench.payloads import KEPT_BYTES, MARK, PAYLOAD_BYTES, Ring, index_of
from loadtests.bench.plan import Plan
from loadtests.bench.relaying import Relay
from loadtests.bench.rows import Row, Void
from loadtests.bench.wire import answer_pings
from loadtests.numbers import quantile

RECEIVERS = 50
FRAMES_PER_SECOND = 100.0  # times 50 receivers: 5,000 deliveries a second, far from what two nodes can do
WARM_SECONDS = 0.5
LAST_SECONDS = 2.0  # for the last frames; whatever takes longer is lost
MILLISECONDS = 1_000.0
READ_BYTES = 65_536
TRAILING_BYTES = PAYLOAD_BYTES + KEPT_BYTES  # of a read, in case a payload is cut in two

P50 = Row("latency-p50", "two nodes, 5,000 deliveries a second, median on the way", "ms", 0.6, "less")
P99 = Row("latency-p99", "two nodes, 5,000 deliveries a second, 99 of 100 on the way", "ms", 2.0, "less")


class Latency:
    """Frames leave by the clock, whether or not the one before has arrived, and nothing is subtracted: what the
    generator needs to read fifty sockets one after another is in the figure."""

    name = "latency"
    rows = (P50, P99)

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round. Raises `Void` when a delivery is missing or comes twice."""
        relay = Relay()
        try:
            await relay.start(2, plan.cores.servers)
            await usage.at_rest(relay.pids)
            topic = (await relay.topics(1, RECEIVERS, 2))[0]
            gc.disable()  # a pause of the generator would be counted as one of the servers
            try:
                took = sorted(_Clocked(topic).run(WARM_SECONDS + plan.seconds))
            finally:
                gc.enable()
                for each in (topic.publisher, *topic.receivers):
                    each.close()
        finally:
            await relay.stop()
        return {P50.name: quantile(took, 0.50), P99.name: quantile(took, 0.99)}


class _Clocked:
    """One run: when each frame was written, and how long it took to every receiver."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._sent: list[float] = []
        self._took: list[list[float]] = []  # per frame, of each receiver
        self._tails: dict[socket.socket, bytes] = dict.fromkeys(topic.receivers, b"")
        self._next = dict.fromkeys(topic.receivers, 0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(topic.publisher, selectors.EVENT_READ)
        for receiver in topic.receivers:
            self._selector.register(receiver, selectors.EVENT_READ)

    def run(self, seconds: float) -> list[float]:
        """Milliseconds of every delivery of a frame that was written after the warm-up."""
        frames = int(seconds * FRAMES_PER_SECOND)
        ring = Ring(self._topic.encode, frames)
        began = time.perf_counter()
        for index in range(frames):
            due = began + index / FRAMES_PER_SECOND
            while (left := due - time.perf_counter()) > 0:
                self._look(left)
            self._took.append([])
            self._sent.append(time.perf_counter())
            self._topic.publisher.send(ring.run(index, 1))
        until = time.perf_counter() + LAST_SECONDS
        while any(len(each) < RECEIVERS for each in self._took) and time.perf_counter() < until:
            self._look(LAST_SECONDS)
        self._selector.close()
        for index, each in enumerate(self._took):
            if len(each) != RECEIVERS:
                raise Void(f"frame {index} was delivered {len(each)} times to {RECEIVERS} receivers")
        warm = int(WARM_SECONDS * FRAMES_PER_SECOND)
        return [took for each in self._took[warm:] for took in each]

    def _look(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(READ_BYTES)
            now = time.perf_counter()
            if not data:
                raise Void("a server closed a socket")
            answer_pings(key.fileobj, data)
            if key.fileobj is not self._topic.publisher:
                self._take(key.fileobj, data, now)

    def _take(self, receiver: socket.socket, data: bytes, now: float) -> None:
        data = self._tails[receiver] + data
        at, end = data.find(MARK), 0
        while at >= 0 and at + PAYLOAD_BYTES <= len(data):
            index, end = index_of(data, at), at + PAYLOAD_BYTES
            if index != self._next[receiver]:
                raise Void(f"a receiver got frame {index}, not {self._next[receiver]}")
            self._next[receiver] += 1
            self._took[index].append((now - self._sent[index]) * MILLISECONDS)
            at = data.find(MARK, end)
        self._tails[receiver] = data[end:][-TRAILING_BYTES:]
