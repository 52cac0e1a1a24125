"""Defines what browsers and nodes say to one another, one class and one sentence each; reading checks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from relay.rules import limits
from relay.rules.fields import (
    Attachment,
    ClientId,
    Columns,
    Count,
    Id,
    Mode,
    Ref,
    Rows,
    SessionKind,
    Title,
    Traceparent,
)
from relay.rules.machine import Machine
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
    Take,
    decode,
)

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
    environment: Annotated[dict[str, str], Meta(max_length=limits.ENVIRONMENT)] = field(default_factory=dict)
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

_FROM_BROWSER: msgspec.json.Decoder[FromBrowser] = msgspec.json.Decoder(FromBrowser)
_TO_BROWSER: msgspec.json.Decoder[ToBrowser] = msgspec.json.Decoder(ToBrowser)


def from_browser(text: str | bytes) -> FromBrowser:
    """What a browser said; raises `Invalid` or `TooBig`."""
    return decode(_FROM_BROWSER, text)


def to_browser(text: str | bytes) -> ToBrowser:
    """What a node said to a browser; raises `msgspec.ValidationError` for what this version does not know."""
    return _TO_BROWSER.decode(text)
