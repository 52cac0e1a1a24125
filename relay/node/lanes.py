"""Carries frames and hops to other nodes in numbered batches, one publish per node and event-loop tick."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Protocol

import structlog
from msgspec import DecodeError

from relay.errors import Invalid, RelayError
from relay.node import hops
from relay.node.meters import Meters
from relay.rules import ids, lanes
from relay.rules.lanes import Arrival, EntryKind
from relay.rules.limits import BATCH_BYTES
from relay.rules.timing import LANE_LATE_SECONDS

LANE_KEPT_SECONDS = 600.0  # where there is interest a lane is used each second; every deploy leaves some that never are

Publish = Callable[[str, bytes], None]  # to a node's inbox, by its boot id; raises RelayError when over its limit


class Receiver(Protocol):
    """Who takes what arrives; every call returns at once."""

    def output_arrived(
        self, sender: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """Frames of an agent on the sending node, ready for the sockets of a session's attachments here."""

    def input_arrived(self, sender: str, machine: bytes, frame: bytes) -> None:
        """A frame of a browser on the sending node."""

    def hop_arrived(self, sender: str, hop: hops.AnyHop) -> None:
        """A message of the sending node."""

    def lane_broken(self, sender: str) -> None:
        """Something of that node was lost, or it has not been heard for too long."""


class Outgoing:
    """What waits to go to one node in this tick, and the number of the next batch."""

    __slots__ = ("number", "pieces", "refused", "sent", "size")

    def __init__(self) -> None:
        self.number = 1
        self.sent = 0.0  # monotonic seconds of the last batch
        self.refused = False  # the bus did not take the last batch
        self.pieces: list[bytes] = []  # of entries, joined when the batch leaves
        self.size = 0


class Incoming:
    """What is known of one sender: the number expected next and when it was last heard."""

    __slots__ = ("expected", "heard")

    def __init__(self, heard: float) -> None:
        self.expected: int | None = None
        self.heard = heard


class Lanes:
    """This node's lanes to and from all others. Frames go in one by one and leave as one publish per node and tick."""

    def __init__(self, boot: str, publish: Publish, loop: asyncio.AbstractEventLoop, meters: Meters) -> None:
        self._boot = ids.raw(boot)
        self._publish = publish
        self._loop = loop
        self._meters = meters
        self._outgoing: dict[str, Outgoing] = {}
        self._incoming: dict[str, Incoming] = {}
        self._dirty: set[str] = set()
        self.receiver: Receiver | None = None  # set once, by the router that these lanes serve

    def send_output(
        self, boot: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """An agent's frames for one attachment of a session on another node, or for all there: one or more, joined,
        as they are to be written to sockets; no node looks into them again."""
        head = lanes.output_head(machine, generation, session, attachment, len(ready))
        self._add(boot, (head, ready), lanes.OUTPUT_HEAD.size + len(ready))

    def send_input(self, boot: str, machine: bytes, frame: bytes) -> None:
        """A browser's frame for an agent of another node."""
        entry = lanes.entry(EntryKind.INPUT, machine, frame)
        self._add(boot, (entry,), len(entry))

    def send_hop(self, boot: str, hop: hops.Hop) -> None:
        """A message for another node, in order with the frames."""
        entry = lanes.entry(EntryKind.HOP, hops.encode(hop))
        self._add(boot, (entry,), len(entry))

    def _add(self, boot: str, pieces: tuple[bytes, ...], size: int) -> None:
        lane = self._outgoing.get(boot)
        if lane is None:
            lane = self._outgoing[boot] = Outgoing()
        if lane.size and lane.size + size > BATCH_BYTES:  # a single entry may be larger: it is a batch of its own
            self._send(boot, lane)
        lane.pieces += pieces
        lane.size += size
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.add(boot)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for boot in dirty:
            lane = self._outgoing[boot]
            if lane.pieces:
                self._send(boot, lane)

    def _send(self, boot: str, lane: Outgoing) -> None:
        data = lanes.batch(self._boot, lane.number, lane.pieces)
        lane.number += 1  # also when the batch is refused: the hole is how the other side learns of it
        lane.pieces = []
        lane.size = 0
        lane.sent = self._loop.time()
        try:
            self._publish(boot, data)
            lane.refused = False
        except RelayError as error:
            self._meters.unsent()
            if not lane.refused:  # one line for an outage, not one per tick
                structlog.get_logger().warning("batches to another node are dropped", node=boot, why=error.message)
            lane.refused = True

    def keep_alive(self, boots: set[str]) -> None:
        """Send an empty batch to each node that has interest here, so that a lost last frame is noticed."""
        for boot in boots:
            lane = self._outgoing.setdefault(boot, Outgoing())
            if not lane.pieces:
                self._send(boot, lane)

    def check_late(self, boots: set[str], now: float) -> None:
        """Report each of these senders that has been silent for too long; `now` in monotonic seconds."""
        for boot in boots:
            lane = self._incoming.setdefault(boot, Incoming(now))
            if now - lane.heard > LANE_LATE_SECONDS:
                lane.heard = now  # told once; the next report needs another silence
                self._broken(boot)

    def break_all(self) -> None:
        """Report every sender: this node was deaf, and what came meanwhile is lost."""
        for boot in list(self._incoming):
            self._broken(boot)

    def forget_idle(self, now: float) -> None:
        """Drop lanes that nothing went over for so long that their node is gone or has no interest here; should it
        speak again, the numbers say that something is missing, and by then there is nobody to miss it."""
        for boot, out in list(self._outgoing.items()):
            if not out.pieces and now - out.sent > LANE_KEPT_SECONDS:
                del self._outgoing[boot]
        for boot, into in list(self._incoming.items()):
            if now - into.heard > LANE_KEPT_SECONDS:
                del self._incoming[boot]

    def received(self, data: bytes) -> None:
        """Take one batch from this node's inbox."""
        try:
            raw, number = lanes.open_batch(data)
            sender = ids.text(raw)
            lane = self._incoming.setdefault(sender, Incoming(0.0))
            lane.heard = self._loop.time()
            match lanes.arrival(lane.expected, number):
                case Arrival.REPEATED:
                    return
                case Arrival.GAP:
                    self._broken(sender)
                case Arrival.NEXT:
                    pass
            lane.expected = number + 1
        except Invalid as error:
            structlog.get_logger().error("a batch from another node cannot be read", why=error.message)
            return
        try:
            self._deliver(sender, data)
        except Invalid as error:
            structlog.get_logger().error("the end of a batch from another node is lost", why=error.message)
            self._broken(sender)

    def _deliver(self, sender: str, data: bytes) -> None:
        """Hand each entry over; one that cannot be taken does not cost the entries behind it."""
        assert self.receiver is not None
        output_arrived, unpack, size = self.receiver.output_arrived, lanes.OUTPUT.unpack_from, lanes.OUTPUT.size
        for kind, at, end in lanes.entries(data):
            try:
                if kind == EntryKind.OUTPUT and end - at >= size:  # nearly all of them, so nothing stands in their way
                    machine, generation, session, attachment = unpack(data, at)
                    output_arrived(sender, machine, generation, session, attachment, data[at + size : end])
                else:
                    self._deliver_other(sender, kind, data[at:end])
            except (DecodeError, struct.error) as error:  # of a newer version, perhaps
                structlog.get_logger().error("something from another node cannot be read", why=str(error))
            except Exception:
                structlog.get_logger().exception("something from another node could not be handled")

    def _deliver_other(self, sender: str, kind: int, body: bytes) -> None:
        assert self.receiver is not None
        if kind == EntryKind.INPUT:
            self.receiver.input_arrived(sender, body[: lanes.MACHINE_BYTES], body[lanes.MACHINE_BYTES :])
        elif kind == EntryKind.HOP:
            self.receiver.hop_arrived(sender, hops.decode(body))
        else:
            structlog.get_logger().error("something from another node cannot be read", kind=kind)

    def _broken(self, sender: str) -> None:
        assert self.receiver is not None
        self._meters.gap()
        self.receiver.lane_broken(sender)
