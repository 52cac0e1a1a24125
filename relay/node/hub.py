"""Holds one process's sockets and who is attached to what; dies with the process and is rebuilt by reconnects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal
from uuid import uuid4

from relay.errors import Forbidden, MachineRevoked, NotFound, RelayError, Unavailable
from relay.node.outcomes import Outcomes, outcome
from relay.node.socket import Socket
from relay.rules import ids, messages
from relay.rules.access import Identity
from relay.rules.agent_messages import AgentHello, Answer, AttachRefused, Behind
from relay.rules.browser_messages import Attach, BrowserAttaching, Detached
from relay.rules.limits import PENDING_PER_BROWSER
from relay.rules.messages import Attached, Attaching, ErrorMessage, InputRefused, Message, Operator, Session
from relay.rules.presence import Fence
from relay.traces import UNTOLD, Span, Traces

NUMBERS = 65_535  # what the header's 16 bits hold, 0 aside

Told = Attaching | AttachRefused | Attached | Behind | InputRefused  # what an agent says to one attachment
Reason = Literal["machine-gone", "gap", "behind", "forbidden", "machine-revoked", "left"]


class Agent:
    """One agent connection: its fence, its sessions, and the requests it has not answered."""

    __slots__ = ("admitted", "bye", "fence", "heard", "hello", "machine", "raw", "requests", "secret", "sessions",
                 "socket", "told", "workspace")  # fmt: skip

    def __init__(self, socket: Socket, workspace: str, machine: str, hello: AgentHello, heard: float) -> None:
        self.socket = socket
        self.workspace = workspace
        self.machine = machine
        self.raw = ids.raw(machine)
        self.hello = hello
        self.secret = ""  # the id of the one that signed the token which the agent keeps
        self.fence: Fence | None = None  # set when Redis admits it
        self.admitted = False
        self.bye = False
        self.heard = heard  # monotonic seconds
        self.told = heard  # what the last flush told Redis
        self.sessions: dict[bytes, Route] = {}
        self.requests: dict[int, Callable[[Answer], None]] = {}

    @property
    def generation(self) -> int:
        """The generation of an admitted connection."""
        assert self.fence is not None, "only admitted agents have a generation"
        return self.fence.generation

    def send(self, message: Message) -> None:
        """Queue a control message for the agent."""
        self.socket.send_text(messages.encode(message))


def connection_of(agent: Agent) -> str:
    """The id of an agent's connection, for logs; empty before it is admitted."""
    return agent.fence.connection if agent.fence is not None else ""


class Audience:
    """The attachments of this node to one session: those that catch up, and those that take what everybody gets."""

    __slots__ = ("due", "due_bytes", "due_frames", "group", "pending")

    def __init__(self) -> None:
        self.pending: dict[int, Attachment] = {}
        self.group: dict[int, Attachment] = {}
        self.due: list[bytes] = []  # frames for the group that wait for the end of this tick; `Fanout` sends them
        self.due_bytes = 0
        self.due_frames = 0

    def take(self) -> bytes:
        """What is due, joined; nothing is due then."""
        due, self.due, self.due_bytes, self.due_frames = self.due, [], 0, 0
        return due[0] if len(due) == 1 else b"".join(due)

    def find(self, number: int) -> Attachment | None:
        """The attachment of that number in either state."""
        return self.group.get(number) or self.pending.get(number)

    def join(self, number: int) -> None:
        """Move an attachment that has caught up to the group."""
        attachment = self.pending.pop(number, None)
        if attachment is not None:
            self.group[number] = attachment

    def leave(self, number: int) -> Attachment | None:
        """Take an attachment out."""
        return self.pending.pop(number, None) or self.group.pop(number, None)

    def hear(self, message: Told) -> None:
        """Act on what the agent says to one attachment, in stream order, and pass it on to the browser."""
        attachment = self.find(message.attachment)
        if attachment is None:
            return
        match message:
            case Attaching():
                attachment.browser.outcomes.attached(message.recovered if attachment.ask.after is not None else None)
                attachment.answered = True
                attachment.span.end()
                fields = {name: getattr(message, name) for name in Attaching.__struct_fields__}
                attachment.tell(BrowserAttaching(ref=attachment.ask.ref, machine=attachment.machine, **fields))
            case AttachRefused():
                self.leave(message.attachment)
                attachment.refuse(message)
            case Attached():
                self.join(message.attachment)
                attachment.tell(message)
            case Behind():
                self.leave(message.attachment)
                attachment.end("behind")
            case InputRefused():
                attachment.tell(message)

    def dismiss(self, reason: Reason) -> None:
        """End every attachment."""
        for attachment in self.all():
            self.leave(attachment.number)
            attachment.end(reason)

    def all(self) -> list[Attachment]:
        """Everybody, as a list that stays still while they leave."""
        return [*self.pending.values(), *self.group.values()]


class Holder:
    """Who holds an attachment number of a session whose agent is here: another node, or an attachment of ours."""

    __slots__ = ("boot", "operator", "seen", "since_ms", "span")

    def __init__(self, boot: str | None, operator: Operator, seen: float, since_ms: int) -> None:
        self.boot = boot  # None: here
        self.operator = operator
        self.seen = seen  # monotonic seconds when the holder last said that it lives
        self.since_ms = since_ms  # Unix milliseconds
        self.span = UNTOLD  # of its attach, which ends with the agent's answer


class Route:
    """One session of an agent on this node, and who gets its frames."""

    __slots__ = ("audience", "described", "holders", "last", "remote")

    def __init__(self, described: Session) -> None:
        self.described = described
        self.audience = Audience()
        self.remote: dict[str, set[int]] = {}  # by node: its attachments that take what everybody gets
        self.holders: dict[int, Holder] = {}
        self.last = 0

    def hold(self, holder: Holder) -> int:
        """A free attachment number, not reused before all others were, so that late frames find nobody."""
        while True:
            self.last = self.last % NUMBERS + 1
            if self.last not in self.holders:
                self.holders[self.last] = holder
                return self.last

    def release(self, number: int) -> Holder | None:
        """Forget a number wherever it was."""
        holder = self.holders.pop(number, None)
        if holder is None:
            return None
        holder.span.end("left")  # if it is not over: an answer ended it
        if holder.boot is not None:
            group = self.remote.get(holder.boot)
            if group is not None:
                group.discard(number)
                if not group:
                    del self.remote[holder.boot]
        return holder


class Attachment:
    """One browser on one session. `number` is 0 until the agent's node gave one."""

    __slots__ = ("answered", "ask", "browser", "cancelled", "generation", "home", "machine", "number", "session",
                 "span", "workspace")  # fmt: skip

    def __init__(self, browser: Browser, workspace: str, ask: Attach, span: Span = UNTOLD) -> None:
        self.browser = browser
        self.workspace = workspace
        self.machine = ask.machine
        self.session = ids.raw(ask.session)
        self.ask = ask
        self.number = 0
        self.home: str | None = None  # the agent's node, None while unknown or when it is this one
        self.generation = 0  # of the agent's connection that gave the number, when that is on another node
        self.cancelled = False  # its access went while it was asking
        self.answered = False  # its browser was told the number
        self.span = span  # which ends with the agent's answer, or with what comes instead of one

    @property
    def key(self) -> tuple[bytes, int]:
        """Where its browser finds it."""
        return (self.session, self.number)

    def tell(self, message: Message) -> None:
        """Queue a control message for the browser."""
        self.browser.send(message)

    def refuse(self, why: AttachRefused) -> None:
        """Take it from its browser, whose attach the agent refuses."""
        self.browser.attachments.pop(self.key, None)
        self.span.end(NotFound.code)
        self.browser.outcomes.attaches["denied"] += 1
        self.tell(ErrorMessage(code=NotFound.code, message=why.message, ref=self.ask.ref, session=why.session))

    def end(self, reason: Reason) -> None:
        """Take it from its browser, and say why: under its number, or to a browser that still waits for one, as the
        answer to its attach."""
        if self.browser.attachments.get(self.key) is not self:
            return
        del self.browser.attachments[self.key]
        self.browser.outcomes.ends[reason] += 1
        if self.answered:
            self.tell(Detached(session=self.ask.session, attachment=self.number, reason=reason))
        else:
            error = _unanswered(reason)
            self.span.end(error.code)
            self.browser.outcomes.attaches[outcome(error)] += 1
            self.tell(ErrorMessage(code=error.code, message=error.message, ref=self.ask.ref, session=self.ask.session))


def _unanswered(reason: Reason) -> RelayError:
    match reason:
        case "forbidden" | "left":
            return Forbidden("your access to this machine was taken away")
        case "machine-revoked":
            return MachineRevoked("the machine was revoked")
        case "machine-gone" | "gap" | "behind":
            return Unavailable("the way to the machine was lost before it answered")


class Browser:
    """One browser connection: who it is, and its attachments, admitted or still asking."""

    __slots__ = ("_begun", "asking", "attachments", "client", "connection", "credential", "feeds", "identity", "label",
                 "outcomes", "pending", "socket")  # fmt: skip

    def __init__(self, socket: Socket, identity: Identity, claim: str, outcomes: Outcomes | None = None) -> None:
        self.socket = socket
        self.identity = identity
        self.connection = str(uuid4())  # for logs
        self.credential = claim  # finds the identity again, without being a secret
        self.client = ""
        self.label = ""
        self.attachments: dict[tuple[bytes, int], Attachment] = {}
        self.asking: set[Attachment] = set()
        self.pending = 0  # requests without an answer yet
        self.feeds: dict[str, Any] = {}  # by workspace; see feeds.py
        self.outcomes = outcomes or Outcomes()  # the node's
        self._begun: dict[str, str] | None = None  # by session that it opened: the trace that its first attach goes on

    @property
    def operator(self) -> Operator:
        """How others see this person."""
        return Operator(user=self.identity.name, client=self.label)

    def opened(self, result: dict[str, Any], span: Span) -> None:
        """A machine opened a session for it: where that is recorded, its first attach is a step of the same request."""
        session = result.get("session")
        if span.recorded and isinstance(session, dict):
            begun = self._begun = self._begun or {}
            begun[str(session.get("id"))] = span.carried
            if len(begun) > PENDING_PER_BROWSER:  # some are never attached to
                del begun[next(iter(begun))]

    def goes_on(self, ask: Attach) -> str:
        """The trace that an attach is a step of; empty if it is the first."""
        return ask.traceparent or (self._begun.pop(ask.session, "") if self._begun else "")

    def send(self, message: Message) -> None:
        """Queue a control message for the browser."""
        self.socket.send_text(messages.encode(message))


class Away:
    """The attachments of this node to one session whose agent is on another node."""

    __slots__ = ("audience", "generation", "home")

    def __init__(self, home: str, generation: int) -> None:
        self.home = home
        self.generation = generation
        self.audience = Audience()


class Hub:
    """All connections of this process. An entry is made before it is checked, so that a change in between finds it."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}  # admitted, by machine
        self.knocking: set[Agent] = set()  # said hello, not admitted yet
        self.browsers: set[Browser] = set()
        self.outcomes = Outcomes()
        self.traces = Traces()  # set once, where somebody records them
        self.away: dict[tuple[bytes, bytes], Away] = {}  # by machine and session; out of it only with `away_ended`
        self._away_sessions: dict[bytes, set[bytes]] = {}  # the same by machine, for each bell asks about a few

    def connections(self, machine: str) -> list[Agent]:
        """Every socket that speaks for a machine here, admitted or not."""
        found = [agent for agent in self.knocking if agent.machine == machine]
        admitted = self.agents.get(machine)
        return [*found, admitted] if admitted is not None else found

    def attachments(self) -> Iterator[Attachment]:
        """Every attachment of this node's browsers, admitted or still asking."""
        for browser in list(self.browsers):
            yield from list(browser.asking)
            yield from list(browser.attachments.values())

    def away_of(self, machine: bytes, session: bytes, home: str, generation: int) -> Away | None:
        """The entry of a session on another node, made when the first browser here attaches to it. None for a
        connection of its agent that a newer one, known here already, has replaced."""
        found = self.away.get((machine, session))
        if found is not None and found.generation > generation:
            return None
        if found is not None and found.home == home and found.generation == generation:
            return found
        if found is not None:
            found.audience.dismiss("gap")  # of a connection that has ended since
        made = self.away[machine, session] = Away(home, generation)
        self._away_sessions.setdefault(machine, set()).add(session)
        return made

    def away_sessions(self, machine: bytes) -> list[bytes]:
        """The sessions of a machine on another node that somebody here is attached to."""
        return list(self._away_sessions.get(machine, ()))

    def away_ended(self, machine: bytes, session: bytes) -> Away:
        """Take an entry out."""
        sessions = self._away_sessions[machine]
        sessions.remove(session)
        if not sessions:
            del self._away_sessions[machine]
        return self.away.pop((machine, session))
