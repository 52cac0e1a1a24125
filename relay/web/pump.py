"""Carries one accepted WebSocket: what arrives goes to callbacks, what leaves waits in a bounded outbox."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from relay.errors import Close, RelayError
from relay.rules.limits import CONTROL_BYTES, KIB, OUTBOX_BYTES

CONTROL_MARGIN_BYTES = 512 * KIB  # control messages still pass when frames fill the outbox: they say why it is full
DRAINED_BYTES = 256 * KIB  # below this a long answer goes on
CLOSE_SECONDS = 5.0  # for what is queued, and again for the close itself; server.py then drops who does not answer it
LEFT_WITHOUT_CODE = 1006  # RFC 6455, section 7.4.1: the connection was lost


class Pump:
    """One connection's reader and writer, and the owner of every task that its messages start."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[bytes | str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._low = asyncio.Event()
        self._low.set()
        self._patience: asyncio.Timeout | None = None  # of the writer, without end until this side closes
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing: Close | None = None

    # --- what the hub sees -------------------------------------------------------------------------------------

    def send_text(self, data: bytes) -> bool:
        """Queue a control message; a peer whose outbox cannot even take this is closed as a slow consumer."""
        if self._bytes + len(data) > OUTBOX_BYTES + CONTROL_MARGIN_BYTES:
            self.close(Close.SLOW_CONSUMER)
            return False
        return self._put(data.decode(), len(data))

    def send_binary(self, data: bytes) -> bool:
        """Queue a frame; False, with nothing queued, when the outbox is full."""
        if self._bytes + len(data) > OUTBOX_BYTES:
            return False
        return self._put(data, len(data))

    def _put(self, data: bytes | str, size: int) -> bool:
        if self.closing is not None:
            return True  # it is leaving; nobody is slow
        self._queue.append(data)
        self._bytes += size
        if self._bytes > DRAINED_BYTES:
            self._low.clear()
        self._wake.set()
        return True

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
            self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on behalf of this connection; it ends with the connection."""
        assert self._group is not None, "only a running pump has tasks"
        task = self._group.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- running -----------------------------------------------------------------------------------------------

    async def run(
        self, on_text: Callable[[str], None], on_binary: Callable[[bytes], None], begin: Callable[[], None]
    ) -> tuple[int, str]:
        """Serve until either side closes; the answer is the code and reason. `begin` may spawn first."""
        async with asyncio.TaskGroup() as self._group:
            writer = self._group.create_task(self._write())
            begin()
            try:
                return await self._read(on_text, on_binary)
            finally:
                self.closing = self.closing or Close.NORMAL
                self._low.set()
                writer.cancel()
                for task in list(self._tasks):
                    task.cancel()

    async def _read(self, on_text: Callable[[str], None], on_binary: Callable[[bytes], None]) -> tuple[int, str]:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                if self.closing is not None:
                    return int(self.closing), self.closing.reason
                return int(message.get("code") or LEFT_WITHOUT_CODE), str(message.get("reason") or "")
            if self.closing is not None:
                continue  # said after we said goodbye
            try:
                text = message.get("text")
                if text is None:
                    on_binary(message["bytes"])
                elif len(text) > CONTROL_BYTES:
                    self.close(Close.TOO_BIG)
                else:
                    on_text(text)
            except RelayError as error:
                self.refuse(error)
            except Exception:
                structlog.get_logger().exception("a message could not be handled")
                self.close(Close.INTERNAL)

    def refuse(self, error: RelayError) -> None:
        """Close with the error's code, after one line in the log."""
        structlog.get_logger().info("a peer is refused", code=int(error.close), why=error.code)
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
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(int(self.closing), self.closing.reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
            return
