"""Keeps what a node knows of one agent connection: its fence, its sessions, and the requests it has not answered."""

from __future__ import annotations

from collections.abc import Callable

from relay.node.route import Route
from relay.node.socket import Socket
from relay.rules import ids, messages
from relay.rules.agent_messages import AgentHello, Answer
from relay.rules.messages import Message
from relay.rules.presence import Fence


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
