"""Runs the agent: keeps it connected to some node of its cluster, and its sessions alive whatever happens to that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple

import structlog

from relay.agent.handshake import Dial, Handshakes
from relay.agent.history import History
from relay.agent.identity import Identity
from relay.agent.link import Link, Surroundings
from relay.agent.outlet import Switch
from relay.agent.recorder import Recorder
from relay.agent.requests import Requests
from relay.agent.sessions import Sessions
from relay.agent.verdict import Leave, Park, Return, judge
from relay.client.addresses import usable
from relay.client.back_off import BackOff
from relay.client.dial import open_socket
from relay.client.ends import Closed, Shed
from relay.client.profile import Enrolment, Profile
from relay.errors import Exit, Invalid, LimitReached, RelayError
from relay.rules.agent_messages import (
    AgentAttach,
    AgentDetach,
    AgentWelcome,
    Answer,
    Bye,
    Move,
    Pace,
    Request,
    SessionChanged,
    ToAgent,
)
from relay.rules.messages import ErrorMessage, Nodes, Notice, Take

TICK_SECONDS = 1.0  # how late a keyboard may become free, or a stalled command end
PENDING_REQUESTS = 256  # as many as there can be sessions
WELCOME_SECONDS = 2.0  # that a goodbye waits for a hello under way: the relay may have admitted us already
MOVE_ATTEMPTS = 3  # after that the node that asked will close the socket, and that starts over


class Wiring(NamedTuple):
    """The parts that an agent is made of."""

    profile: Profile
    sessions: Sessions
    history: History
    switch: Switch  # the outlet that the sessions were given
    surroundings: Surroundings


class Agent:
    """The program on a machine, registered already. One `run` is its whole life."""

    def __init__(
        self, enrolment: Enrolment, urls: list[str], parts: Wiring, *, ephemeral: bool = False, dial: Dial = open_socket
    ) -> None:
        self._identity = Identity(parts.profile, enrolment)
        self._urls = urls
        _, self._sessions, history, self._switch, self._surroundings = parts
        self._requests = Requests(self._sessions, history)
        self._ephemeral = ephemeral
        self._handshakes = Handshakes(self._identity, self._sessions, self._surroundings, dial)
        self._recorder = Recorder(self._sessions, history, self._surroundings.clock)
        self._tasks: asyncio.TaskGroup | None = None
        self._link: Link | None = None
        self._moving: asyncio.Task[Link | None] | None = None
        self._parked = False
        self._stopping = False
        self._pending = 0

    # --- the life of the agent ---------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> Leave:
        """Serve until `stop` is set or the relay says to leave; why, and with which exit code."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._sessions.run_in(tasks)
                chores = [tasks.create_task(self._tick()), tasks.create_task(self._recorder.run())]
                serving = tasks.create_task(self._serve())
                stopping = tasks.create_task(stop.wait())
                await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
                leave = serving.result() if serving.done() else await self._say_goodbye(serving)
                for task in (*chores, serving, stopping):
                    task.cancel()
                await self._sessions.end_all()
        finally:
            self._sessions.kill_all()  # nothing is left of a normal end; after a fault nothing must be left either
        await self._recorder.record()
        return leave

    async def _say_goodbye(self, serving: asyncio.Task[Leave]) -> Leave:
        # A cancellation alone can get lost: a task group that is just gathering its errors raises those instead.
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(WELCOME_SECONDS):
                await self._handshakes.answered()
        link = self._link
        moving, self._moving = self._moving, None
        if moving is not None and moving.done():
            link = moving.result() or link
            if link is not self._link and link is not None:  # the relay has us there already, so that is where to leave
                serving.cancel()
                assert self._tasks is not None
                self._tasks.create_task(link.run())
        elif moving is not None:
            moving.cancel()
        if link is None:
            return Leave(Exit.REPLACED if self._parked else Exit.OK, "stopped")
        link.tell(Bye(remove=self._ephemeral))
        await link.leave("bye")
        if self._ephemeral:
            await self._identity.forget()
        return Leave(Exit.OK, "stopped")

    async def _serve(self) -> Leave:
        """Connect, stay, and do what the end of the connection says."""
        clock = self._surroundings.clock
        back_off = BackOff(random=self._surroundings.random)
        turn: Shed | None = None  # a node gave it; whoever finds that node as busy as before asks all of them again
        while True:
            end: RelayError
            try:
                link = await self._connect([turn.node] if turn else [*self._urls, *self._identity.enrolment.nodes])
            except RelayError as error:
                turn = error if isinstance(error, Shed) and turn is None else None
                end = error
            else:
                turn = None
                end = await self._stay(link, back_off)
            if self._stopping:
                return Leave(Exit.OK, "stopped")
            match judge(end):
                case Leave() as leave:
                    if leave.revoked:
                        await self._identity.revoked()
                    return leave
                case Park(line=line):
                    self._parked = True
                    structlog.get_logger().error(line)
                    await asyncio.get_running_loop().create_future()  # until we are told to stop
                case Return():
                    wait = back_off.after(end)
                    structlog.get_logger().warning("not connected", why=end.message, again_in=f"{wait:.1f} s")
                    await clock.sleep(wait)

    async def _stay(self, link: Link, back_off: BackOff) -> Closed:
        """Serve on this connection and on those that follow it by `move`; how the last one ended."""
        clock = self._surroundings.clock
        since = clock.monotonic()  # moves are no new beginning: it was somewhere all the time
        while True:
            self._adopt(link)
            try:
                end = await link.run()
            finally:
                link.abort()
                self._link = self._switch.current = None
                self._sessions.disconnected()
            back_off.connected_for(clock.monotonic() - since)
            structlog.get_logger().info("disconnected", node=link.node, code=end.close_code, reason=end.close_reason)
            moved = await self._moved(end)
            if moved is None:
                return end
            link = moved

    # --- connections -------------------------------------------------------------------------------------------------

    async def _connect(self, nodes: list[str]) -> Link:
        return await self._handshakes.link(nodes, self)

    def _adopt(self, link: Link) -> None:
        """From now on this is the connection; tell it what has changed since its hello."""
        assert self._tasks is not None
        self._tasks.create_task(self._identity.save())
        self._link = self._switch.current = link
        told = {session.id: session for session in link.sessions}
        now = {session.id: session for session in self._sessions.announced()}
        for id, session in now.items():
            if told.get(id) != session:
                link.tell(SessionChanged(session=session))
        for id in told.keys() - now.keys():
            gone = told[id]
            gone.ended_at, gone.ended = self._surroundings.clock.unix(), "exit"
            link.tell(SessionChanged(session=gone))

    async def _move(self, old: Link, nodes: list[str]) -> Link | None:
        """Connect elsewhere and only then let go of the old connection; None if nobody there takes us."""
        back_off = BackOff(random=self._surroundings.random)
        for attempt in range(1, MOVE_ATTEMPTS + 1):
            try:
                named = usable(nodes, self._identity.enrolment.url)
                others = [node for node in named if node != old.node]
                link = await self._connect(others or named)  # behind a balancer there is one address, and it chooses
            except RelayError as error:
                structlog.get_logger().warning("cannot move yet", why=error.message)
                if attempt < MOVE_ATTEMPTS:
                    await self._surroundings.clock.sleep(back_off.after(error))
            else:
                assert self._tasks is not None
                self._tasks.create_task(old.leave("moved"))
                return link
        return None

    async def _moved(self, end: Closed) -> Link | None:
        """The connection that `move` made, if one did and the end of the old one does not forbid it."""
        moving, self._moving = self._moving, None
        if moving is None:
            return None
        if isinstance(judge(end), Return):
            return await moving
        moving.cancel()
        if moving.done() and not moving.cancelled() and (link := moving.result()) is not None:
            link.abort()
        return None

    # --- what the relay says -----------------------------------------------------------------------------------------

    def told(self, link: Link, message: ToAgent) -> None:
        """A control message of the relay."""
        if link is not self._link:
            return  # what the connection that we are leaving still says is about attachments that are gone
        match message:
            case AgentAttach():
                self._sessions.attach(message)
            case AgentDetach():
                self._sessions.detach(message)
            case Take():
                self._sessions.take(message)
            case Request():
                self._asked(link, message)
            case Move(nodes=nodes):
                if self._moving is None or self._moving.done():
                    assert self._tasks is not None
                    structlog.get_logger().info("asked to move", nodes=len(nodes))
                    self._moving = self._tasks.create_task(self._move(link, nodes))
            case Pace(beat_seconds=seconds):
                link.pace(seconds)
            case Nodes(nodes=nodes):
                assert self._tasks is not None
                self._identity.learned(nodes)
                self._tasks.create_task(self._identity.save())
            case Notice(code=code, message=text):
                structlog.get_logger().warning(text, code=code)
            case ErrorMessage(code=code, message=text):
                structlog.get_logger().warning("the relay refused a message", code=code, why=text)
            case AgentWelcome():
                raise Invalid("a second welcome")

    def given(self, link: Link, frame: bytes) -> None:
        """A frame of an attachment."""
        if link is self._link:
            self._sessions.frame(frame)

    def pressed(self) -> None:
        """The connection became full, or has room again."""
        self._sessions.pressed()

    def _asked(self, link: Link, request: Request) -> None:
        if self._pending >= PENDING_REQUESTS:
            error = LimitReached("this machine has too many requests to answer", limit="PENDING_REQUESTS")
            link.tell(Answer(ref=request.ref, error=error.body()))
            return
        assert self._tasks is not None
        self._pending += 1
        self._tasks.create_task(self._answer(link, request))

    async def _answer(self, link: Link, request: Request) -> None:
        try:
            link.tell(await self._requests.answer(request))
        finally:
            self._pending -= 1

    async def _tick(self) -> None:
        while True:
            await self._surroundings.clock.sleep(TICK_SECONDS)
            self._sessions.tick()
