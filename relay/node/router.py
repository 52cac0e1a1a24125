"""Joins the parts that deliver: hands what arrives from agents, browsers and other nodes to whoever acts on it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from relay.errors import Close, Offline, RelayError, from_body
from relay.node import hops
from relay.node.agent import Agent
from relay.node.attachments import Attachments, Check
from relay.node.browser import Attachment, Browser
from relay.node.calls import Calls
from relay.node.fanout import Fanout
from relay.node.hub import Hub
from relay.node.interest import Interest
from relay.node.lanes import Lanes
from relay.node.meters import Meters
from relay.node.requests import Operation, Requests
from relay.node.sessions import Sessions, Shown
from relay.rules import ids
from relay.rules.browser_messages import Attach
from relay.rules.machine import iso
from relay.rules.messages import Notice, Operator
from relay.rules.presence import Record
from relay.rules.timing import LANE_TICK_SECONDS, REVOKE_WAIT_SECONDS
from relay.traces import UNTOLD, Span

CLOSED_EARLY = 1_000  # revoked machines whose count is remembered; whoever revokes asks within seconds
TARDY_SECONDS = 1.5 * LANE_TICK_SECONDS  # a node that looks so late has not read yet what the others said meanwhile
UNASKED = 0  # as the number of a call: nobody waits for its answer, for calls count from 1
Locate = Callable[[str, str], Awaitable[Record | None]]  # (workspace, machine) as Redis knows it


class Router:
    """One node's deliveries. What comes in is acted on at once; only questions to other nodes wait."""

    def __init__(
        self,
        boot: str,
        hub: Hub,
        lanes: Lanes,
        locate: Locate,
        shown: Shown,
        meters: Meters,
    ) -> None:
        self.boot = boot
        self._meters = meters
        self._ticked = -math.inf  # monotonic seconds
        self._doubted: dict[str, int] = {}  # who had questions then and was asked to speak, and what they said last
        self._closed_early: dict[str, int] = {}  # by machine: revoked sockets that the tail closed before anybody asked
        self.hub = hub
        self._lanes = lanes
        self._locate = locate
        self._calls = Calls()
        self.sessions = Sessions(hub, lanes, shown)
        self.attachments = Attachments(hub, lanes, self._calls, self.sessions)
        self.interest = Interest(hub, lanes)
        self.fanout = Fanout(hub, lanes, self._overflow)
        self.requests = Requests(hub, lanes, self._calls)
        self.output_arrived = self.fanout.from_lane  # not by way of a method, because it is called for every frame
        lanes.receiver = self

    # --- from this node's sockets ------------------------------------------------------------------------------

    def agent_admitted(self, agent: Agent) -> Agent | None:
        """The agent may speak now; the answer is the connection of this node that it replaces, if there is one."""
        self.hub.knocking.discard(agent)
        older = self.hub.agents.get(agent.machine)
        if older is not None:
            self._forget(older, revoked=False)
        agent.admitted = True
        self.hub.agents[agent.machine] = agent
        for session in agent.hello.sessions:
            self.sessions.announced(agent, session)
        return older

    def agent_left(self, agent: Agent, *, revoked: bool = False) -> None:
        """The agent's socket is gone."""
        self.hub.knocking.discard(agent)
        if self.hub.agents.get(agent.machine) is agent:
            self._forget(agent, revoked=revoked)

    def _forget(self, agent: Agent, *, revoked: bool) -> None:
        del self.hub.agents[agent.machine]
        self.requests.agent_left(agent)
        self.sessions.agent_left(agent, revoked=revoked)

    def browser_left(self, browser: Browser) -> None:
        """The browser's socket is gone."""
        self.hub.browsers.discard(browser)
        self.attachments.browser_left(browser)

    async def attach(self, browser: Browser, workspace: str, ask: Attach, check: Check) -> None:
        """See `Attachments.attach`."""
        await self.attachments.attach(browser, workspace, ask, check, lambda: self._home(workspace, ask.machine))

    async def ask(
        self,
        workspace: str,
        machine: str,
        operation: Operation,
        operator: Operator,
        body: dict[str, Any],
        span: Span | None = None,
    ) -> dict[str, Any]:
        """See `Requests.ask`."""
        return await self.requests.ask(machine, operation, operator, body, lambda: self._home(workspace, machine), span)

    async def _home(self, workspace: str, machine: str) -> str:
        record = await self._locate(workspace, machine)
        if record is None:
            raise Offline("the machine is offline")
        if not record.connected:
            at = iso(record.heard_ms)
            raise Offline(f"the machine is offline, last seen {at}", lastSeenAt=at)
        return record.node

    def _overflow(self, attachment: Attachment) -> None:
        self._meters.limited("OUTBOX_BYTES")
        self.attachments.end(attachment, "behind")

    # --- ends that somebody decided ----------------------------------------------------------------------------

    async def close_machine(
        self, machine: str, code: Close, nodes: list[str], *, below: int | None = None, carried: str = ""
    ) -> tuple[int, list[str]]:
        """Close a machine's sockets on this node and on `nodes` (boot ids), only those with a generation under `below`
        if one is given; the answer is how many were closed, and the nodes that did not confirm within 2 s. `carried`
        names the request that this is a step of."""
        closed = self.close_here(machine, code, below=below)
        asked: dict[str, asyncio.Task[dict[str, Any]]] = {}
        async with asyncio.TaskGroup() as group:
            for boot in nodes:
                if boot != self.boot:
                    asked[boot] = group.create_task(self._close_there(boot, machine, code, below, carried))
        results = {boot: task.result() for boot, task in asked.items()}
        closed += sum(int(result["closed"]) for result in results.values())
        return closed, [boot for boot, result in results.items() if not result["confirmed"]]

    async def _close_there(
        self, boot: str, machine: str, code: Close, below: int | None, carried: str
    ) -> dict[str, Any]:
        call = self._calls.begin(boot)
        hop = hops.CloseHop(call=call, machine=machine, code=int(code), generation=below, trace=carried)
        self._lanes.send_hop(boot, hop)
        try:
            answer = await self._calls.outcome(call, REVOKE_WAIT_SECONDS, taken_seconds=REVOKE_WAIT_SECONDS)
        except RelayError:
            return {"closed": 0, "confirmed": False}
        return {"closed": answer.get("closed", 0), "confirmed": True}

    def revoked(self, machine: str) -> None:
        """The tail says that a machine was revoked: close its sockets, and remember how many for who asks us to."""
        closed = self.close_here(machine, Close.MACHINE_REVOKED)
        if closed:
            self._closed_early[machine] = closed
            if len(self._closed_early) > CLOSED_EARLY:
                self._closed_early.pop(next(iter(self._closed_early)))

    def close_here(self, machine: str, code: Close, *, below: int | None = None, instance: str | None = None) -> int:
        """Close this node's sockets of a machine; the answer is how many, those counted that the tail was quicker to
        close."""
        closed = self._closed_early.pop(machine, 0) if code is Close.MACHINE_REVOKED else 0
        for agent in self.hub.connections(machine):
            if below is not None and (agent.fence is None or agent.generation >= below):
                continue  # one that still asks for its fence is about to hold the newest
            if code is Close.REPLACED and instance == agent.hello.instance:
                agent.socket.close(Close.DRAINING)  # the same installation on a new socket: nobody was replaced
            else:
                agent.socket.close(code)
            self.agent_left(agent, revoked=code is Close.MACHINE_REVOKED)
            closed += 1
        return closed

    def replace_there(self, agent: Agent, boot: str) -> None:
        """Tell the node that held the machine before that this agent has it now. Nobody waits for its answer: in a
        storm that node may be the one that died, and if it lives it hears the same with its next beats."""
        hop = hops.CloseHop(
            call=UNASKED,
            machine=agent.machine,
            code=int(Close.REPLACED),
            generation=agent.generation,
            instance=agent.hello.instance,
        )
        self._lanes.send_hop(boot, hop)

    def notify(self, machine: str, boot: str, code: str, text: str) -> None:
        """Tell the agent of a machine a fact, on whichever node it is; a hint, which nothing depends on."""
        agent = self.hub.agents.get(machine)
        if agent is not None:
            agent.send(Notice(code=code, message=text))
        elif boot != self.boot:
            self._lanes.send_hop(boot, hops.NoticeHop(machine=machine, code=code, text=text))

    # --- from other nodes --------------------------------------------------------------------------------------

    def input_arrived(self, sender: str, machine: bytes, generation: int, frame: bytes) -> None:
        """A frame of a browser on another node."""
        self.fanout.input_from_lane(sender, machine, generation, frame)

    def lane_broken(self, sender: str, *, silent: bool) -> None:
        """Something of that node was lost: attachments to its agents start again, and it does the same with ours. One
        that is silent may never hear of it, so its attachments are let go of here: nobody is to wait for them."""
        self.attachments.lane_broken(sender, away=silent)
        if sender in self.sessions.watchers():
            self._lanes.send_hop(sender, hops.GapHop())
            if silent:
                self.sessions.let_go(sender)

    def cut(self, boot: str, machine: bytes, session: bytes) -> None:
        """Too much of a session is under way to a node that does not take it: its frames, or what was typed here."""
        self.sessions.cut(boot, ids.text(machine), session)
        self.attachments.input_cut(boot, machine, session)

    def hop_arrived(self, sender: str, hop: hops.AnyHop) -> None:
        """A message of another node."""
        self.fanout.flush()  # what that node sent before is on its way before what this says of it
        match hop:
            case hops.AttachHop():
                self.sessions.attach_from(sender, hop)
            case hops.NumberedHop():
                self.attachments.numbered(sender, hop)
            case hops.DetachHop():
                self.sessions.left_from(sender, hop)
            case hops.TakeHop():
                self.sessions.take_from(sender, hop)
            case hops.TellHop() | hops.TellAllHop():
                self.attachments.told(sender, hop)
            case hops.UnknownAttachmentHop():
                self.attachments.unknown(sender, hop)
            case hops.MachineGoneHop():
                self.attachments.machine_gone(sender, hop)
            case hops.RequestHop():
                self.requests.asked(sender, hop)
            case hops.TakenHop():
                self._calls.taken(hop.call)
            case hops.AnswerHop():
                self._answered(hop)
            case hops.CloseHop():
                self._asked_to_close(sender, hop)
            case hops.NoticeHop():
                self.notify(hop.machine, self.boot, hop.code, hop.text)
            case hops.GapHop():
                self.attachments.lane_broken(sender)
            case hops.CutHop():
                self.attachments.cut(sender, hop)
            case hops.InterestHop():
                self.sessions.interested(sender, hop)

    def _asked_to_close(self, sender: str, hop: hops.CloseHop) -> None:
        told = {"operation": "close", "machine": hop.machine}
        span = self.hub.traces.follow("machine close", hop.trace, **told) if hop.trace else UNTOLD  # nobody's request
        closed = self.close_here(hop.machine, Close(hop.code), below=hop.generation, instance=hop.instance)
        self._lanes.send_hop(sender, hops.AnswerHop(call=hop.call, result={"closed": closed}))
        span.end()

    def _answered(self, hop: hops.AnswerHop) -> None:
        if hop.error is not None:
            self._calls.refuse(hop.call, from_body(hop.error))
        else:
            self._calls.answer(hop.call, hop.result or {})

    # --- each second -------------------------------------------------------------------------------------------

    def tick(self, now: float, *, repeat_interest: bool) -> None:
        """Keep lanes alive where there is interest, notice silent ones, let go of what nobody claims."""
        homes, watchers = self.interest.homes(), self.sessions.watchers()
        asked = self._calls.boots()
        self._miss_the_dead(now)
        self._lanes.keep_alive(homes | watchers, asked)
        self._lanes.check_late(homes | watchers | asked, now)
        if not repeat_interest:
            self.interest.tell()
        else:
            self.interest.repeat()
            self.sessions.forget_silent(now)
            self._lanes.forget_idle(now)

    def _miss_the_dead(self, now: float) -> None:
        """Fail questions to nodes that have them and did not say a word since they were asked a second ago whether they
        live, which they answer at once: so a node's death is known within two seconds."""
        if now - self._ticked <= TARDY_SECONDS:
            for boot, latest in self._doubted.items():
                if self._lanes.latest(boot) == latest:
                    self._calls.node_lost(boot)
        self._ticked = now
        self._doubted = {boot: self._lanes.latest(boot) for boot in self._calls.boots_with_questions()}

    def bus_restored(self) -> None:
        """This node was deaf for a while: every lane may have lost something."""
        self._lanes.break_all()
