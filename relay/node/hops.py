"""Lists the messages from node to node, one class and one sentence each; they travel on lanes, in order with frames."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from relay.rules.agent_messages import AttachRefused, Behind
from relay.rules.fields import Mode
from relay.rules.messages import After, Attached, Attaching, DriverChanged, InputRefused, Operator

# Nodes of two versions stand beside each other while a cluster is deployed. What a node does not understand it drops
# and logs, and goes on with what is behind it: so a later version may add hops, and fields that have a default. What it
# takes out, nobody may have used in the version before.


class Hop(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The base of all; `call` joins a question with its answers."""


class AttachHop(Hop, tag="attach", kw_only=True):
    """A browser of mine wants a session of an agent of yours."""

    call: int
    machine: str
    session: str
    client: str
    mode: Mode
    operator: Operator
    after: After | None = None
    columns: int | None = None
    rows: int | None = None
    take: bool = False
    trace: str = ""  # which request this is a step of, as in the header `traceparent`


class NumberedHop(Hop, tag="numbered", kw_only=True):
    """Your attach is passed on; its frames will carry this attachment number and come from this generation."""

    call: int
    attachment: int
    generation: int


class DetachHop(Hop, tag="detach", kw_only=True):
    """An attachment of mine left."""

    machine: str
    generation: int  # here and below: of the agent's connection that it was made on
    session: str
    attachment: int
    dropped: bool = False
    away: bool = False  # I do not hear you, and so my attachment cannot either


class TakeHop(Hop, tag="take", kw_only=True):
    """An attachment of mine takes the keyboard."""

    machine: str
    generation: int
    session: str
    attachment: int


class TellHop(Hop, tag="tell", kw_only=True):
    """An agent of mine has this to say to one attachment of yours."""

    machine: str
    generation: int
    message: Attaching | AttachRefused | Attached | Behind | InputRefused


class TellAllHop(Hop, tag="tell-all", kw_only=True):
    """An agent of mine has this to say to everybody attached to a session."""

    machine: str
    generation: int
    message: DriverChanged


class UnknownAttachmentHop(Hop, tag="unknown-attachment", kw_only=True):
    """You listed an attachment that I do not have; its browser must attach again."""

    machine: str
    generation: int
    session: str
    attachment: int


class MachineGoneHop(Hop, tag="machine-gone", kw_only=True):
    """The connection of an agent of mine ended; all your attachments to it are over."""

    machine: str
    generation: int
    revoked: bool = False


class RequestHop(Hop, tag="request", kw_only=True):
    """A browser of mine asks something of an agent of yours."""

    call: int
    machine: str
    operation: str
    operator: Operator
    body: dict[str, Any]
    trace: str = ""  # as in an attach


class TakenHop(Hop, tag="taken", kw_only=True):
    """I have your request and passed it on; the answer follows."""

    call: int


class AnswerHop(Hop, tag="answer", kw_only=True):
    """The answer to a call: a result, or an error with a code."""

    call: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class CloseHop(Hop, tag="close", kw_only=True):
    """Close the agent sockets of this machine that you hold; `instance` is who took over, for `replaced`."""

    call: int
    machine: str
    code: int
    generation: int | None = None  # only a connection older than this; None: any
    instance: str | None = None
    trace: str = ""  # as in an attach


class NoticeHop(Hop, tag="notice", kw_only=True):
    """Tell your agent of this machine a fact."""

    machine: str
    code: str
    text: str


class GapHop(Hop, tag="gap", kw_only=True):
    """I missed batches of yours: what your browsers typed may be lost, so they must attach again."""


class CutHop(Hop, tag="cut", kw_only=True):
    """More of this session was under way to you than its part: frames are missing from here on, and I let go of your
    attachments to it, whose browsers must attach again."""

    machine: str
    generation: int
    session: str


class InterestHop(Hop, tag="interest", kw_only=True):
    """These attachments of mine to agents of yours are alive: (machine, session, attachment, generation) each."""

    attachments: list[tuple[str, str, int, int]]


AnyHop = (
    AttachHop | NumberedHop | DetachHop | TakeHop | TellHop | TellAllHop | UnknownAttachmentHop | MachineGoneHop
    | RequestHop | TakenHop | AnswerHop | CloseHop | NoticeHop | GapHop | CutHop | InterestHop
)  # fmt: skip

_DECODER: msgspec.json.Decoder[AnyHop] = msgspec.json.Decoder(AnyHop)
_ENCODER = msgspec.json.Encoder()


def encode(hop: Hop) -> bytes:
    """A hop as bytes for a batch."""
    return _ENCODER.encode(hop)


def decode(data: bytes | memoryview) -> AnyHop:
    """A hop from a batch; raises `msgspec.DecodeError` for what this version does not know."""
    return _DECODER.decode(data)
