"""Plays one session of a machine to the page: a real ring, real frames, and a shell that only echoes."""

from __future__ import annotations

import uuid
from typing import Protocol

from relay.agent.ring import Ring, addressed
from relay.rules import frames, ids, limits
from relay.rules.browser_messages import Attach, BrowserAttaching
from relay.rules.frames import Header, Kind
from relay.rules.machine import Machine
from relay.rules.messages import Attached, DriverChanged, InputRefused, Message, Operator, Session
from relay.rules.resume import InputStream, decide_replay

EPOCH = 1_700_000_000


class Spectator(Protocol):
    """What a session needs of a page's socket."""

    client: str
    user: str

    def say(self, message: Message) -> None:
        """Send a control message."""

    def send_frame(self, frame: bytes) -> None:
        """Send a frame."""


class Seat:
    """One attachment: which socket it is on, and who typed how far."""

    def __init__(self, number: int, peer: Spectator, ask: Attach) -> None:
        self.number = number
        self.peer = peer
        self.ask = ask


class FakeSession:
    """A session with a real ring and a shell of one command: `echo TEXT` prints TEXT, `$((6*7))` done by hand."""

    def __init__(self, on: Machine, ring_bytes: int = limits.RING_BYTES) -> None:
        self.machine = on
        self.id = str(uuid.uuid4())
        self.ring = Ring(ids.raw(self.id), EPOCH, ring_bytes)
        self.seats: dict[int, Seat] = {}
        self.driver: str | None = None  # a client id
        self.streams: dict[str, InputStream] = {}
        self.typed = b""  # all input that was applied
        self.size = (80, 24)
        self.seen = 0
        self.ended = False
        self._line = b""
        self.says(b"$ ")

    def describe(self) -> Session:
        """As the agent would."""
        return Session(id=self.id, epoch=EPOCH, kind="terminal", title="bash", attached=len(self.seats))

    def says(self, data: bytes, kind: Kind = Kind.OUTPUT) -> None:
        """The program writes."""
        frame = self.ring.append(kind, data)
        for seat in self.seats.values():
            seat.peer.send_frame(frame)

    def ends(self, payload: bytes) -> None:
        """The program ends."""
        self.says(payload, Kind.EXIT)
        self.ended = True

    def attach(self, seat: Seat) -> None:
        """Replay what is missing, then follow."""
        ask, client = seat.ask, seat.peer.client
        if ask.mode == "drive" and (self.driver is None or ask.take):
            self.driver = client
        drives = ask.mode == "drive" and self.driver == client
        if drives and ask.columns and ask.rows:
            self.resize(ask.columns, ask.rows)
        replay = decide_replay(ask.after, EPOCH, self.ring.first, self.ring.head)
        stream = self.streams.setdefault(client, InputStream())
        answer = BrowserAttaching(
            ref=ask.ref,
            machine=self.machine.id,
            session=self.id,
            attachment=seat.number,
            epoch=EPOCH,
            first=replay.first,
            recovered=replay.recovered,
            driver=drives,
            columns=self.size[0],
            rows=self.size[1],
            input=stream.last,
        )
        seat.peer.say(answer)
        for frame in self.ring.since(replay.first - 1):
            seat.peer.send_frame(addressed(frame, seat.number))
        seat.peer.say(Attached(session=self.id, attachment=seat.number, head=self.ring.head))
        self.seats[seat.number] = seat

    def take(self, seat: Seat) -> None:
        """Another attachment drives."""
        self.driver = seat.peer.client
        for each in self.seats.values():
            operator = Operator(user=seat.peer.user, client="test")
            each.peer.say(DriverChanged(session=self.id, attachment=seat.number, operator=operator))

    def frame(self, seat: Seat, header: Header, payload: bytes) -> None:
        """Input, or a report of what was seen."""
        if header.kind == Kind.SEEN:
            self.seen = max(self.seen, header.sequence)
            return
        stream = self.streams[seat.peer.client]
        if header.sequence != stream.last + 1:
            return
        if header.kind == Kind.INPUT and seat.peer.client != self.driver:
            refused = InputRefused(
                session=self.id, attachment=seat.number, sequence=header.sequence, reason="not-driver"
            )
            seat.peer.say(refused)
            return
        stream.apply(header.sequence)
        ack = Header(Kind.ACK, 0, seat.number, EPOCH, ids.raw(self.id), stream.last)
        seat.peer.send_frame(frames.pack(ack))
        if header.kind == Kind.RESIZE:
            self.resize(*frames.SIZE.unpack(payload))
        elif header.kind == Kind.INPUT:
            self.typed += payload
            self._echo(payload)

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        if (columns, rows) != self.size:
            self.size = (columns, rows)
            self.says(frames.SIZE.pack(columns, rows), Kind.RESIZED)

    def _echo(self, payload: bytes) -> None:
        *lines, rest = payload.split(b"\r")
        for line in lines:
            said = (self._line + line).removeprefix(b"echo ").replace(b"$((6*7))", b"42")
            self.says(line + b"\r\n" + said + b"\r\n$ ")
            self._line = b""
        if rest:
            self._line += rest
            self.says(rest)
