"""Joins one session's program, ring, attachments, keyboard and flow; outlives every socket."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine

import msgspec
import structlog

from relay.agent.audience import Audience, Viewer
from relay.agent.clock import Clock
from relay.agent.driver import Driver
from relay.agent.flow import Flow, GivenUp
from relay.agent.intake import Intake
from relay.agent.outlet import Outlet
from relay.agent.program import Program
from relay.agent.ring import Ring
from relay.rules import frames, ids, limits, messages
from relay.rules.agent_messages import AgentAttach, SessionChanged
from relay.rules.frames import Header, Kind
from relay.rules.messages import Attaching, DriverChanged
from relay.rules.resume import decide_replay

END_GRACE_SECONDS = 5.0  # between "please end" and "end": enough for an editor to save its swap file
ENDED_KEPT_SECONDS = 60.0  # all of its output stays ready for those who lost their node, which costs them up to 40 s
SIGNALLED = 128  # shells add the number of the signal to it


class Session:
    """One session. Everything but `run` and `end` returns at once."""

    def __init__(self, described: messages.Session, outlet: Outlet, clock: Clock, ring: Ring | None = None) -> None:
        self.id = described.id
        self.raw = ids.raw(described.id)
        self.ring = ring or Ring(self.raw, described.epoch)
        self.written = self.ring.head  # up to here the history has it
        self.changed = described.ended_at is None  # the history does not know the description yet
        self._untold = False  # the relay does not know the size yet
        self._described = described
        self._outlet = outlet
        self._clock = clock
        self._audience = Audience(described.id, self.ring, outlet, self._left_behind)
        self._driver = Driver()
        self._intake = Intake(self.ring, self._audience, outlet)
        self._flow = Flow(lossless=described.kind == "exec", began=clock.monotonic())
        self._ending: str | None = None  # why we end it, if it does not end by itself
        self._ended = asyncio.Event()
        self._ended_at = clock.monotonic() if described.ended_at is not None else 0.0
        if described.ended_at is not None:
            self._ended.set()

    @property
    def _program(self) -> Program | None:
        return self._intake.program

    # --- what others see ---------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether its program still runs, or has output to read."""
        return not self._ended.is_set()

    @property
    def began(self) -> float:
        """When it began, in Unix seconds."""
        return self._described.started_at

    def describe(self) -> messages.Session:
        """The session as it is."""
        return msgspec.structs.replace(self._described, attached=len(self._audience))

    def announce(self) -> messages.Session:
        """The session as the relay is told of it, which counts attachments itself."""
        return self._described

    @property
    def left(self) -> bool:
        """Whether it is over and nobody is looking at it."""
        return not self.live and not len(self._audience)

    @property
    def recorded(self) -> bool:
        """Whether the history has all that it keeps of it."""
        return not self.changed and self.written >= self.ring.head

    @property
    def ended_seconds(self) -> float:
        """How long ago it ended, or came back into memory."""
        return self._clock.monotonic() - self._ended_at

    # --- the program -------------------------------------------------------------------------------------------------

    def run(self, program: Program) -> Coroutine[None, None, None]:
        """Take input and output from now on; what is to be awaited until the program has ended."""
        self._intake.program = program
        self._regulate()
        return self._run(program)

    async def _run(self, program: Program) -> None:
        self.finish(await program.ended())

    def received(self, data: bytes, flags: int) -> None:
        """The program wrote something."""
        self._audience.publish(self.ring.append(Kind.OUTPUT, data, flags))
        self._regulate()

    def finish(self, status: int) -> None:
        """The program ended with this status, as `subprocess` counts it, and all its output is in the ring."""
        by = -status if status < 0 else None
        code = SIGNALLED - status if status < 0 else status
        exited = json.dumps({"code": code, "signal": by, "reason": self._ending}).encode()
        self._audience.publish(self.ring.append(Kind.EXIT, exited))
        self._intake.program = None
        self._described = msgspec.structs.replace(
            self._described, ended_at=self._clock.unix(), ended=self._ending or "exit", exit_code=code
        )
        self._ended_at = self._clock.monotonic()
        self._ended.set()
        self.changed = True
        structlog.get_logger().info("session ended", session=self.id, exit_code=code, why=self._described.ended)
        self._outlet.tell(SessionChanged(session=self.announce()))

    async def end(self, reason: str) -> None:
        """End the program: hang up, and if that does not help, kill; returns when it has ended."""
        if self._ending is None:
            self._ending = reason
        self._regulate()
        if self._program is not None:
            self._program.signal(signal.SIGHUP)
            self._program.signal(signal.SIGCONT)  # a stopped job could not even hang up
        try:
            async with asyncio.timeout(END_GRACE_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            self.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """End the program at once, with everything that it has not written yet."""
        if self._program is not None:
            self._program.signal(signal.SIGKILL)
            self._program.abandon()

    # --- attachments -------------------------------------------------------------------------------------------------

    def attach(self, ask: AgentAttach) -> None:
        """Somebody wants the output after what they have: replay it to them, then let common frames apply."""
        now = self._clock.monotonic()
        moved = False
        if ask.mode == "drive":
            moved = self._driver.attached(ask.client, ask.attachment, ask.operator, take=ask.take)
        drives = self._driver.attachment == ask.attachment
        if drives and ask.columns and ask.rows:
            self._resize(ask.columns, ask.rows)  # before the replay, so that the replay includes it
        replay = decide_replay(ask.after, self.ring.epoch, self.ring.first, self.ring.head)
        viewer = self._audience.join(ask, replay.first)
        self._flow.attached(now)
        self._outlet.tell(
            Attaching(
                session=self.id,
                attachment=ask.attachment,
                epoch=self.ring.epoch,
                first=replay.first,
                recovered=replay.recovered,
                driver=drives,
                columns=self._described.columns,
                rows=self._described.rows,
                input=self._intake.inputs.joined(ask.client),
                term=self._driver.term,
            )
        )
        if moved:
            self._keyboard_moved(viewer)
        self._audience.replay(viewer)
        self._regulate()

    def detach(self, number: int, *, dropped: bool, away: bool = False) -> None:
        """An attachment left, or its socket was lost, or its node cannot be reached."""
        viewer = self._audience.leave(number)
        if viewer is not None:
            if away and number == self._driver.attachment:
                self._flow.away()
            self._gone(viewer, dropped=dropped)
            self._regulate()

    def disconnected(self) -> None:
        """The agent's own socket is gone, and all attachments with it; who comes back finds everything as it was."""
        for viewer in self._audience.all():
            self._audience.leave(viewer.number)
            self._gone(viewer, dropped=True)
        self._regulate()

    def take(self, number: int) -> None:
        """An attachment takes the keyboard."""
        viewer = self._audience.find(number)
        if viewer is not None and self.live:
            if self._driver.give(viewer.ask.client, number, viewer.ask.operator):
                self._keyboard_moved(viewer)
            if viewer.size is not None:
                self._resize(*viewer.size)
            self._regulate()

    def frame(self, header: Header, payload: bytes) -> None:
        """An attachment typed, resized, or reports what it has seen."""
        viewer = self._audience.find(header.attachment)
        if viewer is None or header.epoch != self.ring.epoch:
            return  # it left, or speaks of another life of this session
        if header.kind != Kind.SEEN:
            self._input(viewer, header, payload)
        elif self._audience.saw(viewer.number, header.sequence):
            if viewer.number == self._driver.attachment:
                self._flow.driven(viewer.seen_at, self._clock.monotonic())
            self._regulate()

    def pressed(self) -> None:
        """The connection to the relay became full, or has room again."""
        if not self._outlet.pressed:
            self._audience.replay_on()
        self._regulate()

    def tick(self) -> GivenUp | None:
        """Do what is due by time alone; says why the session must be ended, if it must."""
        now = self._clock.monotonic()
        if self._driver.expire(now):
            self._keyboard_moved(None)
        self._intake.inputs.expire(now)
        self._regulate()
        if self._untold:  # once a second at most, because a window is resized in many small steps
            self._untold = False
            self._outlet.tell(SessionChanged(session=self.announce()))
        return self._flow.given_up(now) if self.live and self._ending is None else None

    # --- inside ------------------------------------------------------------------------------------------------------

    def _input(self, viewer: Viewer, header: Header, payload: bytes) -> None:
        if not self._intake.fresh(viewer, header):
            return
        if header.kind == Kind.RESIZE:
            self._intake.note(viewer, header)
            self._resized(viewer, payload)
            return
        if self._driver.client is None and viewer.ask.mode == "drive" and self.live:
            self._driver.give(viewer.ask.client, viewer.number, viewer.ask.operator)  # free: who types first has it
            self._keyboard_moved(viewer)
        self._intake.type(viewer, header, payload, may=self._driver.holds(viewer.ask.client))

    def _resized(self, viewer: Viewer, payload: bytes) -> None:
        if len(payload) != frames.SIZE.size:
            return
        columns, rows = frames.SIZE.unpack(payload)
        if 0 < columns <= limits.TERMINAL_COLUMNS and 0 < rows <= limits.TERMINAL_ROWS:
            viewer.size = (columns, rows)
            if self._driver.holds(viewer.ask.client):
                self._resize(columns, rows)

    def _resize(self, columns: int, rows: int) -> None:
        if (columns, rows) == (self._described.columns, self._described.rows) or self._program is None:
            return
        self._program.resize(columns, rows)
        self._described = msgspec.structs.replace(self._described, columns=columns, rows=rows)
        self.changed = self._untold = True
        self._audience.publish(self.ring.append(Kind.RESIZED, frames.SIZE.pack(columns, rows)))

    def _left_behind(self, viewer: Viewer) -> None:
        self._gone(viewer, dropped=True)

    def _gone(self, viewer: Viewer, *, dropped: bool) -> None:
        now = self._clock.monotonic()
        if viewer.number == self._audience.exempt:
            self._audience.exempt = 0
        if self._driver.left(viewer.number, dropped=dropped, now=now):
            self._keyboard_moved(None)
        if self._audience.newest_of(viewer.ask.client) is None:
            self._intake.inputs.left(viewer.ask.client, now)

    def _keyboard_moved(self, viewer: Viewer | None) -> None:
        """Everybody is told; from now on it is this viewer, or nobody, whom the program waits for."""
        if viewer is None:
            self._flow.free()
        else:
            self._flow.driven(viewer.seen_at, self._clock.monotonic())
        self._audience.exempt = viewer.number if viewer is not None else 0
        driver = self._driver
        self._outlet.tell(
            DriverChanged(session=self.id, attachment=self._audience.exempt, operator=driver.operator, term=driver.term)
        )

    def _regulate(self) -> None:
        """Let the program write, or hold it up."""
        if self._program is not None:
            may = self._flow.may_read(self.ring.end, self._clock.monotonic(), others=len(self._audience) > 0)
            if self._ending is not None or (may and not (self._outlet.pressed and len(self._audience))):
                self._program.resume()
            else:
                self._program.pause()
