"""Writes the AsyncAPI document of both sockets from the messages, frames, errors and times that the code uses."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec

import relay
from relay import errors
from relay.errors import Close, RelayError
from relay.node.fanout import NotAttached
from relay.rules import frames, limits, timing
from relay.rules.agent_messages import FromAgent, ToAgent
from relay.rules.browser_messages import FromBrowser, ToBrowser
from relay.rules.frames import Kind
from relay.rules.messages import Message
from relay.web.bodies import JSON
from relay.web.problems import title
from relay.web.protocol import AGENT_FLOW, BROWSER_FLOW, CLOSES, FRAMES, HEADER, OBJECTS, OVERVIEW

REFERENCE = "#/components/schemas/{name}"
WIDTHS = {"B": "unsigned integer", "H": "unsigned integer", "I": "unsigned integer", "Q": "unsigned integer"}

Peer = Literal["agent", "browser"]


def asyncapi(url: str) -> dict[str, Any]:
    """The document, for the cluster whose public URL is `url`."""
    sides: dict[tuple[Peer, str], tuple[type[Message], ...]] = {
        ("agent", "receive"): get_args(FromAgent),
        ("agent", "send"): get_args(ToAgent),
        ("browser", "receive"): get_args(FromBrowser),
        ("browser", "send"): get_args(ToBrowser),
    }
    kinds = list(dict.fromkeys(kind for side in sides.values() for kind in side))
    schemas = _schemas(kinds)
    written: dict[str, Any] = {kind.__name__: _message(kind) for kind in kinds}
    written |= {_frame_name(kind): _frame(kind) for kind in Kind}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for (peer, action), side in sides.items():
        names = [kind.__name__ for kind in side] + [_frame_name(kind) for kind in _frames_of(peer, action)]
        channel = channels.setdefault(peer, _channel(peer))
        channel["messages"] |= {name: {"$ref": f"#/components/messages/{name}"} for name in names}
        operations[f"{peer}{'Says' if action == 'receive' else 'Hears'}"] = _operation(peer, action, names)
    parts = urlsplit(url)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Relay sockets",
            "version": relay.VERSION,
            "description": OVERVIEW.strip(),
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "servers": {
            "cluster": {
                "host": parts.netloc,
                "protocol": "wss" if parts.scheme == "https" else "ws",
                "description": "any node; `nodes` in the welcome lists the others",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": written, "schemas": schemas, "securitySchemes": _SECURITY},
        "x-subprotocol": relay.PROTOCOL,
        "x-header": _header(),
        "x-frames": [_frame_row(kind) for kind in Kind],
        "x-error-codes": [{"code": kind.code, "description": title(kind)} for kind in _errors()],
        "x-close-codes": [_close(code) for code in Close],
        "x-timings": _numbers(timing),
        "x-limits": _numbers(limits),
    }


def _schemas(kinds: list[type[Message]]) -> dict[str, Any]:
    _named, schemas = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = _line(schema["description"])
    _describe_objects(schemas)
    return schemas


def _describe_objects(schemas: dict[str, Any]) -> None:
    """Say what is in objects that the code passes on as they are."""
    for path, names in OBJECTS.items():
        kind, _, field = path.partition(".")
        schema = schemas[kind]["properties"][field]
        schema = next((each for each in schema.get("anyOf", []) if each["type"] != "null"), schema)
        schema = schema.get("items", schema)
        fields = {name: {"type": "string"} for name in names}
        schema |= {"properties": fields, "required": list(names), "additionalProperties": True}


_SECURITY: dict[str, Any] = {
    "machineToken": {"type": "http", "scheme": "bearer", "description": "agents: the `machineToken` of registration"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "browsers: a personal, CLI or workspace token"},
    "cookie": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": "relay_session",
        "description": "browsers: a page's sign-in; `Origin` must be one that the cluster lists",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "browsers: a ticket of POST /api/tickets as second subprotocol after relay.v1",
    },
}


def _channel(peer: Peer) -> dict[str, Any]:
    return {
        "address": f"/ws/{peer}",
        "title": f"The {peer} socket",
        "description": (AGENT_FLOW if peer == "agent" else BROWSER_FLOW).strip(),
        "messages": {},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(peer: Peer, action: str, names: Iterable[str]) -> dict[str, Any]:
    who = "an agent" if peer == "agent" else "a browser"
    words = f"What {who} may send." if action == "receive" else f"What {who} is sent."
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{peer}"},
        "summary": words,
        "messages": [{"$ref": f"#/channels/{peer}/messages/{name}"} for name in names],
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    return {
        "name": str(kind.__struct_config__.tag),
        "title": kind.__name__,
        "summary": _line(kind.__doc__ or ""),
        "contentType": JSON,
        "payload": {"$ref": REFERENCE.format(name=kind.__name__)},
    }


def _frame(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": f"Frame {kind.name} ({int(kind)})",
        "summary": FRAMES[kind],
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary", "minLength": frames.HEADER_BYTES},
    }


def _frames_of(peer: Peer, action: str) -> list[Kind]:
    """Which binary frames go which way: what agents send, browsers hear, and the other way round."""
    from_agent = (peer == "agent") is (action == "receive")
    return sorted(frames.FROM_AGENT if from_agent else frames.FROM_BROWSER)


def _frame_name(kind: Kind) -> str:
    return f"Frame{kind.name.title().replace('_', '')}"


def _frame_row(kind: Kind) -> dict[str, Any]:
    senders = [peer for peer, sent in (("agent", frames.FROM_AGENT), ("browser", frames.FROM_BROWSER)) if kind in sent]
    numbered = "output" if kind in frames.OUTPUT_KINDS else "input" if 16 <= kind < 32 else None
    return {"kind": int(kind), "name": kind.name, "sentBy": senders, "stream": numbered, "description": FRAMES[kind]}


def _header() -> list[dict[str, Any]]:
    """The header's fields with offset and size, read off the format that the code packs with."""
    order, *codes = re.findall(r">|\d*[a-zA-Z]", frames.HEADER.format)
    assert order == ">"
    fields = []
    offset = 0
    for name, code in zip(frames.Header._fields, codes, strict=True):
        size = struct.calcsize(order + code)
        kind = WIDTHS.get(code, "bytes")
        fields.append({"name": name, "offset": offset, "bytes": size, "type": kind, "description": HEADER[name]})
        offset += size
    return fields


def _close(code: Close) -> dict[str, Any]:
    kind = "final" if code.final else "back-off" if code.back_off else "come-back" if code >= 4200 else "standard"
    return {"code": int(code), "reason": code.reason, "kind": kind, "description": CLOSES[code]}


def _errors() -> list[type[RelayError]]:
    """What an `error` may say: not every descendant of the class, for clients have private ones."""
    told = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RelayError)]
    return sorted([*told, NotAttached], key=lambda kind: kind.code)


def _numbers(module: Any) -> dict[str, Any]:
    names = [name for name in vars(module) if name.isupper() and not name.startswith("_")]
    found = {name: getattr(module, name) for name in sorted(names)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _line(text: str) -> str:
    return " ".join(text.split())
