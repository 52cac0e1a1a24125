"""Speaks to a node by what its AsyncAPI document says and nothing else; what is sent or heard is held against it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

WAIT_SECONDS = 15.0

Used = set[tuple[str, str]]  # (operation, message), as the document names them


class Document:
    """The document as one node serves it, and which of its messages have been used."""

    def __init__(self, url: str, used: Used) -> None:
        with urllib.request.urlopen(f"{url}/api/asyncapi.json", timeout=WAIT_SECONDS) as answer:
            self.content: dict[str, Any] = json.load(answer)
        self.used = used
        self.subprotocol: str = self.content["x-subprotocol"]
        self.frames = {row["name"]: row for row in self.content["x-frames"]}
        self.closes = {row["code"]: row for row in self.content["x-close-codes"]}
        self.errors = {row["code"] for row in self.content["x-error-codes"]}
        self._schemas = _closed(self.content["components"]["schemas"])

    def listed(self) -> Used:
        """Every message of every operation."""
        operations = self.content["operations"].items()
        return {(name, _last(each["$ref"])) for name, operation in operations for each in operation["messages"]}

    def operation(self, peer: str, action: str) -> str:
        """The operation in which the server receives from, or sends to, this peer."""
        wanted = ({"$ref": f"#/channels/{peer}"}, action)
        operations = self.content["operations"].items()
        [name] = [name for name, each in operations if (each["channel"], each["action"]) == wanted]
        return str(name)

    def check(self, operation: str, message: dict[str, Any]) -> None:
        """Raise unless this is a message of the operation, with the fields of its schema and no others."""
        name, payload = self._find(operation, str(message["type"]))
        jsonschema.validate(message, payload | {"components": {"schemas": self._schemas}})
        self.used.add((operation, name))

    def check_frame(self, operation: str, kind: str) -> None:
        """Raise unless a frame of this kind belongs to the operation."""
        self.used.add((operation, self._find(operation, kind)[0]))

    def _find(self, operation: str, wire_name: str) -> tuple[str, dict[str, Any]]:
        for reference in self.content["operations"][operation]["messages"]:
            name = _last(reference["$ref"])
            message = self.content["components"]["messages"][name]
            if message["name"] == wire_name:
                return name, message["payload"]
        raise AssertionError(f"{operation} lists no {wire_name!r}")

    def pack(self, fields: dict[str, int | bytes], payload: bytes) -> bytes:
        """A frame, its header laid out as the document says."""
        rows = sorted(self.content["x-header"], key=lambda row: row["offset"])
        frame = b""
        for row in rows:
            assert row["offset"] == len(frame)
            value = fields[row["name"]]
            frame += value if isinstance(value, bytes) else value.to_bytes(row["bytes"], "big")
        return frame + payload

    def unpack(self, frame: bytes) -> tuple[dict[str, Any], bytes]:
        """A frame's header by field, and its payload."""
        header: dict[str, Any] = {}
        end = 0
        for row in self.content["x-header"]:
            end = row["offset"] + row["bytes"]
            raw = frame[row["offset"] : end]
            header[row["name"]] = raw if row["type"] == "bytes" else int.from_bytes(raw, "big")
        [header["kind"]] = [name for name, row in self.frames.items() if row["kind"] == header["kind"]]
        header["session"] = str(UUID(bytes=header["session"]))
        return header, frame[end:]

    @contextmanager
    def connect(self, peer: str, token: str, subprotocol: str = "") -> Iterator[Peer]:
        """A socket of this peer to the server that the document names."""
        server, channel = self.content["servers"]["cluster"], self.content["channels"][peer]
        with connect(
            f"{server['protocol']}://{server['host']}{channel['address']}",
            additional_headers={"authorization": f"Bearer {token}"},
            subprotocols=[Subprotocol(subprotocol or self.subprotocol)],
            compression=None,
            open_timeout=WAIT_SECONDS,
        ) as socket:
            yield Peer(self, peer, socket)


class Peer:
    """One end of a socket: an agent or a browser."""

    def __init__(self, document: Document, peer: str, socket: ClientConnection) -> None:
        self._document = document
        self._socket = socket
        self._name = peer
        self._says = document.operation(peer, "receive")
        self._hears = document.operation(peer, "send")
        self._inbox: list[dict[str, Any] | tuple[dict[str, Any], bytes]] = []

    def say(self, type: str, **fields: Any) -> None:
        """Send a message that the document allows."""
        message = {"type": type, **fields}
        self._document.check(self._says, message)
        self._socket.send(json.dumps(message))

    def hears(self, type: str, **fields: Any) -> dict[str, Any]:
        """The next message of this type that has these fields; what else comes is kept for later."""
        while True:
            for entry in self._inbox:
                if isinstance(entry, dict) and entry.items() >= {"type": type, **fields}.items():
                    self._inbox.remove(entry)
                    return entry
            self._read()

    def send(self, kind: str, payload: bytes = b"", *, flags: int = 0, **header: Any) -> None:
        """Send a frame that the document allows; `session` is its UUID."""
        self._document.check_frame(self._says, kind)
        assert self._name in self._document.frames[kind]["sentBy"]
        number = self._document.frames[kind]["kind"]
        fields = header | {"kind": number, "flags": flags, "session": UUID(header["session"]).bytes}
        self._socket.send(self._document.pack(fields, payload))

    def receives(self, kind: str) -> tuple[dict[str, Any], bytes]:
        """The next frame of this kind."""
        while True:
            for entry in self._inbox:
                if isinstance(entry, tuple) and entry[0]["kind"] == kind:
                    self._inbox.remove(entry)
                    return entry
            self._read()

    def is_closed(self) -> dict[str, Any]:
        """Wait for the close; what the document says of its code."""
        try:
            while True:
                self._read()
        except ConnectionClosed as closed:
            end = closed.rcvd
        assert end is not None, "the socket was lost without a close frame"
        row = self._document.closes[end.code]
        assert row["reason"] == end.reason
        return dict(row)

    def _read(self) -> None:
        data = self._socket.recv(WAIT_SECONDS)
        if isinstance(data, str):
            message = json.loads(data)
            self._document.check(self._hears, message)
            if message["type"] == "error":
                assert message["code"] in self._document.errors
            self._inbox.append(message)
        else:
            header, payload = self._document.unpack(data)
            self._document.check_frame(self._hears, header["kind"])
            self._inbox.append((header, payload))


def _closed(schema: Any) -> Any:
    """The same schemas, but with every field that is not listed forbidden."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _closed(value) for name, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]
