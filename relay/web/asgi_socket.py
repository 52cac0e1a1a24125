"""Carries one WebSocket through plain ASGI, message by message, for servers whose connections cannot be taken over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from relay.errors import Close, RelayError, Unavailable
from relay.node.socket import CONTROL_MARGIN_BYTES, DRAINED_BYTES, FAREWELL_SECONDS, LOST, Listener
from relay.rules.limits import CONTROL_BYTES, FRAME_BYTES, OUTBOX_BYTES

WIDE_BYTES = {126: 2, 127: 8}  # RFC 6455, 5.2: how long the length is that follows such a length


class AsgiSocket:
    """One connection's reader and writer, and the owner of every task that its messages start. See `Carrier`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[bytes | str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._low = asyncio.Event()
        self._low.set()
        self._patience: asyncio.Timeout | None = None  # of the writer, without end until this side closes
        self._group: asyncio.TaskGroup | None = None
        self._waiting: list[Coroutine[Any, Any, None]] = []  # spawned before there was a group
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self.closing: Close | None = None

    # --- what the hub sees -------------------------------------------------------------------------------------

    def send_text(self, data: bytes) -> bool:
        """Queue a control message; a peer whose outbox cannot even take this is closed as a slow consumer."""
        if self.closing is not None:
            return True  # it is leaving; nobody is slow
        if self._bytes + len(data) > OUTBOX_BYTES + CONTROL_MARGIN_BYTES:
            self.close(Close.SLOW_CONSUMER)
            return False
        self._put(data.decode(), len(data))
        return True

    def send_binary(self, data: bytes) -> bool:
        """Queue a frame; False, with nothing queued, when the outbox is full."""
        if self.closing is not None:
            return True
        if self._bytes + len(data) > OUTBOX_BYTES:
            return False
        self._put(data, len(data))
        return True

    def send_ready(self, data: bytes) -> bool:
        """Queue frames that are WebSocket frames already; here their headers are taken off again."""
        if self.closing is not None:
            return True
        if self._bytes + len(data) > OUTBOX_BYTES:
            return False
        for payload in _payloads(data):
            self._put(payload, len(payload))
        return True

    def _put(self, data: bytes | str, size: int) -> None:
        self._queue.append(data)
        self._bytes += size
        if self._bytes > DRAINED_BYTES:
            self._low.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until little enough is queued that more may be sent."""
        await self._low.wait()

    def close(self, code: Close) -> None:
        """Close with this code once everything queued is out; the first code counts."""
        if self.closing is None:
            self.closing = code
            self._low.set()
            self._wake.set()
            self._hurry()

    def _hurry(self) -> None:
        """Give what is queued, and what is being sent right now, a limited time to get out."""
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + FAREWELL_SECONDS)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on behalf of this connection; it ends with the connection."""
        if self._over:
            work.close()
            return
        if self._group is None:
            self._waiting.append(work)
            return
        task = self._group.create_task(self._guard(work))
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            work.close()  # one that was cancelled before it began would complain that nobody awaited it
            self._tasks.discard(task)

        task.add_done_callback(done)

    # --- running -----------------------------------------------------------------------------------------------

    async def serve(self, listener: Listener) -> None:
        """See `Carrier`; returns when the connection is over."""
        code, reason = int(Close.INTERNAL), ""
        try:
            async with asyncio.TaskGroup() as self._group:
                writer = self._group.create_task(self._write())
                for work in self._waiting:
                    self.spawn(work)
                try:
                    code, reason = await self._read(listener)
                finally:
                    self._over = True
                    self.closing = self.closing or Close.NORMAL
                    self._low.set()
                    writer.cancel()
                    for task in list(self._tasks):
                        task.cancel()
        finally:
            listener.closed(code, reason)

    async def _read(self, listener: Listener) -> tuple[int, str]:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                if self.closing is not None:
                    return int(self.closing), self.closing.reason
                return int(message.get("code") or LOST), str(message.get("reason") or "")
            if self.closing is None:  # else it was said after we said goodbye
                self._hear(listener, message.get("text"), message.get("bytes"))

    def _hear(self, listener: Listener, text: str | None, frame: bytes | None) -> None:
        try:
            if len(text.encode() if text is not None else frame or b"") > (
                FRAME_BYTES if text is None else CONTROL_BYTES
            ):
                self.close(Close.TOO_BIG)
            elif text is not None:
                listener.text(text)
            elif frame is not None:
                listener.binary(frame)
        except RelayError as error:
            self.refuse(error)
        except Exception:
            structlog.get_logger().exception("a message could not be handled")
            self.close(Close.INTERNAL)
        listener.flush()

    def refuse(self, error: RelayError) -> None:
        """Close with the error's code, after one line in the log."""
        ours = {"words": error.message} if isinstance(error, Unavailable) else {}  # no words about what a peer sent
        structlog.get_logger().info("a peer is refused", code=int(error.close), why=error.code, **ours)
        self.close(error.close)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RelayError as error:
            self.refuse(error)
        except Exception:
            structlog.get_logger().exception("a connection's task failed")
            self.close(Close.INTERNAL)

    async def _write(self) -> None:
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._send_all()
        except TimeoutError:
            self._queue.clear()  # it is slow and leaving: what is queued goes with it
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # the socket is gone; the reader hears of it
        finally:
            self._patience = None
        await self._finish()

    async def _send_all(self) -> None:
        if self.closing is not None:
            self._hurry()
        while self.closing is None or self._queue:
            while self._queue:
                await self._send(self._queue.popleft())
            if self.closing is None:
                self._wake.clear()
                if not self._queue:
                    await self._wake.wait()

    async def _send(self, data: bytes | str) -> None:
        if isinstance(data, str):
            await self._websocket.send({"type": "websocket.send", "text": data})
            self._bytes -= len(data.encode())
        else:
            await self._websocket.send({"type": "websocket.send", "bytes": data})
            self._bytes -= len(data)
        if self._bytes <= DRAINED_BYTES:
            self._low.set()

    async def _finish(self) -> None:
        assert self.closing is not None
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._websocket.close(int(self.closing), self.closing.reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
            return


def _payloads(ready: bytes) -> Iterator[bytes]:
    """What frames of our own carry: whole, unmasked ones, as `rules.websocket.frame` makes them."""
    at = 0
    while at < len(ready):
        size, at = ready[at + 1], at + 2
        wide = WIDE_BYTES.get(size, 0)
        if wide:
            size = int.from_bytes(ready[at : at + wide], "big")
        yield ready[at + wide : at + wide + size]
        at += wide + size
