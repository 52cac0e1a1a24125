"""Moves frames, an agent's to everybody attached and a browser's to its agent, reading headers and never payloads."""

from __future__ import annotations

from collections.abc import Callable

from relay.errors import Close, Invalid, RelayError
from relay.node.hub import Agent, Attachment, Browser, Hub, Route
from relay.node.lanes import Lanes
from relay.rules import frames, ids
from relay.rules import messages as m
from relay.rules.frames import EVERYBODY, FROM_AGENT, FROM_BROWSER, OUTPUT_KINDS, Header, Kind

Overflow = Callable[[Attachment], None]  # an attachment whose outbox is full


class Fanout:
    """The path of every frame through this node."""

    def __init__(self, hub: Hub, lanes: Lanes, overflow: Overflow) -> None:
        self._hub = hub
        self._lanes = lanes
        self._overflow = overflow

    def from_agent(self, agent: Agent, frame: bytes) -> None:
        """Pass an agent's frame on; raises `Invalid` for a bad header."""
        header = frames.read_header(frame, FROM_AGENT)
        route = agent.sessions.get(header.session)
        if route is None:
            agent.send(m.ErrorMessage(code="not-found", message="no such session", session=ids.text(header.session)))
            return
        if header.attachment == EVERYBODY:
            if header.kind not in OUTPUT_KINDS:
                raise Invalid("only output goes to everybody")
            self._to_everybody(agent, route, header, frame)
        else:
            self._to_one(agent, route, header, frame)

    def _to_everybody(self, agent: Agent, route: Route, header: Header, frame: bytes) -> None:
        group = route.audience.group
        if group:
            self._write(list(group.values()), frame)
        if route.remote:
            generation = agent.generation
            for boot in route.remote:
                self._lanes.send_output(boot, agent.raw, generation, header.session, EVERYBODY, frame)

    def _to_one(self, agent: Agent, route: Route, header: Header, frame: bytes) -> None:
        holder = route.holders.get(header.attachment)
        if holder is None:
            return  # it left while this frame was under way
        if holder.boot is not None:
            session, number = header.session, header.attachment
            self._lanes.send_output(holder.boot, agent.raw, agent.generation, session, number, frame)
            return
        attachment = route.audience.find(header.attachment)
        if attachment is not None:
            self._write([attachment], frame)

    def from_lane(
        self, sender: str, machine: bytes, generation: int, session: bytes, number: int, ready: bytes
    ) -> None:
        """Hand what another node's agent says to attachments here; what older connections say is dropped."""
        away = self._hub.away.get((machine, session))
        if away is None or away.home != sender or away.generation != generation:
            return
        if number == EVERYBODY:
            self._write(list(away.audience.group.values()), ready)
        else:
            attachment = away.audience.find(number)
            if attachment is not None:
                self._write([attachment], ready)

    def _write(self, attachments: list[Attachment], frame: bytes) -> None:
        for attachment in attachments:
            if not attachment.browser.socket.send_binary(frame):
                self._overflow(attachment)

    def from_browser(self, browser: Browser, frame: bytes) -> None:
        """Pass a browser's frame to its agent, or say that it is not its to send; raises `Invalid` for a bad header."""
        header = frames.read_header(frame, FROM_BROWSER)
        attachment = browser.attachments.get((header.session, header.attachment))
        if attachment is None:
            browser.send(NotAttached().as_message(ids.text(header.session)))
            return
        if header.kind != Kind.SEEN and attachment.ask.mode == "watch":
            browser.send(
                m.InputRefused(
                    session=attachment.ask.session,
                    attachment=attachment.number,
                    sequence=header.sequence,
                    reason="watching",
                )
            )
            return
        if attachment.home is not None:
            self._lanes.send_input(attachment.home, ids.raw(attachment.machine), frame)
            return
        agent = self._hub.agents.get(attachment.machine)
        if agent is not None:
            self._to_agent(agent, frame)

    def input_from_lane(self, sender: str, machine: bytes, frame: bytes) -> None:
        """Pass a frame of another node's browser to an agent here, if that node holds the attachment."""
        agent = self._hub.agents.get(ids.text(machine))
        header = Header._make(frames.HEADER.unpack_from(frame))
        route = agent.sessions.get(header.session) if agent is not None else None
        holder = route.holders.get(header.attachment) if route is not None else None
        if agent is not None and holder is not None and holder.boot == sender:
            self._to_agent(agent, frame)

    def _to_agent(self, agent: Agent, frame: bytes) -> None:
        if not agent.socket.send_binary(frame):
            agent.socket.close(Close.SLOW_CONSUMER)  # dropping what people typed is worse than a reconnect


class NotAttached(RelayError):
    """A frame names a session and attachment that this socket does not have."""

    code, status = "not-attached", 409

    def as_message(self, session: str) -> m.ErrorMessage:
        """The control error that the sender is told."""
        return m.ErrorMessage(code=self.code, message="this socket holds no such attachment", session=session)
