"""Keeps what a node knows of one browser: its connection, and each session that it is attached to or asks for."""

from __future__ import annotations

from typing import Any, Literal
from uuid import uuid4

from relay.errors import Forbidden, MachineRevoked, NotFound, RelayError, Unavailable
from relay.node.outcomes import Outcomes, outcome
from relay.node.socket import Socket
from relay.rules import ids, messages
from relay.rules.access import Identity
from relay.rules.agent_messages import AttachRefused
from relay.rules.browser_messages import Attach, Detached
from relay.rules.limits import PENDING_PER_BROWSER
from relay.rules.messages import ErrorMessage, Message, Operator
from relay.traces import UNTOLD, Span

Reason = Literal["machine-gone", "gap", "behind", "forbidden", "machine-revoked", "left"]


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
