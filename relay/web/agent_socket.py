"""Talks with one agent: hello, admission under a fence, beats, and everything its sessions say."""

from __future__ import annotations

import asyncio
from typing import Literal

from starlette.websockets import WebSocket

from relay.errors import Close, Invalid, LimitReached, RelayError, Unavailable
from relay.node.agent import Agent, connection_of
from relay.node.infos import info_of
from relay.node.socket import Carrier
from relay.rules import ids, tokens
from relay.rules.agent_messages import (
    AgentHello,
    AgentWelcome,
    Answer,
    AttachRefused,
    Beat,
    Behind,
    Bye,
    FromAgent,
    SessionChanged,
    from_agent,
)
from relay.rules.machine import Registered
from relay.rules.messages import Attached, Attaching, DriverChanged, ErrorMessage, InputRefused, Notice, Session
from relay.rules.presence import Fence, Info
from relay.rules.tokens import MachineToken
from relay.store import Admitted, Announcement
from relay.web import departure
from relay.web.auth import bearer_token
from relay.web.departure import Departure
from relay.web.refusals import of_old, refusal
from relay.web.sockets import Doors
from relay.web.standing import described, row_of, settle_first

ANNOUNCEMENTS = 4  # of one hello to a shard that has to be loaded: changes go on while it is


async def agent_conversation(doors: Doors, websocket: WebSocket, socket: Carrier) -> AgentConversation:
    """Who listens to an agent with a sound token; raises `BadToken` before anything is said."""
    token = tokens.read_machine(doors.parts.secrets, bearer_token(websocket.headers) or "")
    return AgentConversation(doors, socket, token)


class AgentConversation:
    """One agent connection: `hello` until it said who it is, `admitting` while Redis is asked, then `admitted`."""

    __slots__ = ("_agent", "_announcing", "_doors", "_loop", "_rehosting", "_removes", "_socket", "_state",
                 "_token", "_why")  # fmt: skip

    def __init__(self, doors: Doors, socket: Carrier, token: MachineToken) -> None:
        self._doors = doors
        self._socket = socket
        self._token = token
        self._loop = asyncio.get_running_loop()
        self._state: Literal["hello", "admitting", "admitted"] = "hello"
        doors.hellos.begin(self)
        self._agent: Agent | None = None
        self._announcing = ""  # the connection id in a hello that Redis has not answered
        self._removes = False  # it said goodbye for good
        self._rehosting = False
        self._why = ""  # it was turned away, where the close code does not say so

    def too_late(self) -> None:
        """See `Waited`: it has not said hello."""
        self._socket.refuse(Invalid("no hello in time"))

    # --- what arrives ------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        """A control message; raises `Invalid` for one that is malformed or not due."""
        message = from_agent(text)
        if self._state == "hello":
            if not isinstance(message, AgentHello):
                raise Invalid("the first message is hello")
            self._hello(message)
            return
        agent = self._admitted()
        agent.heard = self._loop.time()
        if agent.fence is not None:
            self._doors.router.fanout.flush()  # what it sent before is on its way before what this says of it
            self._act(agent, message)

    def binary(self, frame: bytes) -> None:
        """A frame of a session."""
        agent = self._admitted()
        agent.heard = self._loop.time()
        self._doors.router.fanout.from_agent(agent, frame)

    def flush(self) -> None:
        """One read is handed over: its frames go out."""
        self._doors.router.fanout.flush()

    def _admitted(self) -> Agent:
        if self._state != "admitted" or self._agent is None:
            raise Invalid("nothing but hello is due before the welcome")
        return self._agent

    def _act(self, agent: Agent, message: FromAgent) -> None:
        router = self._doors.router
        match message:
            case Beat():
                if message.hostname is not None and message.hostname != agent.hello.hostname:
                    agent.hello.hostname = message.hostname
                    self._rehost_soon(agent)
            case SessionChanged():
                self._announced(agent, message.session)
            case Attaching() | AttachRefused() | Attached() | Behind() | InputRefused():
                router.sessions.told(agent, message)
            case DriverChanged():
                router.sessions.told_all(agent, message)
            case Answer():
                router.requests.answered(agent, message)
            case Bye():
                agent.bye = True
                if message.remove and not self._removes:
                    self._removes = True
                    self._socket.spawn(departure.remove(self._doors.parts, agent))
            case AgentHello():
                raise Invalid("a second hello")

    def _announced(self, agent: Agent, session: Session) -> None:
        try:
            self._doors.router.sessions.announced(agent, session)
        except LimitReached as error:  # one session too many is no reason to lose the others
            limit = str(error.extra.get("limit"))
            self._doors.meters.limited(limit)
            agent.send(ErrorMessage(code=error.code, message=error.message, session=session.id, limit=limit))

    # --- admission ---------------------------------------------------------------------------------------------

    def _hello(self, hello: AgentHello) -> None:
        self._state = "admitting"
        self._doors.hellos.end(self)
        token = self._token
        agent = Agent(self._socket, token.workspace, token.machine, hello, self._loop.time())
        agent.secret = token.secret
        self._agent = agent
        self._doors.hub.knocking.add(agent)  # first in, then checked: a revocation in between finds it
        self._socket.spawn(self._let_in(agent))

    async def _let_in(self, agent: Agent) -> None:
        """Admit it; raises what it is told instead, in a close code that it knows."""
        try:
            await self._admit(agent)
        except Unavailable as error:
            self._why = error.close.reason
            if agent.hello.knows_unavailable:
                raise
            raise of_old(error) from error

    async def _admit(self, agent: Agent) -> None:
        doors = self._doors
        shadowed = await settle_first(doors.parts, agent, self._token.token_version)
        announced = _first_info(agent)
        admitted = await self._announce(agent, announced)
        agent.fence = admitted.fence
        row = await row_of(doors.parts, agent)
        if self._gives_way(agent, admitted.fence) or self._socket.closing is not None:
            return  # somebody decided otherwise meanwhile
        older = doors.router.agent_admitted(agent)
        if older is not None:
            same = older.hello.instance == agent.hello.instance
            older.socket.close(Close.DRAINING if same else Close.REPLACED)
        if admitted.previous_connected and admitted.previous_node not in (None, doors.boot):
            doors.router.replace_there(agent, str(admitted.previous_node))
        elif admitted.again:  # whoever had it before may be anywhere
            for boot in doors.membership.boots():
                doors.router.replace_there(agent, boot)
        self._state = "admitted"
        said, agent.heard = agent.heard, self._loop.time()
        doors.hello_seconds.add(agent.heard - said)
        agent.send(
            AgentWelcome(
                connection=admitted.fence.connection,
                generation=admitted.fence.generation,
                beat_seconds=doors.parts.rhythm().beat_seconds,
                nodes=doors.membership.urls(),
                machine=described(agent, row),
                machine_token=self._renewed(agent),
            )
        )
        if info_of(agent) != announced:  # else Redis was told with the announcement
            doors.infos.changed(agent)
        if shadowed is not None and row is not None:
            self._socket.spawn(self._tell_both(agent, row.name, shadowed))
        doors.log.info("an agent joined", generation=agent.generation, **_ids(agent))
        if row is not None and row.hostname != agent.hello.hostname:
            self._rehost_soon(agent)

    def _renewed(self, agent: Agent) -> str | None:
        """The agent's token by the secret that signs now, if another signed the one it showed and it keeps a new one:
        so the old secret is needed no more once every agent has connected twice."""
        secrets, token = self._doors.parts.secrets, self._token
        if not agent.hello.renews or token.secret == secrets.first.id:
            return None
        agent.secret = secrets.first.id
        return tokens.sign_machine(secrets, token.workspace, token.machine, token.token_version)

    def _gives_way(self, agent: Agent, fence: Fence) -> bool:
        """Close if a newer connection of the machine was faster to be admitted here."""
        holder = self._doors.hub.agents.get(agent.machine)
        if holder is None or holder.fence is None or fence.relation(holder.fence) != "older":
            return False
        same = holder.hello.instance == agent.hello.instance
        self._socket.close(Close.DRAINING if same else Close.REPLACED)
        return True

    async def _announce(self, agent: Agent, info: Info) -> Admitted:
        """Take the machine; raises what a refusal means to the agent."""
        doors = self._doors
        doors.membership.trust.check()
        connection = self._announcing = ids.text(doors.parts.randomness(ids.RAW_BYTES))
        for attempt in range(ANNOUNCEMENTS):
            upto = doors.tail.number
            answer = await doors.admissions.announce(
                Announcement(
                    workspace=agent.workspace,
                    machine=agent.machine,
                    token_version=self._token.token_version,
                    connection=connection,
                    node=doors.boot,
                    known_generation=agent.hello.generation,
                    info=info,
                    revocations_upto=upto,
                )
            )
            if isinstance(answer, Admitted):
                self._announcing = ""
                return answer
            if answer.reason != "mirror-behind" or attempt == ANNOUNCEMENTS - 1:
                self._announcing = ""
                raise refusal(answer)
            await doors.mirror.load(doors.mirror.shard(agent.workspace), upto)
        raise AssertionError("the last attempt is answered or refused")

    async def _tell_both(self, agent: Agent, name: str, other: Registered) -> None:
        agent.send(Notice(code="name-taken-over", message=f"the name {name} was taken over from {other.id}"))
        try:
            record = await self._doors.parts.presence.locate(other.workspace, other.id)
        except RelayError:
            return  # a notice is a hint, and no reason to lose the connection that was just made
        if record is not None and record.connected:
            text = f"the name {name} was taken over by {agent.machine}; this machine goes on by id and hostname"
            self._doors.router.notify(other.id, record.node, "shadowed", text)

    def _rehost_soon(self, agent: Agent) -> None:
        """Store what the machine calls itself now, once at a time however often it changes its mind."""
        if not self._rehosting:
            self._rehosting = True
            self._socket.spawn(self._rehost(agent))

    async def _rehost(self, agent: Agent) -> None:
        """The machine calls itself something else now: the id stays."""
        parts, stored = self._doors.parts, ""
        try:
            while stored != agent.hello.hostname:  # it may change its mind at any moment of this
                stored = agent.hello.hostname
                try:
                    await parts.registry.machines.set_hostname(agent.machine, stored, parts.clock())
                    await parts.changed()
                except RelayError as error:
                    self._doors.log.warning("a hostname is not stored", machine=agent.machine, why=error.message)
        finally:
            self._rehosting = False
        self._doors.infos.changed(agent)

    # --- the end -----------------------------------------------------------------------------------------------

    def closed(self, code: int, reason: str) -> None:
        """Let go of the machine, under this connection's own fence: a newer connection is not touched by it. A machine
        that only stopped answering keeps its deadline, 90 s after it was last heard."""
        agent, doors, token = self._agent, self._doors, self._token
        doors.hellos.end(self)
        doors.left("agent", code)
        connection = self._announcing if agent is None or agent.fence is None else agent.fence.connection
        known = {"machine": token.machine, "workspace": token.workspace, "connection": connection}
        doors.log.info("an agent left", code=code, reason=reason, **known)
        if self._state != "admitted" and self._socket.closing is not None:
            doors.meters.refused("agent", self._why or self._socket.closing.reason)
        if agent is None:
            return
        revoked = self._socket.closing is Close.MACHINE_REVOKED
        doors.router.agent_left(agent, revoked=revoked)
        if (agent.fence is not None or self._announcing) and not revoked:
            left = Departure(agent, self._announcing, seen_to_drop=code != Close.NO_PONG, for_good=self._removes)
            doors.carriage.errands.start(departure.store(doors, left))


def _ids(agent: Agent) -> dict[str, str]:
    """What joins the lines of a log about one connection of a machine."""
    return {"machine": agent.machine, "workspace": agent.workspace, "connection": connection_of(agent)}


def _first_info(agent: Agent) -> Info:
    hello = agent.hello
    info = info_of(agent)
    info.sessions = sum(session.ended_at is None for session in hello.sessions)
    return info
