"""Turns an HTTP request into a WebSocket that the application takes over."""

from __future__ import annotations

import asyncio
import binascii
import logging
from binascii import a2b_base64, b2a_base64
from hashlib import sha1
from http import HTTPStatus
from typing import Any

from starlette.types import Message
from starlette.websockets import WebSocketDisconnect
from uvicorn.config import Config
from uvicorn.server import ServerState

from relay.web.opening import Headers

TAKE_OVER = "relay.takeover"  # as an ASGI extension: a function that takes an asyncio.Protocol, once, after the accept

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
VERSION = b"13"  # RFC 6455, section 4.1
KEY_BYTES = 16  # likewise
SPEC_VERSION = "2.4"  # of ASGI for WebSockets: the one in which a send to a peer that left raises OSError
FORBIDDEN = 403  # what ASGI makes of a close before the accept


class Refusal(Exception):
    """This is not the beginning of a WebSocket; the status, headers and sentence say why."""

    def __init__(self, status: int, sentence: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
        self.body = sentence.encode()


def accepted_key(headers: Headers) -> bytes:
    """What proves that a handshake was understood; raises `Refusal` where it is not one of RFC 6455, section 4.2.1."""
    if values_of(b"sec-websocket-version", headers) != [VERSION]:
        raise Refusal(426, "WebSocket version 13 is spoken here.", (b"sec-websocket-version", VERSION))
    keys = values_of(b"sec-websocket-key", headers)
    try:
        sound = len(keys) == 1 and len(a2b_base64(keys[0], strict_mode=True)) == KEY_BYTES
    except binascii.Error:
        sound = False
    if not sound:
        raise Refusal(400, "A Sec-WebSocket-Key of 16 bytes is needed, once.")
    return b2a_base64(sha1(keys[0] + GUID, usedforsecurity=False).digest(), newline=False)


def values_of(name: bytes, headers: Headers) -> list[bytes]:
    """Of every header with this name."""
    return [value for each, value in headers if each == name]


def last_answer(status: int, headers: Headers, body: bytes) -> bytes:
    """An answer in HTTP after which the connection is closed."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in headers if name.lower() != b"connection"]
    if all(name.lower() != b"content-length" for name, _ in headers):
        lines.append(b"content-length: %d\r\n" % len(body))
    return b"".join([*lines, b"connection: close\r\n\r\n", body])


class Handshake(asyncio.Protocol):
    """One WebSocket from its request to the moment when the application takes its transport over.

    After the accept the application must take over: nothing of ASGI's message by message is spoken here.
    """

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._app = config.loaded_app
        self._server = server_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._scope: dict[str, Any]
        self._key = b""
        self._behind: list[bytes] = []  # what the peer sent before anybody listened
        self._connected = False  # the application was told of the connection
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._denial: tuple[int, Headers, list[bytes]] | None = None  # so far: status, headers, pieces of the body
        self._accepted = False
        self._done = False  # answered with a refusal, or taken over

    def begin(self, transport: asyncio.Transport, scope: dict[str, Any], behind: bytes) -> None:
        """Ask the application, unless the request is none of ours."""
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]
        if behind:
            self._behind.append(behind)
        headers: Headers = scope["headers"]
        try:
            if scope.pop("method") != "GET":
                raise Refusal(405, "A WebSocket begins with GET.", (b"allow", b"GET"))
            if scope["http_version"] != "1.1":
                raise Refusal(400, "A WebSocket begins with HTTP/1.1.")
            self._key = accepted_key(headers)
        except Refusal as refusal:
            self._deny(refusal.status, refusal.headers, refusal.body)
            return
        words = values_of(b"sec-websocket-protocol", headers)
        self._scope = scope | {
            "subprotocols": [word.strip() for value in words for word in value.decode("latin-1").split(",")],
            "extensions": {"websocket.http.response": {}, TAKE_OVER: self.take_over},
        }
        task = self._loop.create_task(self._run())
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            left = self._lost.done() and isinstance(error, OSError | WebSocketDisconnect)  # what `_send` raised
            if not left:
                logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        if not self._done:
            if self._accepted:
                self._transport.abort()
            else:
                self._deny(500, [], b"")
        del self._scope  # it holds `take_over`, and with that this object

    async def _receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await asyncio.shield(self._lost)
        return {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    async def _send(self, message: Message) -> None:
        if self._lost.done():
            raise OSError("the peer left during its handshake")
        fresh = not self._accepted and not self._done and self._denial is None
        match message["type"]:
            case "websocket.accept" if fresh:
                self._accept(message.get("subprotocol"), message.get("headers") or [])
            case "websocket.close" if fresh:
                self._deny(FORBIDDEN, [], b"")
            case "websocket.http.response.start" if fresh:
                self._denial = message["status"], list(message.get("headers") or []), []
            case "websocket.http.response.body" if self._denial is not None and not self._done:
                status, headers, pieces = self._denial
                pieces.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._deny(status, headers, b"".join(pieces))
            case other:
                raise RuntimeError(f"{other} is not possible now; an accepted connection is to be taken over")

    def _accept(self, subprotocol: str | None, headers: Headers) -> None:
        self._accepted = True
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ",
            self._key,
            b"\r\n",
        ]
        if subprotocol is not None:
            lines += [b"sec-websocket-protocol: ", subprotocol.encode(), b"\r\n"]
        for name, value in headers:
            lines += [name, b": ", value, b"\r\n"]
        self._transport.write(b"".join([*lines, b"\r\n"]))

    def _deny(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer as HTTP does, and close."""
        self._done = True
        self._server.connections.discard(self)
        self._transport.write(last_answer(status, [*self._server.default_headers, *headers], body))
        self._transport.close()

    def take_over(self, protocol: asyncio.Protocol) -> None:
        """Give the connection away, with what came early; it may be over already. Nothing of this object or of the
        request is needed afterwards."""
        assert self._accepted, "accept first"
        self._done = True
        if self._lost.done():
            protocol.connection_made(self._transport)
            protocol.connection_lost(None)
            return
        self._server.connections.discard(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        behind = b"".join(self._behind)
        if behind:
            self._transport.resume_reading()
            protocol.data_received(behind)

    # --- what the event loop calls -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hold what comes before anybody listens, one read of it."""
        self._behind.append(data)
        self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer left during its handshake."""
        self._done = True
        self._server.connections.discard(self)
        if not self._lost.done():
            self._lost.set_result(None)

    def shutdown(self) -> None:
        """Called by uvicorn when the process ends."""
        self._transport.abort()
