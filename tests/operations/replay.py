"""Plays one side of a recorded conversation to a node of today, with today's ids in the place of the recorded ones."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from relay.rules import frames, ids
from relay.rules.frames import Header, Kind

FOLDER = Path(__file__).parent.parent / "recorded"
WAIT_SECONDS = 30.0
BOUND = (
    "ref",
    "attachment",
    "machine",
    "workspace",
    "session",
    "epoch",
    "client",
)  # names whose values are today's own


class Recording:
    """What one peer and its node said to each other, in order."""

    def __init__(self, name: str) -> None:
        lines = [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]
        self.path: str = lines[0]["path"]
        self.lines: list[dict[str, Any]] = lines[1:]

    def first(self, type: str) -> dict[str, Any]:
        """The first message of this type."""
        return next(dict(line["text"]) for line in self.lines if line.get("text", {}).get("type") == type)


class Replay:
    """One peer of the past on a live socket. `bound` says what each recorded value is today, by its name."""

    def __init__(self, socket: ClientConnection, recording: Recording, **bound: tuple[Any, Any]) -> None:
        self._socket = socket
        self._recording = recording
        self._today: dict[tuple[str, Any], Any] = {(name, then): now for name, (then, now) in bound.items()}
        self._more: dict[str, Any] = {}
        self._last = 0
        self.output = b""
        self.welcomed = asyncio.Event()

    def says_more(self, **fields: Any) -> None:
        """Let each control message have these fields, of which no node of today knows."""
        self._more = fields

    async def run(self) -> int:
        """Say all that the peer said, each after all that it had heard by then; the code of the close."""
        for line in self._recording.lines:
            match line:
                case {"from": "peer", "text": message}:
                    await self._socket.send(json.dumps(self._translated(message) | self._more))
                case {"from": "peer", "frame": frame}:
                    await self._socket.send(self._frame(base64.b64decode(frame)))
                case {"from": "peer"}:
                    await self._socket.close()
                case {"from": "node", "text": message}:
                    self._bind(message, await self._hears(message["type"]))
                    self.welcomed.set()
                case {"from": "node", "frame": frame}:
                    await self._hears_frame(base64.b64decode(frame))
        return self._socket.close_code or 0

    async def _hears(self, type: str) -> dict[str, Any]:
        while True:
            data = await self._next()
            if isinstance(data, str) and json.loads(data)["type"] == type:
                return dict(json.loads(data))

    async def _hears_frame(self, recorded: bytes) -> None:
        """Wait for the like of a frame. Output comes in other pieces and is waited for by its end; how often somebody
        reports what they have seen is theirs."""
        kind, wanted = recorded[0], frames.payload(recorded)
        if kind == Kind.SEEN or (kind == Kind.OUTPUT and b"4Z" not in wanted):
            return
        while not (kind == Kind.OUTPUT and b"4Z" in self.output):
            data = await self._next()
            if isinstance(data, bytes) and data[0] == kind and kind != Kind.OUTPUT:
                return

    async def _next(self) -> str | bytes:
        async with asyncio.timeout(WAIT_SECONDS):
            data = await self._socket.recv()
        if isinstance(data, bytes):
            header = Header._make(frames.HEADER.unpack_from(data))
            if header.kind in frames.OUTPUT_KINDS:
                self._last = header.sequence
            if header.kind == Kind.OUTPUT:
                self.output += frames.payload(data)
        return data

    def _bind(self, then: Any, now: Any) -> None:
        """What was heard has today's values where the recorded message has those of the past."""
        if isinstance(then, dict) and isinstance(now, dict):
            for name in then.keys() & now.keys():
                if name == "session" and isinstance(then[name], dict):
                    self._today["session", then[name]["id"]] = now[name]["id"]
                elif name in BOUND and isinstance(then[name], str | int):
                    self._today[name, then[name]] = now[name]
                self._bind(then[name], now[name])

    def _translated(self, message: Any) -> Any:
        if isinstance(message, dict):
            return {
                name: self._today.get((name, value), value) if name in BOUND and not isinstance(value, dict)
                else self._translated(value)
                for name, value in message.items()
            }  # fmt: skip
        return message

    def _frame(self, recorded: bytes) -> bytes:
        then = Header._make(frames.HEADER.unpack_from(recorded))
        session = self._today.get(("session", ids.text(then.session)))
        header = then._replace(
            attachment=self._today.get(("attachment", then.attachment), then.attachment),
            epoch=self._today.get(("epoch", then.epoch), then.epoch),
            session=then.session if session is None else ids.raw(session),
            sequence=self._last if then.kind == Kind.SEEN else then.sequence,
        )
        return frames.pack(header, frames.payload(recorded))


@asynccontextmanager
async def socket_to(url: str, path: str, token: str) -> AsyncIterator[ClientConnection]:
    """A socket to a node, as any peer of `relay.v1` opens one."""
    async with connect(
        url.replace("http", "ws", 1) + path,
        additional_headers={"authorization": f"Bearer {token}"},
        subprotocols=[Subprotocol("relay.v1")],
        compression=None,
    ) as socket:
        yield socket
