"""Plays one machine's agent: hello, beats, moves, and its sessions, over lines that cost little."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import NamedTuple

from loadtests.engine.line import Line
from loadtests.engine.peer import Peer, World
from loadtests.engine.talk import Talk
from relay.agent.agent import MOVE_ATTEMPTS
from relay.client.addresses import usable
from relay.client.back_off import BackOff
from relay.client.dial import AGENT_PATH
from relay.client.ends import Closed
from relay.errors import Invalid, RelayError
from relay.rules import frames, ids, timing
from relay.rules.agent_messages import (
    AgentAttach,
    AgentDetach,
    AgentHello,
    AgentWelcome,
    Answer,
    AttachRefused,
    Beat,
    Bye,
    Move,
    Request,
    to_agent,
)
from relay.rules.messages import Message, Take

DUE = struct.Struct(">d")  # what a ping carries: when its beat was due


class Seat(NamedTuple):
    """Who one machine is, and what runs on it."""

    id: str
    name: str
    hostname: str
    instance: str
    token: str
    sessions: tuple[str, ...] = ()
    beat_seconds: float = 0.0  # between two beats; 0: as the relay says
    echoes: bool = False  # its programs answer what is typed with the same
    group: str = ""  # with whom it comes and goes


class Machine(Peer):
    """One agent. It is the outlet of its own sessions."""

    role, path, steps = "agent", AGENT_PATH, timing.AGENT_BACK_OFF_SECONDS

    def __init__(self, seat: Seat, world: World, *, removes: bool = False) -> None:
        super().__init__(seat.id, seat.token, world)
        self.seat = seat
        self.talks = [Talk(id, self, world.tally, echoes=seat.echoes) for id in seat.sessions]
        self._by_id = {talk.id: talk for talk in self.talks}
        self._by_raw = {ids.raw(talk.id): talk for talk in self.talks}
        self._generation = 0
        self._removes = removes  # asks the relay to forget the machine when it leaves
        self._moving: asyncio.Task[Line | None] | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._beat_due = 0.0

    # --- the outlet of sessions --------------------------------------------------------------------------------------

    @property
    def pressed(self) -> bool:
        """Whether the connection takes nothing at the moment."""
        return self.line is not None and self.line.full

    def send(self, frame: bytes) -> None:
        """Send a frame; without a connection it is dropped, because whoever returns asks for what is missing."""
        if self.line is not None:
            self.line.send(frame)

    def tell(self, message: Message) -> None:
        """Send a control message, likewise."""
        if self.line is not None:
            self.line.tell(message)

    # --- a peer's life -----------------------------------------------------------------------------------------------

    def hello(self) -> AgentHello:
        """With all sessions that run here."""
        seat = self.seat
        sessions = [talk.session.announce() for talk in self.talks]
        return AgentHello(
            instance=seat.instance,
            hostname=seat.hostname,
            version="1.0.0",
            pid=1,
            generation=self._generation,
            sessions=sessions,
            knows_unavailable=True,
        )

    def welcomed(self, line: Line, text: bytes) -> bool:
        """Beat from now on, on this line."""
        welcome = to_agent(text)
        if not isinstance(welcome, AgentWelcome):
            return False
        if self.line is not None:
            self._disconnected()
        self._generation = welcome.generation
        self.nodes = list(dict.fromkeys([*self.world.urls, *usable(welcome.nodes, self.world.urls[0])]))
        every = self.seat.beat_seconds or welcome.beat_seconds
        if self._beating is not None:
            self._beating.cancel()
        self._beat_due = time.monotonic()
        self._beat_later(line, every)
        return True

    def _beat_later(self, line: Line, every: float) -> None:
        self._beat_due += every * (1 - self.world.random.uniform(0, timing.BEAT_JITTER))
        wait = max(0.0, self._beat_due - time.monotonic())
        self._beating = asyncio.get_running_loop().call_later(wait, self._beat, line, every)

    def _beat(self, line: Line, every: float) -> None:
        if self.line is line:
            line.tell(Beat())
            line.ping(DUE.pack(self._beat_due))  # a beat has no answer of its own; this one is given behind it
            self.world.tally.begun["beats"] += 1
            self._beat_later(line, every)

    def ponged(self, line: Line, payload: bytes) -> None:
        """The node has read the beat before."""
        self.world.tally.took["beat"].append(time.monotonic() - DUE.unpack(payload)[0])

    def lost(self, end: Closed | None) -> None:
        """Sessions go on without attachments."""
        self._disconnected()

    def _disconnected(self) -> None:
        for talk in self.talks:
            if talk.attended:
                talk.disconnected()

    def farewell(self, line: Line) -> None:
        """Say that it is on purpose."""
        line.tell(Bye(remove=self._removes and self.for_good))

    # --- what the relay says -----------------------------------------------------------------------------------------

    def heard(self, text: bytes) -> None:
        """A control message."""
        match to_agent(text):
            case AgentAttach() as ask if ask.session in self._by_id:
                self._by_id[ask.session].attach(ask)
            case AgentAttach() as ask:
                gone = "this machine has no such session"
                self.tell(AttachRefused(session=ask.session, attachment=ask.attachment, message=gone))
            case AgentDetach() as left if left.session in self._by_id:
                self._by_id[left.session].detach(left)
            case Take() as take if take.session in self._by_id:
                self._by_id[take.session].session.take(take.attachment)
            case Request(ref=ref):
                self.tell(Answer(ref=ref, error=Invalid("a load test runs here").body()))
            case Move(nodes=nodes):
                self._asked_to_move(nodes)

    def given(self, line: Line, frame: bytes) -> None:
        """A frame of somebody attached."""
        header = frames.read_header(frame, frames.FROM_BROWSER)
        talk = self._by_raw.get(header.session)
        if talk is not None and line is self.line:
            talk.frame(header, frame)

    def crowded(self, line: Line) -> None:
        """The connection became full, or has room again."""
        if line is self.line:
            for talk in self.talks:
                talk.session.pressed()

    def tick(self) -> None:
        """What sessions do by time alone; called about each second."""
        for talk in self.talks:
            if talk.attended:
                talk.session.tick()

    # --- moves -------------------------------------------------------------------------------------------------------

    def _asked_to_move(self, nodes: list[str]) -> None:
        if self._moving is None or self._moving.done():
            assert self.line is not None
            self._moving = asyncio.get_running_loop().create_task(self._move(self.line, nodes))

    async def _move(self, old: Line, nodes: list[str]) -> Line | None:
        """Connect elsewhere and only then let go of the old connection."""
        back_off = BackOff(random=self.world.random)
        named = usable(nodes, self.world.urls[0])
        for _ in range(MOVE_ATTEMPTS):
            try:
                others = [node for node in named if node != old.node] or named
                line = await self.connect(others, time.monotonic())
            except RelayError as error:
                await asyncio.sleep(back_off.after(error))
            else:
                self.world.tally.begun["moves"] += 1
                old.leave("moved")
                return line
        return None

    async def replacement(self) -> Line | None:
        """The line that a move made."""
        moving, self._moving = self._moving, None
        return await moving if moving is not None else None
