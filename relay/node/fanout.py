"""Moves frames, an agent's to everybody attached and a browser's to its agent, reading headers and never payloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from relay.errors import Close, Invalid, RelayError
from relay.node.agent import Agent
from relay.node.audience import Audience
from relay.node.browser import Attachment, Browser
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.node.route import Route
from relay.node.traffic import Traffic
from relay.rules import frames, ids, websocket
from relay.rules.frames import EVERYBODY, FROM_AGENT, FROM_BROWSER, OUTPUT_KINDS, Header, Kind
from relay.rules.limits import KIB
from relay.rules.messages import ErrorMessage, InputRefused

JOINED_BYTES = 64 * KIB  # frames of one session; more go out in several writes, so that a full outbox refuses less

Overflow = Callable[[Attachment], None]  # an attachment whose outbox is full
Sender = tuple[Agent, Route, bytes]  # an agent here, and one of its sessions


class Fanout:
    """The path of every frame through this node."""

    def __init__(self, hub: Hub, lanes: Lanes, overflow: Overflow) -> None:
        self._hub = hub
        self._lanes = lanes
        self._overflow = overflow
        self._due: list[tuple[Audience, Sender | None]] = []  # whose `due` waits; without a sender: of another node
        self.traffic = Traffic()

    def from_agent(self, agent: Agent, frame: bytes) -> None:
        """Pass an agent's frame on, at the latest with the next `flush`; raises `Invalid` for a bad header."""
        kind, _flags, number, _epoch, session, _sequence = frames.read_fields(frame, FROM_AGENT)
        self.traffic.agent_in += 1
        self.traffic.agent_in_bytes += len(frame)
        route = agent.sessions.get(session)
        if route is None:
            agent.send(ErrorMessage(code="not-found", message="no such session", session=ids.text(session)))
        elif number != EVERYBODY:
            self.flush()
            self._to_one(agent, route, session, number, websocket.binary(frame))
        elif kind not in OUTPUT_KINDS:
            raise Invalid("only output goes to everybody")
        else:
            audience = route.audience
            if audience.group or route.remote:
                if not audience.due:  # nodes do not come or go between the frames of one read
                    self._due.append((audience, (agent, route, session) if route.remote else None))
                self._add(audience, websocket.binary(frame), 1)

    def _add(self, audience: Audience, ready: bytes, count: int) -> None:
        audience.due.append(ready)
        audience.due_frames += count
        audience.due_bytes += len(ready)
        if audience.due_bytes > JOINED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what everybody attached to a session gets, however many frames it is: one write for each attachment."""
        if not self._due:
            return
        due, self._due = self._due, []
        for audience, sender in due:
            try:
                count = audience.due_frames
                ready = audience.take()
                if audience.group:
                    self._to_group(audience.group, ready, count)
                if sender is not None:
                    self._to_nodes(*sender, ready, count)
            except Exception:  # a mistake of ours costs these frames, whose numbers will be missed, and no others
                structlog.get_logger().exception("frames could not be sent")

    def _to_group(self, group: dict[int, Attachment], ready: bytes, count: int) -> None:
        self.traffic.browser_out += count * len(group)
        self.traffic.browser_out_bytes += len(ready) * len(group)
        full: list[Attachment] | None = None
        for attachment in group.values():
            if not attachment.browser.socket.send_ready(ready):
                full = [attachment] if full is None else [*full, attachment]
        if full is not None:
            for attachment in full:
                self._overflow(attachment)

    def _to_nodes(self, agent: Agent, route: Route, session: bytes, ready: bytes, count: int) -> None:
        self.traffic.node_out += count * len(route.remote)
        for boot in route.remote:
            self._lanes.send_output(boot, agent.raw, agent.generation, session, EVERYBODY, ready)

    def _to_one(self, agent: Agent, route: Route, session: bytes, number: int, ready: bytes) -> None:
        holder = route.holders.get(number)
        if holder is None:
            return  # it left while this frame was under way
        if holder.boot is not None:
            self.traffic.node_out += 1
            self._lanes.send_output(holder.boot, agent.raw, agent.generation, session, number, ready)
        else:
            self._to_attachment(route.audience, number, ready, 1)

    def _to_attachment(self, audience: Audience, number: int, ready: bytes, count: int) -> None:
        attachment = audience.find(number)
        if attachment is None:
            return
        self.traffic.browser_out += count
        self.traffic.browser_out_bytes += len(ready)
        if not attachment.browser.socket.send_ready(ready):
            self._overflow(attachment)

    def from_lane(
        self, sender: str, machine: bytes, generation: int, session: bytes, number: int, ready: bytes
    ) -> None:
        """Hand what another node's agent says to attachments here; what older connections say is dropped."""
        away = self._hub.away.get((machine, session))
        if away is None or away.home != sender or away.generation != generation:
            return
        audience, count = away.audience, websocket.count(ready)
        self.traffic.node_in += count
        if number != EVERYBODY:
            self.flush()
            self._to_attachment(audience, number, ready, count)
        elif audience.group:
            if not audience.due:
                if not self._due:  # several batches may come in one tick
                    asyncio.get_running_loop().call_soon(self.flush)
                self._due.append((audience, None))
            self._add(audience, ready, count)

    def from_browser(self, browser: Browser, frame: bytes) -> None:
        """Pass a browser's frame to its agent, or say that it is not its to send; raises `Invalid` for a bad header."""
        header = frames.read_header(frame, FROM_BROWSER)
        self.traffic.browser_in += 1
        self.traffic.browser_in_bytes += len(frame)
        attachment = browser.attachments.get((header.session, header.attachment))
        if attachment is None:
            browser.send(NotAttached().as_message(ids.text(header.session)))
            return
        if header.kind != Kind.SEEN and attachment.ask.mode == "watch":
            browser.send(
                InputRefused(
                    session=attachment.ask.session,
                    attachment=attachment.number,
                    sequence=header.sequence,
                    reason="watching",
                )
            )
            return
        if attachment.home is not None:
            self.traffic.node_out += 1
            self._lanes.send_input(attachment.home, ids.raw(attachment.machine), attachment.generation, frame)
            return
        agent = self._hub.agents.get(attachment.machine)
        if agent is not None:
            self._to_agent(agent, frame)

    def input_from_lane(self, sender: str, machine: bytes, generation: int, frame: bytes) -> None:
        """Pass a frame of another node's browser to an agent here, if that node holds the attachment on this very
        connection of the agent: numbers begin anew on the next one, where another browser may have this one's."""
        self.traffic.node_in += 1
        agent = self._hub.agents.get(ids.text(machine))
        if agent is None or agent.generation != generation:
            return
        header = Header._make(frames.HEADER.unpack_from(frame))
        route = agent.sessions.get(header.session)
        holder = route.holders.get(header.attachment) if route is not None else None
        if holder is not None and holder.boot == sender:
            self._to_agent(agent, frame)

    def _to_agent(self, agent: Agent, frame: bytes) -> None:
        self.traffic.agent_out += 1
        self.traffic.agent_out_bytes += len(frame)
        if not agent.socket.send_binary(frame):
            agent.socket.close(Close.SLOW_CONSUMER)  # dropping what people typed is worse than a reconnect


class NotAttached(RelayError):
    """A frame names a session and attachment that this socket does not have."""

    code, status = "not-attached", 409

    def as_message(self, session: str) -> ErrorMessage:
        """The control error that the sender is told."""
        return ErrorMessage(code=self.code, message="this socket holds no such attachment", session=session)
