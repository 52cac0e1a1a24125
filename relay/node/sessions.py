"""Keeps the sessions of agents on this node: who holds which attachment number, here and on other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from relay.errors import Conflict, LimitReached, NotFound, RelayError, Unavailable
from relay.node import hops
from relay.node.agent import Agent, connection_of
from relay.node.audience import Told
from relay.node.browser import Attachment
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.node.route import Holder, Route
from relay.rules import ids
from relay.rules.agent_messages import AgentAttach, AgentDetach, AttachRefused, Behind
from relay.rules.browser_messages import Attach
from relay.rules.limits import ATTACHMENTS_PER_SESSION, SESSIONS_PER_MACHINE
from relay.rules.messages import Attached, Attaching, DriverChanged, Operator, Session, Take
from relay.rules.timing import INTEREST_FORGET_SECONDS


class Shown(NamedTuple):
    """How what is shown of an agent follows its sessions: since when somebody is on, and whom to tell of a change."""

    unix_ms: Callable[[], int]
    changed: Callable[[Agent], None]


class Sessions:
    """The agent's side of attachments. Sessions belong to the connection that announced them and end with it."""

    def __init__(self, hub: Hub, lanes: Lanes, shown: Shown) -> None:
        self._hub = hub
        self._lanes = lanes
        self._unix_ms = shown.unix_ms
        self._changed = shown.changed

    def announced(self, agent: Agent, session: Session) -> None:
        """The agent has this session now, changed it, or ended it; raises `LimitReached`. What has ended stays so,
        whatever arrives late."""
        raw = ids.raw(session.id)
        route = agent.sessions.get(raw)
        if route is not None:
            if route.described.ended_at is not None and session.ended_at is None:
                return
            route.described = session
        else:
            if len(agent.sessions) >= SESSIONS_PER_MACHINE:
                self._drop_one_ended(agent)
            agent.sessions[raw] = Route(session)
        self._changed(agent)

    def _drop_one_ended(self, agent: Agent) -> None:
        """Ended sessions stay attachable, because a command may end before anybody could attach; but not for ever."""
        for raw, route in agent.sessions.items():
            if route.described.ended_at is not None and not route.holders:
                del agent.sessions[raw]
                return
        raise LimitReached("too many sessions on one machine", limit="SESSIONS_PER_MACHINE")

    def attach_here(self, agent: Agent, attachment: Attachment) -> None:
        """Give an attachment here its number and pass it on; raises `NotFound`, `Conflict`, `LimitReached`."""
        carried = attachment.span.carried
        route, number = self._number(agent, attachment.session, None, attachment.browser.operator, carried)
        attachment.number = number
        if attachment.key in attachment.browser.attachments:
            route.release(number)
            raise Conflict("this socket holds that session id of another machine")
        attachment.browser.attachments[attachment.key] = attachment
        route.audience.pending[number] = attachment
        browser, ask = attachment.browser, attachment.ask
        agent.send(_attach(number, ask, browser.client, browser.operator, route.holders[number].span.carried))

    def attach_from(self, sender: str, hop: hops.AttachHop) -> None:
        """The same for an attachment of another node, which is told its number or the error."""
        agent = self._hub.agents.get(hop.machine)
        try:
            if agent is None:
                raise Unavailable("this node does not hold the machine any more")
            route, number = self._number(agent, ids.raw(hop.session), sender, hop.operator, hop.trace)
        except RelayError as error:
            self._lanes.send_hop(sender, hops.AnswerHop(call=hop.call, error=error.body()))
            return
        numbered = hops.NumberedHop(call=hop.call, attachment=number, generation=agent.generation)
        self._lanes.send_hop(sender, numbered)
        agent.send(_attach(number, hop, hop.client, hop.operator, route.holders[number].span.carried))

    def _number(
        self, agent: Agent, session: bytes, boot: str | None, operator: Operator, carried: str
    ) -> tuple[Route, int]:
        route = agent.sessions.get(session)
        if route is None:
            raise NotFound("no such session on this machine")
        if len(route.holders) >= ATTACHMENTS_PER_SESSION:
            raise LimitReached("too many attachments to one session", limit="ATTACHMENTS_PER_SESSION")
        holder = Holder(boot, operator, asyncio.get_running_loop().time(), self._unix_ms())
        holder.span = self._hub.traces.follow(
            "machine attach",
            carried,
            operation="attach",
            machine=agent.machine,
            workspace=agent.workspace,
            connection=connection_of(agent),
            session=route.described.id,
        )
        number = route.hold(holder)
        self._changed(agent)
        return route, number

    def told(self, agent: Agent, message: Told) -> None:
        """The agent speaks to one attachment; what changes here changes at once, in the order of its stream."""
        route = agent.sessions.get(ids.raw(message.session))
        holder = route.holders.get(message.attachment) if route is not None else None
        if route is None or holder is None:
            return  # it left while this was under way
        if isinstance(message, Attaching | AttachRefused):
            holder.span.end("" if isinstance(message, Attaching) else NotFound.code)
        if holder.boot is None:
            route.audience.hear(message)
        else:
            if isinstance(message, Attached):
                route.remote.setdefault(holder.boot, set()).add(message.attachment)
            hop = hops.TellHop(machine=agent.machine, generation=agent.generation, message=message)
            self._lanes.send_hop(holder.boot, hop)
        if isinstance(message, Behind | AttachRefused):
            route.release(message.attachment)
            self._changed(agent)

    def told_all(self, agent: Agent, message: DriverChanged) -> None:
        """The agent speaks to everybody attached to a session."""
        route = agent.sessions.get(ids.raw(message.session))
        if route is None:
            return
        for attachment in route.audience.all():
            attachment.tell(message)
        hop = hops.TellAllHop(machine=agent.machine, generation=agent.generation, message=message)
        for boot in {holder.boot for holder in route.holders.values() if holder.boot is not None}:
            self._lanes.send_hop(boot, hop)

    def left(
        self, machine: str, session: bytes, number: int, boot: str | None, *, dropped: bool = False, away: bool = False
    ) -> None:
        """An attachment held by `boot` (None: by this node) left; what the agent makes of that is in `AgentDetach`."""
        agent = self._hub.agents.get(machine)
        route = agent.sessions.get(session) if agent is not None else None
        holder = route.holders.get(number) if route is not None else None
        if agent is None or route is None or holder is None or holder.boot != boot:
            return
        route.release(number)
        route.audience.leave(number)
        agent.send(AgentDetach(session=route.described.id, attachment=number, dropped=dropped, away=away))
        self._changed(agent)

    def take(self, machine: str, session: bytes, number: int, boot: str | None) -> None:
        """An attachment held by `boot` takes the keyboard."""
        agent = self._hub.agents.get(machine)
        route = agent.sessions.get(session) if agent is not None else None
        holder = route.holders.get(number) if route is not None else None
        if agent is not None and route is not None and holder is not None and holder.boot == boot:
            agent.send(Take(session=route.described.id, attachment=number))

    def left_from(self, sender: str, hop: hops.DetachHop) -> None:
        """An attachment of another node left, if it was on the connection that the agent still has: numbers begin
        anew on the next one."""
        if self._current(hop.machine, hop.generation):
            session = ids.raw(hop.session)
            self.left(hop.machine, session, hop.attachment, sender, dropped=hop.dropped, away=hop.away)

    def take_from(self, sender: str, hop: hops.TakeHop) -> None:
        """The same for one that takes the keyboard."""
        if self._current(hop.machine, hop.generation):
            self.take(hop.machine, ids.raw(hop.session), hop.attachment, sender)

    def _current(self, machine: str, generation: int) -> bool:
        agent = self._hub.agents.get(machine)
        return agent is not None and agent.generation == generation

    def cut(self, boot: str, machine: str, session: bytes) -> None:
        """Another node did not take what was under way to it of a session: let go of its attachments and tell it, in
        order behind the frames that it still gets."""
        agent = self._hub.agents.get(machine)
        route = agent.sessions.get(session) if agent is not None else None
        if agent is None or route is None:
            return  # it ended meanwhile, which the other node is told as well
        for number, holder in list(route.holders.items()):
            if holder.boot == boot:
                self.left(machine, session, number, boot, dropped=True, away=True)
        hop = hops.CutHop(machine=machine, generation=agent.generation, session=ids.text(session))
        self._lanes.send_hop(boot, hop)

    def agent_left(self, agent: Agent, *, revoked: bool) -> None:
        """The agent's connection ended: so do all attachments to it, here and elsewhere."""
        boots = {h.boot for route in agent.sessions.values() for h in route.holders.values() if h.boot is not None}
        for boot in boots:
            hop = hops.MachineGoneHop(machine=agent.machine, generation=agent.generation, revoked=revoked)
            self._lanes.send_hop(boot, hop)
        for route in agent.sessions.values():
            for holder in route.holders.values():
                holder.span.end(Unavailable.code)
            route.audience.dismiss("machine-revoked" if revoked else "machine-gone")
        agent.sessions.clear()

    def interested(self, sender: str, hop: hops.InterestHop) -> None:
        """Another node repeats which attachments it still has; those that we lack must be made again."""
        now = asyncio.get_running_loop().time()
        for machine, session, number, generation in hop.attachments:
            agent = self._hub.agents.get(machine) if self._current(machine, generation) else None
            route = agent.sessions.get(ids.raw(session)) if agent is not None else None
            holder = route.holders.get(number) if route is not None else None
            if holder is not None and holder.boot == sender:
                holder.seen = now
            else:
                lost = hops.UnknownAttachmentHop(
                    machine=machine, generation=generation, session=session, attachment=number
                )
                self._lanes.send_hop(sender, lost)

    def forget_silent(self, now: float) -> None:
        """Let go of other nodes' attachments that nobody has claimed for a while; `now` in monotonic seconds."""
        for agent in list(self._hub.agents.values()):
            for session, route in list(agent.sessions.items()):
                for number, holder in list(route.holders.items()):
                    if holder.boot is not None and now - holder.seen > INTEREST_FORGET_SECONDS:
                        self.left(agent.machine, session, number, holder.boot, dropped=True, away=True)

    def let_go(self, boot: str) -> None:
        """Let go of all attachments of another node, which is not heard any more; when it is heard again it is told
        that they are unknown here, and their browsers attach again."""
        for agent in list(self._hub.agents.values()):
            for session, route in list(agent.sessions.items()):
                for number, holder in list(route.holders.items()):
                    if holder.boot == boot:
                        self.left(agent.machine, session, number, boot, dropped=True, away=True)

    def watchers(self) -> set[str]:
        """The other nodes that hold attachments to agents here."""
        return {
            holder.boot
            for agent in self._hub.agents.values()
            for route in agent.sessions.values()
            for holder in route.holders.values()
            if holder.boot is not None
        }


def _attach(number: int, ask: Attach | hops.AttachHop, client: str, operator: Operator, carried: str) -> AgentAttach:
    """What the agent is told of an attach, whichever node its browser is on."""
    return AgentAttach(
        session=ask.session,
        attachment=number,
        client=client,
        mode=ask.mode,
        operator=operator,
        after=ask.after,
        columns=ask.columns,
        rows=ask.rows,
        take=ask.take,
        traceparent=carried,
    )
