"""Defines what agents and nodes say to one another, one class and one sentence each; reading checks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from relay.rules import limits
from relay.rules.fields import Attachment, ClientId, Columns, Count, Hostname, Id, Mode, Ref, Rows, Title, Traceparent
from relay.rules.messages import (
    After,
    Attached,
    Attaching,
    DriverChanged,
    ErrorMessage,
    InputRefused,
    Message,
    Nodes,
    Notice,
    Operator,
    Session,
    Take,
    decode,
)

# --- agent to node -------------------------------------------------------------------------------------------------


class AgentHello(Message, tag="hello", kw_only=True):
    """The agent's first message: who it is, the generation it last held, and the sessions it keeps."""

    instance: Id
    hostname: Hostname
    version: Title
    pid: Count | None = None
    generation: Count = 0
    sessions: Annotated[list[Session], Meta(max_length=limits.SESSIONS_PER_MACHINE)] = field(default_factory=list)
    renews: bool = False  # it keeps the token that a welcome may bring
    knows_unavailable: bool = False  # it may be told 4103, after which it comes back as soon as after 4100


class Beat(Message, tag="beat", kw_only=True):
    """The agent is alive; carries the hostname when it differs from the one last told."""

    hostname: Hostname | None = None


class SessionChanged(Message, tag="session", kw_only=True):
    """A session began, changed its title or size, or ended (`endedAt` set)."""

    session: Session


class AttachRefused(Message, tag="attach-refused", kw_only=True):
    """The answer to an attach to a session that its machine does not keep any more; the browser gets `error` with code
    `not-found` under its `ref`."""

    session: Id
    attachment: Attachment
    message: Title


class Behind(Message, tag="behind", kw_only=True):
    """This watcher fell too far behind and is detached; it should attach again."""

    session: Id
    attachment: Attachment


class Answer(Message, tag="answer", kw_only=True):
    """The answer to a request: `result`, or `error` with a code and a sentence."""

    ref: Ref
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Bye(Message, tag="bye", kw_only=True):
    """The agent leaves on purpose; the machine is offline at once. `remove` asks to revoke an ephemeral machine."""

    remove: bool = False


FromAgent = (
    AgentHello | Beat | SessionChanged | Attaching | AttachRefused | Attached | Behind | InputRefused | DriverChanged
    | Answer | Bye
)  # fmt: skip

# --- node to agent -------------------------------------------------------------------------------------------------


class AgentWelcome(Message, tag="welcome", kw_only=True):
    """The agent is admitted: its fence, how often to beat, and where else the cluster listens."""

    connection: Title
    generation: Count
    beat_seconds: float
    nodes: list[str]
    machine: dict[str, Any]  # id, name, hostname, workspaceId, workspaceName, visibility
    machine_token: str | None = None  # to be kept instead of the one shown, whose secret is on its way out


class Request(Message, tag="request", kw_only=True):
    """Something a person asks of the machine: `open`, `end`, or `sessions`; answered with the same ref."""

    ref: Ref
    operation: Literal["open", "end", "sessions"]
    operator: Operator
    body: dict[str, Any]
    traceparent: Traceparent = ""


class AgentAttach(Message, tag="attach", kw_only=True):
    """Somebody wants the output of a session, after what they have."""

    session: Id
    attachment: Attachment
    client: ClientId
    mode: Mode
    operator: Operator
    after: After | None = None
    columns: Columns | None = None
    rows: Rows | None = None
    take: bool = False  # take the keyboard from whoever holds it
    traceparent: Traceparent = ""


class AgentDetach(Message, tag="detach", kw_only=True):
    """An attachment left; `dropped` means that its socket was lost and it may return for its keyboard, `away` also that
    its node cannot be reached, so that whoever else is attached should not wait for it."""

    session: Id
    attachment: Attachment
    dropped: bool = False
    away: bool = False


class Move(Message, tag="move", kw_only=True):
    """Please connect to another node within this time; keep this socket until you are welcomed there."""

    nodes: list[str]
    within_seconds: float


class Pace(Message, tag="pace", kw_only=True):
    """How often to beat from the next beat on, once an operator changed it: instead of what the welcome said. An agent
    of a version that does not know of it beats as before, and nothing is the worse for it."""

    beat_seconds: float


ToAgent = AgentWelcome | Nodes | Pace | Request | AgentAttach | AgentDetach | Take | Move | Notice | ErrorMessage

_FROM_AGENT: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_TO_AGENT: msgspec.json.Decoder[ToAgent] = msgspec.json.Decoder(ToAgent)


def from_agent(text: str | bytes) -> FromAgent:
    """What an agent said; raises `Invalid` or `TooBig`."""
    return decode(_FROM_AGENT, text)


def to_agent(text: str | bytes) -> ToAgent:
    """What a node said to an agent; raises `Invalid` for what this version does not know, or `TooBig`."""
    return decode(_TO_AGENT, text)
