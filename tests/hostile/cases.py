"""Lists what hostile peers send over WebSockets, one row each, with what exactly they are answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

from relay.rules import frames, limits
from relay.rules.frames import Header, Kind
from relay.rules.websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.hostile.attacker import Attacker
from tests.support.bare import a_session, output
from tests.support.client_stream import FINAL, client_frame

Role = Literal["agent", "browser"]
When = Literal["first", "welcomed"]

NOBODY = str(uuid4())
PROTOCOL_ERROR = (4005, "protocol-error")
BROKEN, BAD_UTF8, TOO_BIG = 1002, 1007, 1009


@dataclass(frozen=True)
class Text:
    """A text message."""

    text: str


@dataclass(frozen=True)
class Binary:
    """A binary message."""

    data: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes on the wire, whatever WebSocket makes of them."""

    data: bytes


@dataclass(frozen=True)
class Closed:
    """The socket is closed with this code, and with this reason if it is one of ours."""

    code: int
    reason: str | None = None


@dataclass(frozen=True)
class Refused:
    """A control error comes back, under the message's ref if it had one; the socket stays."""

    code: str
    ref: int | None = None


@dataclass(frozen=True)
class Ignored:
    """Nothing comes back; the socket stays."""


Sent = Text | Binary | Raw
Answer = Closed | Refused | Ignored


@dataclass(frozen=True)
class Case:
    """One row."""

    what: str
    role: Role
    when: When
    sends: Sent | Callable[[Attacker], Sent]  # what depends on the attacker's machine is made when it is there
    answer: Answer = Closed(*PROTOCOL_ERROR)

    def sent_by(self, machine: Attacker) -> Sent:
        """What this machine's attacker sends."""
        return self.sends(machine) if callable(self.sends) else self.sends

    @property
    def name(self) -> str:
        """How the row is called in a report."""
        return f"{self.role}, {self.when}: {self.what}"


def message(**fields: Any) -> Text:
    """A control message."""
    return Text(json.dumps(fields))


# --- text that is no message, or not one that is due -------------------------------------------------------------

DEEP = 5_000
NO_MESSAGES = {
    "nothing": "",
    "half an object": "{",
    "an array": "[]",
    "a string": '"hello"',
    "null": "null",
    "a number": "7",
    "NaN": "NaN",
    "an object without a type": "{}",
    "an unknown type": '{"type":"nonsense"}',
    "a type that is a number": '{"type":7}',
    "a type that is null": '{"type":null}',
    "a type in other letters": '{"type":"HELLO"}',
    "deep nesting": '{"type":' + "[" * DEEP + "]" * DEEP + "}",
    "deep nesting in a field that nobody reads": '{"type":"hello","x":' + '{"x":' * DEEP + "1" + "}" * DEEP + "}",
    "half of a surrogate pair": '{"type":"\\ud800"}',
    "a byte order mark": '\ufeff{"type":"hello"}',
    "two messages in one": '{"type":"hello"}{"type":"hello"}',
    "a comma too many": '{"type":"ping",}',
    "a number without end": '{"type":"hello","client":' + "9" * 5_000 + "}",
}

WRONG_HELLOS: dict[Role, dict[str, dict[str, Any]]] = {
    "agent": {
        "no fields": {},
        "fields of the wrong type": {"instance": 7, "hostname": [], "version": {}},
        "no canonical id": {"instance": "7"},
        "an empty hostname": {"hostname": ""},
        "a hostname of 254": {"hostname": "h" * (limits.HOSTNAME_CHARACTERS + 1)},
        "a generation below zero": {"generation": -1},
        "a generation that is a fraction": {"generation": 1.5},
        "a generation that no browser could count": {"generation": 2**53},
        "a generation that no computer could count": {"generation": 10**400},
        "a session without its fields": {"sessions": [{}]},
        "a session of the year 10000": {"sessions": [a_session() | {"startedAt": 253_402_300_800.0}]},
        "a session of an unknown kind": {"sessions": [a_session() | {"kind": "video"}]},
        "a screen without columns": {"sessions": [a_session() | {"columns": 0}]},
        "257 sessions": {"sessions": [a_session() for _ in range(limits.SESSIONS_PER_MACHINE + 1)]},
    },
    "browser": {
        "no fields": {},
        "a client that is a number": {"client": 7},
        "a client that is short": {"client": "a"},
        "a client with a line break": {"client": "a-client-id\n"},
        "a label of 201": {"client": "a-client-id", "label": "x" * (limits.TITLE_CHARACTERS + 1)},
    },
}

PEERS: tuple[Role, Role] = ("agent", "browser")
LATE_TOO = {
    "half an object",
    "an unknown type",
    "deep nesting",
    "half of a surrogate pair",
    "nothing",
    "two messages in one",
}


def no_messages() -> Iterator[Case]:
    """Text that is nothing, before and after the hello."""
    for role in PEERS:
        for what, text in NO_MESSAGES.items():
            yield Case(what, role, "first", Text(text))
            if what in LATE_TOO:
                yield Case(what, role, "welcomed", Text(text))


def wrong_hellos() -> Iterator[Case]:
    """A first message that is a hello, and no good one."""
    for what, fields in WRONG_HELLOS["agent"].items():
        yield Case(
            f"a hello with {what}",
            "agent",
            "first",
            hello_with(fields) if fields else message(type="hello"),
        )
    for what, fields in WRONG_HELLOS["browser"].items():
        yield Case(f"a hello with {what}", "browser", "first", message(type="hello", **fields))


def hello_with(fields: dict[str, Any]) -> Callable[[Attacker], Sent]:
    """An agent's hello in which these fields are other than they should be."""
    return lambda machine: message(**(machine.hello() | fields))


def asking_the_absent(kind: str, fields: dict[str, Any]) -> Callable[[Attacker], Sent]:
    """A request to a machine that exists and never came."""
    return lambda machine: message(type=kind, ref=7, machine=machine.absent, **fields)


def not_due() -> Iterator[Case]:
    """Good messages at a bad moment, or from the wrong side."""
    yield Case("a beat", "agent", "first", message(type="beat"))
    yield Case("a goodbye", "agent", "first", message(type="bye"))
    yield Case("a browser's hello", "agent", "first", message(type="hello", client="a-client-id"))
    yield Case("an agent's hello", "browser", "first", lambda machine: message(**machine.hello()))
    yield Case("a ping", "browser", "first", message(type="ping"))
    yield Case("a second hello", "agent", "welcomed", lambda machine: message(**machine.hello()))
    yield Case("a second hello", "browser", "welcomed", message(type="hello", client="a-client-id"))
    yield Case("a beat", "browser", "welcomed", message(type="beat"))
    yield Case("what nodes tell", "browser", "welcomed", message(type="pong", at=1))
    yield Case("what nodes tell", "agent", "welcomed", message(type="move", nodes=[], withinSeconds=1))
    yield Case("a frame", "agent", "first", Binary(frames.pack(output(a_session(), 1), b"x")))
    yield Case("a frame", "browser", "first", Binary(frames.pack(typed(), b"x")))


# --- fields that break their bounds, after the hello --------------------------------------------------------------


def bad_fields() -> Iterator[Case]:
    """Messages whose type is known and whose fields are wrong."""
    place = {"session": NOBODY, "attachment": 1}
    asks: dict[Role, dict[str, dict[str, Any]]] = {
        "browser": {
            "open without a ref": {"type": "open", "machine": NOBODY},
            "open with a ref below zero": {"type": "open", "ref": -1, "machine": NOBODY},
            "open on no id": {"type": "open", "ref": 1, "machine": "../../etc/passwd"},
            "open on an id in capitals": {"type": "open", "ref": 1, "machine": NOBODY.upper()},
            "open with 1025 words": {"type": "open", "ref": 1, "machine": NOBODY, "command": ["x"] * 1_025},
            "open with a number for a word": {"type": "open", "ref": 1, "machine": NOBODY, "command": [7]},
            "open with 257 variables": {
                "type": "open", "ref": 1, "machine": NOBODY, "environment": {f"V{n}": "" for n in range(257)},
            },
            "open with 1001 columns": {"type": "open", "ref": 1, "machine": NOBODY, "columns": 1_001},
            "attach in an unknown mode": {
                "type": "attach", "ref": 1, "machine": NOBODY, "session": NOBODY, "mode": "own",
            },
            "attach after less than nothing": {
                "type": "attach", "ref": 1, "machine": NOBODY, "session": NOBODY,
                "after": {"epoch": 1, "sequence": -1},
            },
            "detach of attachment 0": {"type": "detach", "session": NOBODY, "attachment": 0},
            "detach of attachment 65536": {"type": "detach", "session": NOBODY, "attachment": 65_536},
            "201 visible rows": {"type": "visible", "workspace": NOBODY, "machines": [NOBODY] * 201},
            "ping at a time that is text": {"type": "ping", "at": "now"},
        },
        "agent": {
            "a beat with an empty hostname": {"type": "beat", "hostname": ""},
            "a beat with a hostname of 254": {"type": "beat", "hostname": "h" * 254},
            "a session that ends in the year 10000": {"type": "session", "session": a_session() | {"endedAt": 1e12}},
            "attached without a head": {"type": "attached", **place},
            "attaching with a list for a size": {
                "type": "attaching", "epoch": 1, "first": 1, "recovered": True, "driver": True, "columns": [],
                "rows": 1, **place,
            },
            "an answer without a ref": {"type": "answer", "result": {}},
            "an answer that is a list": {"type": "answer", "ref": 1, "result": []},
            "a refusal with a reason of 201": {"type": "input-refused", "sequence": 1, "reason": "x" * 201, **place},
        },
    }  # fmt: skip
    for role, rows in asks.items():
        for what, fields in rows.items():
            yield Case(what, role, "welcomed", message(**fields))


# --- what is answered by an error, or by nothing ------------------------------------------------------------------


def refused() -> Iterator[Case]:
    """Well-formed requests for what is not there: one error each, under the ref, and the socket stays."""
    there: dict[str, dict[str, Any]] = {
        "open on nobody's machine": {"type": "open", "machine": NOBODY},
        "attach to nobody's machine": {"type": "attach", "machine": NOBODY, "session": NOBODY},
        "sessions of nobody's machine": {"type": "sessions", "machine": NOBODY},
        "end of nobody's session": {"type": "end", "machine": NOBODY, "session": NOBODY},
        "subscription to nobody's workspace": {"type": "subscribe", "workspace": NOBODY},
    }
    for what, fields in there.items():
        yield Case(what, "browser", "welcomed", message(ref=7, **fields), Refused("not-found", 7))
    offline: dict[str, dict[str, Any]] = {
        "open": {},
        "attach": {"session": NOBODY},
        "sessions": {},
        "end": {"session": NOBODY},
    }
    for kind, more in offline.items():
        yield Case(
            f"{kind} on a machine that never came",
            "browser",
            "welcomed",
            asking_the_absent(kind, more),
            Refused("offline", 7),
        )
    held = {"session": NOBODY, "attachment": 1}
    yield Case(
        "take of what it does not hold",
        "browser",
        "welcomed",
        message(type="take", **held),
        Refused("not-attached"),
    )
    yield Case(
        "input for what it does not hold",
        "browser",
        "welcomed",
        Binary(frames.pack(typed(), b"x")),
        Refused("not-attached"),
    )
    yield Case(
        "detach of what it does not hold",
        "browser",
        "welcomed",
        message(type="detach", **held),
        Ignored(),
    )
    yield Case(
        "rows of a workspace that it does not follow",
        "browser",
        "welcomed",
        message(type="visible", workspace=NOBODY, machines=[NOBODY]),
        Ignored(),
    )
    yield Case(
        "the end of a subscription that never was",
        "browser",
        "welcomed",
        message(type="unsubscribe", workspace=NOBODY),
        Ignored(),
    )
    yield Case(
        "a field of a later version",
        "browser",
        "welcomed",
        message(type="unsubscribe", workspace=NOBODY, news=[1]),
        Ignored(),
    )
    yield Case(
        "the same field twice",
        "browser",
        "welcomed",
        Text(f'{{"type":"unsubscribe","workspace":7,"workspace":"{NOBODY}"}}'),
        Closed(*PROTOCOL_ERROR),
    )
    yield Case(
        "output of no session",
        "agent",
        "welcomed",
        Binary(frames.pack(output(a_session(), 1), b"x")),
        Refused("not-found"),
    )
    yield Case(
        "an answer that nobody asked for",
        "agent",
        "welcomed",
        message(type="answer", ref=2**53 - 1, result={}),
        Ignored(),
    )
    for_nobody: dict[str, dict[str, Any]] = {"attached": {"head": 1}, "behind": {}, "driver": {}}
    for kind, more in for_nobody.items():
        yield Case(
            f"{kind} for nobody",
            "agent",
            "welcomed",
            message(type=kind, **held, **more),
            Ignored(),
        )


# --- frames --------------------------------------------------------------------------------------------------------


def typed(kind: int = Kind.INPUT, sequence: int = 1, attachment: int = 1) -> Header:
    """A browser's header for a session that is nobody's."""
    return Header(kind, 0, attachment, 1, UUID(NOBODY).bytes, sequence)


BAD_FRAMES: dict[Role, dict[str, bytes]] = {
    "browser": {
        "of a kind that only agents send": frames.pack(typed(Kind.OUTPUT)),
        "of the kind of an acknowledgement": frames.pack(typed(Kind.ACK)),
        "beyond the last sequence": frames.pack(typed(sequence=2**53)),
    },
    "agent": {
        "of a kind that only browsers send": frames.pack(typed(Kind.INPUT)),
        "of the kind of a report": frames.pack(typed(Kind.SEEN)),
        "beyond the last sequence": frames.pack(typed(Kind.OUTPUT, sequence=2**64 - 1)),
    },
}


def bad_frames() -> Iterator[Case]:
    """Binary messages that are no frames."""
    for role in PEERS:
        anybody = {
            "that are empty": b"",
            "shorter than a header": bytes(frames.HEADER_BYTES - 1),
            "of an unknown kind": bytes([255]) + bytes(frames.HEADER_BYTES - 1),
            "of kind 0": bytes(frames.HEADER_BYTES),
            "that are JSON": json.dumps({"type": "ping"}).encode() + b" " * frames.HEADER_BYTES,
        }
        for what, data in (anybody | BAD_FRAMES[role]).items():
            yield Case(f"bytes {what}", role, "welcomed", Binary(data))


def too_big() -> Iterator[Case]:
    """One byte more than may be."""
    for role in PEERS:
        big = bytes([Kind.OUTPUT if role == "agent" else Kind.INPUT]) + bytes(limits.FRAME_BYTES)
        yield Case("a frame of a byte too many", role, "welcomed", Binary(big), Closed(TOO_BIG))
        for when in ("first", "welcomed"):
            yield Case(
                "a control message of 64 KiB and a few",
                role,
                when,
                message(type="ping", x="x" * limits.CONTROL_BYTES),
                Closed(TOO_BIG),
            )


# --- the wire ------------------------------------------------------------------------------------------------------

RESERVED_1 = 0x40  # the bit of permessage-deflate, which was not negotiated
HELLO = b'{"type":"hello"}'
BAD_WIRES: dict[str, tuple[bytes, Answer]] = {
    "a frame without its mask": (client_frame(FINAL | TEXT, HELLO, mask=None), Closed(BROKEN)),
    "a compressed frame though none were negotiated": (client_frame(FINAL | TEXT | RESERVED_1, HELLO), Closed(BROKEN)),
    "a reserved bit": (client_frame(FINAL | TEXT | 0x10, HELLO), Closed(BROKEN)),
    "a reserved opcode": (client_frame(FINAL | 0x3, HELLO), Closed(BROKEN)),
    "a reserved control opcode": (client_frame(FINAL | 0xB), Closed(BROKEN)),
    "a continuation of nothing": (client_frame(FINAL | CONTINUATION, HELLO), Closed(BROKEN)),
    "a message inside of another": (client_frame(TEXT, HELLO) + client_frame(FINAL | TEXT, HELLO), Closed(BROKEN)),
    "a ping in fragments": (client_frame(PING, b"x"), Closed(BROKEN)),
    "a ping of 126 bytes": (client_frame(FINAL | PING, bytes(126)), Closed(BROKEN)),
    "a length of 2^63": (client_frame(FINAL | BINARY, b"", size=2**63, bits=64), Closed(TOO_BIG)),
    "a length of a terabyte": (client_frame(FINAL | BINARY, b"", size=2**40, bits=64), Closed(TOO_BIG)),
    "a close of one byte": (client_frame(FINAL | CLOSE, b"x"), Closed(BROKEN)),
    "a close with a code of nobody": (client_frame(FINAL | CLOSE, (1005).to_bytes(2, "big")), Closed(BROKEN)),
    "a close whose reason is not UTF-8": (client_frame(FINAL | CLOSE, b"\x03\xe8\xff"), Closed(BAD_UTF8)),
    "text that is not UTF-8": (client_frame(FINAL | TEXT, b"\xff\xfe"), Closed(BAD_UTF8)),
    "text with half of a surrogate pair": (client_frame(FINAL | TEXT, b"\xed\xa0\x80"), Closed(BAD_UTF8)),
    "a message of ten thousand fragments": (
        client_frame(BINARY, b"") + client_frame(CONTINUATION, b"") * 10_000 + client_frame(FINAL | CONTINUATION, b""),
        Closed(*PROTOCOL_ERROR),
    ),
    "an endless message in small pieces": (
        client_frame(BINARY, b"x") + client_frame(CONTINUATION, bytes(1_000)) * (limits.FRAME_BYTES // 1_000 + 1),
        Closed(TOO_BIG),
    ),
}


def bad_wires() -> Iterator[Case]:
    """Streams that break RFC 6455."""
    for role in PEERS:
        for what, (data, answer) in BAD_WIRES.items():
            yield Case(what, role, "welcomed", Raw(data), answer)


CASES = [
    case
    for cases in (no_messages, wrong_hellos, not_due, bad_fields, refused, bad_frames, too_big, bad_wires)
    for case in cases()
]
