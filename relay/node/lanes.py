"""Carries frames and hops to other nodes in numbered batches, one publish per node and event-loop tick."""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol

import structlog
from msgspec import DecodeError

from relay.errors import Invalid, RelayError
from relay.node import hops
from relay.node.lane import Incoming, Outgoing
from relay.node.meters import Meters
from relay.rules import frames, ids, lanes, windows
from relay.rules.lanes import Arrival, EntryKind
from relay.rules.limits import BATCH_BYTES
from relay.rules.timing import INTEREST_FORGET_SECONDS, LANE_LATE_SECONDS

LANE_KEPT_SECONDS = 600.0  # where there is interest a lane is used each second; every deploy leaves some that never are
LANE_ASK_SECONDS = 30.0  # a node that has not said for so long what it took is gone; whoever speaks to it asks again
ASK = lanes.entry(EntryKind.ASK)


class Publish(Protocol):
    """Sends to a node's inbox, by its boot id; raises `RelayError` when over its limit, with control messages later."""

    def __call__(self, boot: str, data: bytes, /, *, control: bool) -> None: ...


class Receiver(Protocol):
    """Who takes what arrives; every call returns at once."""

    def output_arrived(
        self, sender: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """Frames of an agent on the sending node, ready for the sockets of a session's attachments here."""

    def input_arrived(self, sender: str, machine: bytes, generation: int, frame: bytes) -> None:
        """A frame of a browser on the sending node, for the agent connection that its attachment was made on."""

    def hop_arrived(self, sender: str, hop: hops.AnyHop) -> None:
        """A message of the sending node."""

    def lane_broken(self, sender: str, *, silent: bool) -> None:
        """Something of that node was lost; or it is `silent`: it has not been heard for too long."""

    def cut(self, boot: str, machine: bytes, session: bytes) -> None:
        """Frames of a session were not sent to that node, and none will be until this returns: its attachments there
        are to be told. Called between frames, never from inside a call that sends one."""


class Lanes:
    """This node's lanes to and from all others. Frames go in one by one and leave as one publish per node and tick.

    Every batch also says what this node has taken of the lane that comes back, and how much may be under way to it.
    """

    def __init__(self, boot: str, publish: Publish, loop: asyncio.AbstractEventLoop, meters: Meters) -> None:
        self._boot = ids.raw(boot)
        self._publish = publish
        self._loop = loop
        self._meters = meters
        self._outgoing: dict[str, Outgoing] = {}
        self._incoming: dict[str, Incoming] = {}
        self._names: dict[bytes, str] = {}  # boot ids of the incoming ones, by their bytes
        self._senders = 0  # incoming ones that were heard lately, as counted each second
        self._window = windows.window(0)  # what each of them may have under way to this node
        self._dirty: set[str] = set()
        self._cuts: set[str] = set()  # nodes to which something was cut, of which the receiver has not been told
        self._expected: set[str] = set()  # who should have been heard since the last look
        self.receiver: Receiver | None = None  # set once, by the router that these lanes serve

    def send_output(
        self, boot: str, machine: bytes, generation: int, session: bytes, attachment: int, ready: bytes
    ) -> None:
        """An agent's frames for one attachment of a session on another node, or for all there: one or more, joined,
        as they are to be written to sockets; no node looks into them again. A session that has too much under way to
        that node is cut there, see `Receiver.cut`."""
        lane = self._outgoing.get(boot) or self._lane(boot)
        length = len(ready)
        size = length + lanes.OUTPUT_HEAD.size
        if lane.size + size > BATCH_BYTES and lane.pieces:  # a single entry may be larger: it is a batch of its own
            self._send(boot, lane)
        if (lane.cut and (machine, session) in lane.cut) or not lane.flight.admit(machine + session, size):
            self._cut(boot, lane, machine, session)
            return
        pieces = lane.pieces
        pieces.append(lanes.output_head(machine, generation, session, attachment, length))
        pieces.append(ready)
        lane.size += size
        if boot not in self._dirty:
            self._soon(boot)

    def send_input(self, boot: str, machine: bytes, generation: int, frame: bytes) -> None:
        """A browser's frame for an agent of another node, with its header; too much of a session is cut as above."""
        entry = lanes.entry(EntryKind.INPUT, lanes.INPUT.pack(machine, generation), frame)
        lane = self._room(boot, len(entry))
        session = frames.HEADER.unpack_from(frame)[4]
        if (machine, session) in lane.cut or not lane.flight.admit(machine + session, len(entry)):
            self._cut(boot, lane, machine, session)
            return
        self._add(boot, lane, entry)

    def send_hop(self, boot: str, hop: hops.Hop) -> None:
        """A message for another node, in order with the frames. No window holds it up; one that does not leave all
        the same, because that node takes nothing at all or because the bus is away, leaves a hole in the numbers."""
        entry = lanes.entry(EntryKind.HOP, hops.encode(hop))
        lane = self._room(boot, len(entry))
        if not lane.flight.admit_control(len(entry)):
            self._meters.limited("LANE_CONTROL_BYTES")
            lane.number += 1
            lane.used = self._loop.time()
            return
        self._add(boot, lane, entry)

    def _lane(self, boot: str) -> Outgoing:
        lane = self._outgoing.get(boot)
        if lane is None:
            lane = self._outgoing[boot] = Outgoing(self._loop.time())
        return lane

    def _room(self, boot: str, size: int) -> Outgoing:
        """The lane to that node, its batch sent if so much more does not fit."""
        lane = self._lane(boot)
        if lane.size + size > BATCH_BYTES and lane.pieces:
            self._send(boot, lane)
        return lane

    def _add(self, boot: str, lane: Outgoing, entry: bytes) -> None:
        lane.pieces.append(entry)
        lane.size += len(entry)
        self._soon(boot)

    def _cut(self, boot: str, lane: Outgoing, machine: bytes, session: bytes) -> None:
        if (machine, session) not in lane.cut:
            self._meters.limited("LANE_WINDOW_BYTES")
            lane.cut.add((machine, session))
            self._cuts.add(boot)
            self._soon(boot)

    def _soon(self, boot: str) -> None:
        """Send to that node at the end of this tick."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.add(boot)

    def _flush(self) -> None:
        if self._cuts:
            self._tell_cuts()
        dirty, self._dirty = self._dirty, set()
        for boot in dirty:
            self._send(boot, self._lane(boot))

    def _tell_cuts(self) -> None:
        assert self.receiver is not None
        cuts, self._cuts = self._cuts, set()
        for boot in cuts:
            lane = self._lane(boot)
            for machine, session in list(lane.cut):
                try:
                    self.receiver.cut(boot, machine, session)
                except Exception:
                    structlog.get_logger().exception("a session that does not fit its lane could not be cut")
            lane.cut.clear()

    def _send(self, boot: str, lane: Outgoing) -> None:
        """Publish what waits, or without any only what this node has taken."""
        back = self._incoming.get(boot)
        taken, window = back.taken if back is not None else 0, self._window
        number, lane.number = lane.number, lane.number + 1  # also when it is refused: the hole tells the other side
        data = lanes.batch(self._boot, number, taken, window, lane.pieces)
        lane.sent = self._loop.time()
        if lane.size:
            lane.used = lane.sent
        control = lane.flight.left(number) or not lane.size
        lane.pieces, lane.size = [], 0
        try:
            self._publish(boot, data, control=control)
        except RelayError as error:
            lane.flight.lost(number)
            self._refused(boot, lane, error)
            return
        lane.refused = False
        if back is not None:
            back.owed, back.given = 0, window

    def _refused(self, boot: str, lane: Outgoing, error: RelayError) -> None:
        self._meters.unsent()
        if (limit := error.extra.get("limit")) is not None:
            self._meters.limited(str(limit))
        if not lane.refused:  # one line for an outage, not one per tick
            structlog.get_logger().warning("batches to another node are dropped", node=boot, why=error.message)
        lane.refused = True

    @property
    def under_way_bytes(self) -> int:
        """What was sent to other nodes and is not known to be taken."""
        return sum(lane.flight.under_way for lane in self._outgoing.values())

    def keep_alive(self, boots: set[str], asked: set[str]) -> None:
        """Send a batch, if need be an empty one, to each node that has interest here, so that a lost last frame is
        noticed; and to those that have not been told yet what was taken. Those in `asked`, and those that have not
        said what they took, are asked to speak as well."""
        now = self._loop.time()
        self._count(sum(now - back.heard <= INTEREST_FORGET_SECONDS for back in self._incoming.values()))
        owing = {boot for boot, back in self._incoming.items() if back.owed}
        silent = {
            boot
            for boot, lane in self._outgoing.items()
            if lane.flight.under_way and now - lane.used <= LANE_ASK_SECONDS
        }
        for boot in boots | owing | asked | silent:
            lane = self._lane(boot)
            waits = bool(lane.pieces)  # then it leaves with this tick by itself
            lane.pieces += [ASK] if boot in asked or boot in silent else []
            if not waits:
                self._send(boot, lane)

    def check_late(self, boots: set[str], now: float) -> None:
        """Report each of these senders that has been silent for too long since it has been among them; `now` in
        monotonic seconds."""
        for boot in boots:
            lane = self._incoming.setdefault(boot, Incoming(now))
            if boot not in self._expected:
                lane.heard = max(lane.heard, now)
            elif now - lane.heard > LANE_LATE_SECONDS:
                lane.heard = now  # told once; the next report needs another silence
                self._broken(boot, silent=True)
        self._expected = boots

    def latest(self, boot: str) -> int:
        """The number of the latest batch of that node, which is another one once it has said anything."""
        back = self._incoming.get(boot)
        return back.taken if back is not None else 0

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
                self._names.pop(ids.raw(boot), None)

    def received(self, data: bytes) -> None:
        """Take one batch from this node's inbox."""
        try:
            opening = lanes.open_batch(data)
        except Invalid as error:
            structlog.get_logger().error("a batch from another node cannot be read", why=error.message)
            return
        sender = self._names.get(opening.sender) or self._meet(opening.sender)
        back = self._incoming[sender]
        back.heard = self._loop.time()
        if opening.number != back.expected:  # nearly never
            match lanes.arrival(back.expected, opening.number):
                case Arrival.REPEATED:
                    return
                case Arrival.GAP:
                    self._broken(sender)
                case Arrival.NEXT:
                    pass
        back.expected = opening.number + 1
        self._lane(sender).flight.acknowledged(opening.taken, opening.window)
        try:
            self._deliver(sender, data)
        except Invalid as error:
            structlog.get_logger().error("the end of a batch from another node is lost", why=error.message)
            self._broken(sender)
        back.owed += len(data) - lanes.PREFIX.size
        if back.owed >= windows.worth_telling(back.given):
            self._soon(sender)

    def _meet(self, raw: bytes) -> str:
        sender = self._names[raw] = ids.text(raw)
        if sender not in self._incoming:
            self._incoming[sender] = Incoming(self._loop.time())
            self._count(self._senders + 1)
        return sender

    def _count(self, senders: int) -> None:
        self._senders = senders
        self._window = windows.window(senders)

    def _deliver(self, sender: str, data: bytes) -> None:
        """Hand each entry over; one that cannot be taken does not cost the entries behind it."""
        assert self.receiver is not None
        output_arrived, output = self.receiver.output_arrived, int(EntryKind.OUTPUT)
        unpack, size = lanes.OUTPUT.unpack_from, lanes.OUTPUT.size
        for kind, at, end in lanes.entries(data):
            try:
                if kind == output and end - at >= size:  # nearly all of them, so nothing stands in their way
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
            machine, generation = lanes.INPUT.unpack_from(body)
            self.receiver.input_arrived(sender, machine, generation, body[lanes.INPUT.size :])
        elif kind == EntryKind.HOP:
            self.receiver.hop_arrived(sender, hops.decode(body))
        elif kind == EntryKind.ASK:
            self._soon(sender)
        else:
            structlog.get_logger().error("something from another node cannot be read", kind=kind)

    def _broken(self, sender: str, *, silent: bool = False) -> None:
        assert self.receiver is not None
        self._meters.gap()
        self.receiver.lane_broken(sender, silent=silent)
