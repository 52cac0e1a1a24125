"""Speaks WebSocket as a client over a plain socket: blocking while a peer is set up, bytes made ahead of time after."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))  # any key but zero, which a server might treat as a special case
SHORT_BYTES, LONG_BYTES = 126, 65_536  # payloads from these sizes on carry their length in 2 and in 8 bytes
SETUP_SECONDS = 20.0  # for any one answer while peers are set up
READ_BYTES = 65_536
PING_HEAD = bytes((0x80 | PING, 4))  # of the pings that uvicorn and Relay send; text never has such bytes
NONCE = "cmVsYXktbG9hZC10ZXN0cw=="  # 16 bytes; the answer's proof is not checked, the servers are ours


def upgrade(host: str, path: str, headers: Mapping[str, str], protocols: Sequence[str] = ()) -> bytes:
    """The HTTP request that asks for a WebSocket without extensions."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {NONCE}", "Sec-WebSocket-Version: 13"]
    if protocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def from_client(payload: bytes, opcode: int = BINARY) -> bytes:
    """A whole message as a client has to send it."""
    head = _head(opcode, len(payload))
    key = MASK * (len(payload) // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key[: len(payload)], "big")
    return bytes((head[0], head[1] | 0x80)) + head[2:] + MASK + mixed.to_bytes(len(payload), "big")


def from_server(payload: bytes, opcode: int = BINARY) -> bytes:
    """A whole message as a server sends it."""
    return _head(opcode, len(payload)) + payload


def _head(opcode: int, size: int) -> bytes:
    if size < SHORT_BYTES:
        return bytes((0x80 | opcode, size))
    if size < LONG_BYTES:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")


def cut(data: bytes) -> tuple[int, bytes, int] | None:
    """The first whole frame of a server in these bytes: its opcode, its payload, and how many bytes it took."""
    if len(data) < 2:
        return None
    size, start = data[1] & 0x7F, 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        return None
    return data[0] & 0x0F, data[start : start + size], start + size


def answer_pings(peer: socket.socket, data: bytes) -> None:
    """Answer every ping that stands whole somewhere in these bytes, without reading the frames around it. What only
    looks like one, in a session's id perhaps, is answered too: a pong that nobody awaits is allowed and passed over."""
    at = data.find(PING_HEAD)
    while 0 <= at <= len(data) - len(PING_HEAD) - 4:
        peer.send(from_client(data[at + 2 : at + 6], PONG))
        at = data.find(PING_HEAD, at + 6)


class Line:
    """One connection while it is being set up; every wait has a limit."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str], protocols: Sequence[str] = ()) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SETUP_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(upgrade(f"127.0.0.1:{port}", path, headers, protocols))
        self._read = b""
        while b"\r\n\r\n" not in self._read:
            self._more()
        answer, _, self._read = self._read.partition(b"\r\n\r\n")
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise ConnectionError(f"no WebSocket at {path}: {answer.partition(chr(13).encode())[0]!r}")

    def say(self, **message: Any) -> None:
        """Send a control message as JSON."""
        self.send(json.dumps(message, separators=(",", ":")).encode(), TEXT)

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Send one message."""
        self._socket.sendall(from_client(payload, opcode))

    def hears(self, kind: str) -> dict[str, Any]:
        """The next JSON message of this type; others are passed over. Raises `ConnectionError` on a close or error."""
        while True:
            message: dict[str, Any] = json.loads(self.receive())
            if message.get("type") == kind:
                return message
            if message.get("type") == "error":
                raise ConnectionError(f"waited for {kind}, was told {message}")

    def receive(self) -> bytes:
        """The payload of the next text or binary message; pings are answered."""
        while True:
            while (frame := cut(self._read)) is None:
                self._more()
            opcode, payload, size = frame
            self._read = self._read[size:]
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                raise ConnectionError(f"closed: {payload[:2].hex()} {payload[2:].decode('utf-8', 'replace')}")
            elif opcode in (TEXT, BINARY):
                return payload

    def handed_over(self) -> socket.socket:
        """The socket, non-blocking, for whoever goes on from here."""
        self._socket.setblocking(False)
        return self._socket

    def _more(self) -> None:
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the server hung up")
        self._read += data
