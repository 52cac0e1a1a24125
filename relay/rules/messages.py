"""The wire's control messages, one class and one sentence each; decoding checks them, AsyncAPI is made from them.

Every control message is one JSON object in a text frame with a `type`. A message with a `ref` is answered by one with
the same `ref`. Unknown fields are ignored, so that a peer one minor version ahead is understood; unknown types are
a protocol error. Sessions and machines are canonical UUID strings here and raw bytes in the binary header.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from relay.errors import Invalid, TooBig
from relay.rules import limits
from relay.rules.machine import Machine

# In Python `$` also matches before a last line break, so each pattern says otherwise in words that JavaScript shares.
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?!\n)$")]
Ref = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Attachment = Annotated[int, Meta(ge=1, le=65_535)]
Epoch = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Columns = Annotated[int, Meta(ge=1, le=limits.TERMINAL_COLUMNS)]
Rows = Annotated[int, Meta(ge=1, le=limits.TERMINAL_ROWS)]
Title = Annotated[str, Meta(max_length=limits.TITLE_CHARACTERS)]
Hostname = Annotated[str, Meta(min_length=1, max_length=limits.HOSTNAME_CHARACTERS)]
Traceparent = Annotated[str, Meta(max_length=limits.TRACEPARENT_CHARACTERS)]  # W3C Trace Context; else it is ignored
ClientId = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+(?!\n)$")]
Mode = Literal["drive", "watch"]
SessionKind = Literal["terminal", "exec"]
Unix = Annotated[float, Meta(ge=0, le=limits.UNIX_SECONDS)]


class Message(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The base of all messages: camelCase on the wire, defaults left out."""


class Session(Message, kw_only=True):
    """One session as its agent describes it; times are Unix seconds by the agent's clock."""

    id: Id
    epoch: Epoch
    kind: SessionKind
    title: Title = ""
    started_at: Unix = 0.0
    ended_at: Unix | None = None
    exit_code: int | None = None
    ended: Title | None = None  # why: "exit", "agent-restarted", "killed", "stalled", "unattended"
    columns: Columns = 80
    rows: Rows = 24
    attached: Count = 0


class After(Message, kw_only=True):
    """The last output that a returning browser has."""

    epoch: Epoch
    sequence: Count


class Operator(Message, kw_only=True):
    """Who is behind an attachment: the person's name and the client's own label."""

    user: Title
    client: Title = ""


# --- agent to node -------------------------------------------------------------------------------------------------


class AgentHello(Message, tag="hello", kw_only=True):
    """The agent's first message: who it is, the generation it last held, and the sessions it keeps."""

    instance: Id
    hostname: Hostname
    version: Title
    pid: Count | None = None
    generation: Count = 0
    sessions: Annotated[list[Session], Meta(max_length=limits.SESSIONS_PER_MACHINE)] = []
    renews: bool = False  # it keeps the token that a welcome may bring


class Beat(Message, tag="beat", kw_only=True):
    """The agent is alive; carries the hostname when it differs from the one last told."""

    hostname: Hostname | None = None


class SessionChanged(Message, tag="session", kw_only=True):
    """A session began, changed its title or size, or ended (`endedAt` set)."""

    session: Session


class Attaching(Message, tag="attaching", kw_only=True):
    """The answer to an attach: frames from `first` on follow for this attachment alone; `recovered` false means clear
    the screen, because something between what you had and `first` is gone."""

    session: Id
    attachment: Attachment
    epoch: Epoch
    first: Count
    recovered: bool
    driver: bool
    columns: Columns
    rows: Rows
    input: Count = 0  # the last input of this client's stream that was applied
    term: Count = 0  # how often the keyboard has passed from one client to another; what was typed in an older is void


class AttachRefused(Message, tag="attach-refused", kw_only=True):
    """The answer to an attach to a session that its machine does not keep any more; the browser gets `error` with code
    `not-found` under its `ref`."""

    session: Id
    attachment: Attachment
    message: Title


class Attached(Message, tag="attached", kw_only=True):
    """The attachment has everything up to `head`; frames for everybody apply from here."""

    session: Id
    attachment: Attachment
    head: Count


class Behind(Message, tag="behind", kw_only=True):
    """This watcher fell too far behind and is detached; it should attach again."""

    session: Id
    attachment: Attachment


class InputRefused(Message, tag="input-refused", kw_only=True):
    """Input of this attachment from `sequence` on is not applied, because it does not hold the keyboard."""

    session: Id
    attachment: Attachment
    sequence: Count
    reason: Title


class DriverChanged(Message, tag="driver", kw_only=True):
    """The keyboard of a session passed to another attachment; told to everybody attached."""

    session: Id
    attachment: Count  # 0: nobody
    operator: Operator | None = None
    term: Count = 0  # as in `attaching`


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


class Nodes(Message, tag="nodes", kw_only=True):
    """Where the cluster listens, once a node that knew of no other hears of one: instead of what its welcome said."""

    nodes: list[str]


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


class Take(Message, tag="take", kw_only=True):
    """This attachment takes the keyboard. From a browser, and passed on to the agent."""

    session: Id
    attachment: Attachment


class Move(Message, tag="move", kw_only=True):
    """Please connect to another node within this time; keep this socket until you are welcomed there."""

    nodes: list[str]
    within_seconds: float


class Notice(Message, tag="notice", kw_only=True):
    """A fact for the person who runs the agent, such as `shadowed`: another machine took the name."""

    code: Title
    message: str


class ErrorMessage(Message, tag="error", kw_only=True):
    """What was wrong with a message; with its `ref` if it had one. The socket stays open."""

    code: str
    message: str
    ref: Ref | None = None
    session: Id | None = None
    candidates: list[dict[str, Any]] | None = None
    last_seen_at: str | None = None
    limit: str | None = None


ToAgent = AgentWelcome | Nodes | Request | AgentAttach | AgentDetach | Take | Move | Notice | ErrorMessage

# --- browser to node -----------------------------------------------------------------------------------------------


class BrowserHello(Message, tag="hello", kw_only=True):
    """The browser's first message: an id for its input streams, random per page load, and a label for others to see."""

    client: ClientId
    label: Title = ""


class Subscribe(Message, tag="subscribe", kw_only=True):
    """Follow the machines of a workspace: a snapshot, then changes."""

    ref: Ref
    workspace: Id


class Unsubscribe(Message, tag="unsubscribe", kw_only=True):
    """Stop following a workspace."""

    workspace: Id


class Visible(Message, tag="visible", kw_only=True):
    """The rows on the screen now: their last-seen times are worth telling."""

    workspace: Id
    machines: Annotated[list[Id], Meta(max_length=limits.VISIBLE_MACHINES)]


class Open(Message, tag="open", kw_only=True):
    """Start a session on a machine: a terminal, or a command with its arguments."""

    ref: Ref
    machine: Id
    kind: SessionKind = "terminal"
    command: Annotated[list[str], Meta(max_length=limits.ARGUMENTS)] | None = None
    directory: Annotated[str, Meta(max_length=4096)] | None = None
    environment: Annotated[dict[str, str], Meta(max_length=limits.ENVIRONMENT)] = {}
    columns: Columns = 80
    rows: Rows = 24
    title: Title = ""
    traceparent: Traceparent = ""


class Attach(Message, tag="attach", kw_only=True):
    """Attach to a session, or come back to it with what one has; answered by `attaching`, frames, `attached`."""

    ref: Ref
    machine: Id
    session: Id
    mode: Mode = "drive"
    after: After | None = None
    columns: Columns | None = None
    rows: Rows | None = None
    take: bool = False
    traceparent: Traceparent = ""


class Detach(Message, tag="detach", kw_only=True):
    """Leave a session, which goes on without this browser."""

    session: Id
    attachment: Attachment


class End(Message, tag="end", kw_only=True):
    """End a session on its machine."""

    ref: Ref
    machine: Id
    session: Id
    traceparent: Traceparent = ""


class ListSessions(Message, tag="sessions", kw_only=True):
    """List a machine's sessions, live ones and ended ones that it still remembers."""

    ref: Ref
    machine: Id
    traceparent: Traceparent = ""


class Ping(Message, tag="ping", kw_only=True):
    """Answer with `pong`: a heartbeat for peers that cannot see WebSocket pings."""

    at: Count = 0


FromBrowser = (
    BrowserHello | Subscribe | Unsubscribe | Visible | Open | Attach | Detach | End | ListSessions | Take | Ping
)

# --- node to browser -----------------------------------------------------------------------------------------------


class BrowserWelcome(Message, tag="welcome", kw_only=True):
    """The browser is admitted: who it is, which node this is, and where else the cluster listens."""

    user: dict[str, Any]  # id, name
    workspaces: list[dict[str, Any]]  # id, name, role
    nodes: list[str]
    node: str


class Snapshot(Message, tag="snapshot", kw_only=True):
    """The machines of a workspace that this browser may see, as of `seq`; while `more` is true further parts with the
    same `seq` follow at once. `settled` false: the relay's memory was just lost and silence proves nothing yet."""

    ref: Ref | None = None
    workspace: Id
    seq: Count
    now: str
    machines: Annotated[list[Machine], Meta(max_length=limits.SNAPSHOT_MACHINES)]
    settled: bool = True
    more: bool = False


class MachineChanged(Message, tag="machine", kw_only=True):
    """A machine appeared or changed; `seq` is one more than the last message of this workspace on this socket."""

    workspace: Id
    seq: Count
    machine: Machine


class MachineGone(Message, tag="gone", kw_only=True):
    """A machine left your sight: revoked, or private to somebody else now."""

    workspace: Id
    seq: Count
    id: Id
    reason: Title = ""


class LastSeen(Message, tag="seen", kw_only=True):
    """Last-seen times of visible rows that moved while nothing else changed, by machine id, in one batch."""

    workspace: Id
    seq: Count
    at: dict[str, str]


class Result(Message, tag="result", kw_only=True):
    """The answer to a request that went well."""

    ref: Ref
    result: dict[str, Any]


class BrowserAttaching(Attaching, tag="attaching", kw_only=True):
    """`attaching` with the `ref` of the attach that it answers."""

    ref: Ref
    machine: Id


class Detached(Message, tag="detached", kw_only=True):
    """The attachment is over. After `machine-gone` or `gap` attach again (for the first once the machine is connected);
    after `forbidden`, `ended` or `machine-revoked` do not."""

    session: Id
    attachment: Attachment
    reason: Literal["machine-gone", "gap", "behind", "forbidden", "machine-revoked", "left"]


class Pong(Message, tag="pong", kw_only=True):
    """The answer to `ping`, with its `at`."""

    at: Count = 0


ToBrowser = (
    BrowserWelcome | Nodes | Snapshot | MachineChanged | MachineGone | LastSeen | Result | BrowserAttaching | Attached
    | Detached | InputRefused | DriverChanged | Notice | ErrorMessage | Pong
)  # fmt: skip

_FROM_AGENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromAgent)
_FROM_BROWSER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromBrowser)
_TO_AGENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ToAgent)
_TO_BROWSER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ToBrowser)
_ENCODER = msgspec.json.Encoder()

M = TypeVar("M", bound=Message)


def from_agent(text: str | bytes) -> FromAgent:
    """What an agent said; raises `Invalid` or `TooBig`."""
    return _decode(_FROM_AGENT, text)  # type: ignore[no-any-return]


def from_browser(text: str | bytes) -> FromBrowser:
    """What a browser said; raises `Invalid` or `TooBig`."""
    return _decode(_FROM_BROWSER, text)  # type: ignore[no-any-return]


def to_agent(text: str | bytes) -> ToAgent:
    """What a node said to an agent; raises `Invalid` for what this version does not know, or `TooBig`."""
    return _decode(_TO_AGENT, text)  # type: ignore[no-any-return]


def to_browser(text: str | bytes) -> ToBrowser:
    """What a node said to a browser; raises `msgspec.ValidationError` for what this version does not know."""
    return _TO_BROWSER.decode(text)  # type: ignore[no-any-return]


def encode(message: Message) -> bytes:
    """A message as the text frame's UTF-8 bytes."""
    return _ENCODER.encode(message)


def checked(kind: type[M], body: Any) -> M:
    """Plain data as a message of `kind`; raises `Invalid` naming the first field that does not fit."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None


def _decode(decoder: msgspec.json.Decoder[Any], text: str | bytes) -> Any:
    if len(text) > limits.CONTROL_BYTES:
        raise TooBig(f"a control message has at most {limits.CONTROL_BYTES} bytes", limit="CONTROL_BYTES")
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Invalid(str(error)) from None
    except RecursionError:  # a few kilobytes of brackets suffice
        raise Invalid("this message is nested too deeply") from None
