"""Drives topics from one process with one selector: keeps frames in flight, and counts what every receiver gets."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

from loadtests.bench.contender import Topic
from loadtests.bench.payloads import KEPT_BYTES, MARK, Ring, fault
from loadtests.bench.wire import PING_HEAD, answer_pings

RING_MESSAGES = 1_024  # a multiple of every burst; at 200 bytes each they stay in a processor's cache
READ_BYTES = 262_144  # one read takes what a burst left
LOOK_SECONDS = 0.02  # how long a look at the sockets waits when nothing arrives
DRAIN_SECONDS = 10.0  # for the last frames to arrive; a bus that lost some never delivers them
SAID_BYTES = 160  # of what a receiver read last, shown when a count is wrong
SAMPLE_BYTES = 32 * 1024 * 1024  # kept of each sampled receiver; beyond it only the count is checked


class Receiver:
    """One receiving socket and what it has counted."""

    __slots__ = ("count", "kept", "kept_bytes", "last", "socket", "tail", "topic")

    def __init__(self, receiving: socket.socket, topic: Flow) -> None:
        self.socket = receiving
        self.topic = topic
        self.count = 0
        self.tail = b""
        self.last = b""  # read, for the case that it says why nothing follows
        self.kept: list[bytes] | None = None  # every byte, of a sampled receiver
        self.kept_bytes = 0

    def take(self) -> None:
        """Read once and count; raises `ConnectionError` when the server hung up."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("a server closed a receiver's socket")
        if self.kept is not None:
            self._keep(data)
        self.last = data
        data = self.tail + data
        self.count += data.count(MARK)
        if PING_HEAD in data:
            answer_pings(self.socket, data)
        self.tail = data[-KEPT_BYTES:]

    def _keep(self, data: bytes) -> None:
        assert self.kept is not None
        if self.kept_bytes < SAMPLE_BYTES:
            self.kept.append(data)
            self.kept_bytes += len(data)


class Flow:
    """One topic under load."""

    __slots__ = ("delivered", "published", "publisher", "receivers", "ring", "unsent")

    def __init__(self, topic: Topic) -> None:
        self.publisher = topic.publisher
        self.receivers = [Receiver(receiving, self) for receiving in topic.receivers]
        self.delivered = topic.delivered
        self.ring = Ring(topic.encode, RING_MESSAGES)
        self.published = 0
        self.unsent: memoryview | None = None

    def publish(self, in_flight: int, burst: int) -> None:
        """Write bursts, each in a write of its own, while the slowest receiver is less than `in_flight` behind."""
        slowest = min(receiver.count for receiver in self.receivers)
        while self.flushed() and in_flight - (self.published - slowest) >= burst:
            self.write(burst)

    def write(self, burst: int) -> None:
        """Write the next so many frames at once."""
        self.unsent = self.ring.run(self.published % self.ring.size, burst)
        self.published += burst
        self.flushed()

    def flushed(self) -> bool:
        """Write what the system did not take yet; whether all of it went."""
        if self.unsent is not None:
            try:
                sent = self.publisher.send(self.unsent)
            except BlockingIOError:
                return False
            self.unsent = self.unsent[sent:] if sent < len(self.unsent) else None
        return self.unsent is None


class Traffic:
    """All topics of one measurement. Counting is exact: what was published times receivers, for each of them."""

    def __init__(self, topics: Sequence[Topic], in_flight: int, burst: int = 1) -> None:
        assert in_flight >= burst
        assert RING_MESSAGES % burst == 0
        self._in_flight = in_flight
        self._burst = burst
        self._flows = [Flow(topic) for topic in topics]
        self._selector = selectors.DefaultSelector()
        for flow in self._flows:
            self._selector.register(flow.publisher, selectors.EVENT_READ, None)
            for receiver in flow.receivers:
                self._selector.register(receiver.socket, selectors.EVENT_READ, receiver)
        self._sampled = [flow.receivers[place] for flow in {self._flows[0], self._flows[-1]} for place in {0, -1}]
        for receiver in self._sampled:
            receiver.kept = []

    @property
    def delivered(self) -> int:
        """Deliveries so far, over all receivers."""
        return sum(receiver.count for flow in self._flows for receiver in flow.receivers)

    def drive(self, seconds: float) -> None:
        """Keep the topics full for so long."""
        until = time.perf_counter() + seconds
        touched = set(self._flows)
        while time.perf_counter() < until:
            for flow in touched:
                flow.publish(self._in_flight, self._burst)
            touched = self._look()

    def drain(self) -> str | None:
        """Publish no more and wait for what is under way; then what was lost, repeated, mixed up or changed, or
        None."""
        until = time.perf_counter() + DRAIN_SECONDS
        while not self._complete() and time.perf_counter() < until:
            self._look()
        for flow in self._flows:
            for receiver in flow.receivers:
                if receiver.count != flow.published:
                    said = receiver.last[-SAID_BYTES:].decode("ascii", "replace")
                    return f"{flow.published} were published, a receiver got {receiver.count}, at last {said!r}"
        for receiver in self._sampled:
            found = fault(b"".join(receiver.kept or []), receiver.topic.ring.size, receiver.topic.delivered)
            if found is not None:
                return found
        return None

    def close(self) -> None:
        """Close every socket."""
        self._selector.close()
        for flow in self._flows:
            flow.publisher.close()
            for receiver in flow.receivers:
                receiver.socket.close()

    def _complete(self) -> bool:
        done = [flow.flushed() and all(each.count >= flow.published for each in flow.receivers) for flow in self._flows]
        return all(done)

    def _look(self) -> set[Flow]:
        """Read whatever has arrived; which topics moved."""
        touched = {flow for flow in self._flows if flow.unsent is not None}
        for key, _ in self._selector.select(LOOK_SECONDS):
            receiver: Receiver | None = key.data
            if receiver is None:
                _discard(key.fileobj)
            else:
                receiver.take()
                touched.add(receiver.topic)
        return touched


def _discard(publisher: object) -> None:
    assert isinstance(publisher, socket.socket)
    data = publisher.recv(READ_BYTES)
    answer_pings(publisher, data)
    if not data:
        raise ConnectionError("a server closed a publisher's socket")
