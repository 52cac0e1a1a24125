"""Defines what a control message is, how it is written and read, and the messages that agents and browsers share.

Every control message is one JSON object in a text frame with a `type`. A message with a `ref` is answered by one with
the same `ref`. Unknown fields are ignored, so that a peer one minor version ahead is understood. A type that a node
does not know is a protocol error; peers pass over types that they do not know, for a node may say more than they need.
Sessions and machines are canonical UUID strings here and raw bytes in the binary header. The words of each kind of peer
are in `agent_messages` and `browser_messages`; AsyncAPI is made from all of them.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from relay.errors import Invalid, TooBig
from relay.rules import limits
from relay.rules.fields import Attachment, Columns, Count, Epoch, Id, Ref, Rows, SessionKind, Title, Unix

T = TypeVar("T")


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


# --- from a machine's agent, and passed on to browsers --------------------------------------------------------------


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


class Attached(Message, tag="attached", kw_only=True):
    """The attachment has everything up to `head`; frames for everybody apply from here."""

    session: Id
    attachment: Attachment
    head: Count


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


# --- from a browser, and passed on to agents -----------------------------------------------------------------------


class Take(Message, tag="take", kw_only=True):
    """This attachment takes the keyboard. From a browser, and passed on to the agent."""

    session: Id
    attachment: Attachment


# --- from a node to either -----------------------------------------------------------------------------------------


class Nodes(Message, tag="nodes", kw_only=True):
    """Where the cluster listens, once a node that knew of no other hears of one: instead of what its welcome said."""

    nodes: list[str]


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


_ENCODER = msgspec.json.Encoder()

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """A message as the text frame's UTF-8 bytes."""
    return _ENCODER.encode(message)


def decode(decoder: msgspec.json.Decoder[T], text: str | bytes) -> T:
    """The message in a text frame, read by the decoder of who may say it here; raises `Invalid` or `TooBig`."""
    if len(text) > limits.CONTROL_BYTES:
        raise TooBig(f"a control message has at most {limits.CONTROL_BYTES} bytes", limit="CONTROL_BYTES")
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Invalid(str(error)) from None
    except RecursionError:  # a few kilobytes of brackets suffice
        raise Invalid("this message is nested too deeply") from None


def checked(kind: type[M], body: Any) -> M:
    """Plain data as a message of `kind`; raises `Invalid` naming the first field that does not fit."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
