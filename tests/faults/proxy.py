"""Stands between two programs on TCP and spoils what passes on command: late, held, swallowed, cut, refused, deaf.

    with proxies() as lend:
        front = lend.to(("127.0.0.1", 8000))     # or a path, for a unix socket; `redis=True` to be able to deafen
        front.delay(0.2)                         # each way; or `way="up"`, from whoever dialled to the server
        front.stall(only=b"/ws/agent")           # only connections that began with a request for this
        front.heal()                             # what is held goes on; what was swallowed ends with a reset

Proxies live in a thread of their own and may be told from any other. Faults add up until `heal`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Literal, NamedTuple

from tests.faults.resp import Resp, is_pushed
from tests.support.ports import free_ports

Way = Literal["up", "down"]
Kind = Literal["delay", "stall", "swallow", "cut", "deaf"]
Upstream = tuple[str, int] | str  # host and port, or the path of a unix socket

CHUNK_BYTES = 16 * 1024
CHUNKS_HELD = 16  # of each way of a connection; beyond it the sender is held up, as by a full network
ORDER_SECONDS = 10.0  # for the thread to do what it is told, which takes it no time at all
OPENING_BYTES = 64  # of what a connection says first: enough for the path of its request


class Fault(NamedTuple):
    """One thing that goes wrong, for some connections, in one way or both."""

    kind: Kind
    way: Way | None = None
    only: bytes = b""
    amount: float = 0.0  # seconds of a delay, bytes before a cut


class Connection:
    """One connection through a proxy: two sockets, and what is on its way between them."""

    def __init__(self, proxy: Proxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.opening = b""
        self._proxy = proxy
        self._writers = {"up": far, "down": near}
        self._passed = {"up": 0, "down": 0}
        self._holes: set[Way] = set()  # ways that bytes were swallowed of
        self._resp = Resp() if proxy.redis else None

    @property
    def broken(self) -> bool:
        """Whether bytes of it were swallowed, so that it can only end."""
        return bool(self._holes)

    async def carry(self, readers: dict[Way, asyncio.StreamReader]) -> None:
        """Both ways, until both ends are closed or either is lost."""
        queues: dict[Way, asyncio.Queue[tuple[float, bytes]]] = {way: asyncio.Queue(CHUNKS_HELD) for way in readers}
        tasks = [asyncio.create_task(self._take(way, reader, queues[way])) for way, reader in readers.items()]
        tasks += [asyncio.create_task(self._pass_on(way, queue)) for way, queue in queues.items()]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
            lost = any(isinstance(failure, OSError) for failure in failures)
            await self._await_heal(lost)
            if lost or self.broken:
                self.reset()
            for writer in self._writers.values():
                writer.close()

    async def _await_heal(self, lost: bool) -> None:
        """Whoever is still there is not told of an end that happened beyond a fault."""
        while lost and self._faults("swallow"):
            await self._proxy.changed.wait()

    def _faults(self, kind: Kind, way: Way | None = None) -> list[Fault]:
        return [
            fault
            for fault in self._proxy.faults
            if fault.kind == kind
            and (way is None or fault.way in (None, way))
            and (not fault.only or fault.only in self.opening)
        ]

    async def _take(self, way: Way, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            data = await reader.read(CHUNK_BYTES)
            if way == "up" and not self.opening:
                self.opening = data[:OPENING_BYTES]
            late = sum(fault.amount for fault in self._faults("delay", way))
            await queue.put((clock() + late, data))
            if not data:
                return

    async def _pass_on(self, way: Way, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        writer = self._writers[way]
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            while self._faults("stall", way):
                await self._proxy.changed.wait()
            if way in self._holes or self._faults("swallow", way):
                self._holes.add(way)
                if not data:
                    return
                continue
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(self._cut(way, self._heard(way, data)))
            await writer.drain()
            self._passed[way] += len(data)

    def _heard(self, way: Way, data: bytes) -> bytes:
        """Of Redis's answers only whole messages pass, and what is said to subscribers only if they may hear."""
        if self._resp is None or way != "down":
            return data
        deaf = self._faults("deaf")
        return b"".join(message for message in self._resp.feed(data) if not (deaf and is_pushed(message)))

    def _cut(self, way: Way, data: bytes) -> bytes:
        """The beginning that still passes; the rest of the connection is reset behind it."""
        for fault in self._faults("cut", way):
            left = int(fault.amount) - self._passed[way]
            if len(data) >= left:
                loop = asyncio.get_running_loop()
                loop.call_later(0, self._proxy.lose, self)
                return data[: max(0, left)]
        return data

    def reset(self) -> None:
        """End both sockets as a machine does that knows nothing of them."""
        for writer in self._writers.values():
            plain: socket.socket | None = writer.get_extra_info("socket")
            if plain is not None and plain.fileno() >= 0 and plain.family != socket.AF_UNIX:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """A port of its own in front of one server, and everything that is wrong with it now."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], upstream: Upstream, redis: bool) -> None:
        (self.port,) = free_ports(1)
        self.redis = redis
        self.faults: list[Fault] = []
        self.changed = asyncio.Event()  # set and replaced at every change
        self._run = run
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._connections: dict[Connection, asyncio.Task[None] | None] = {}

    @property
    def url(self) -> str:
        """Where a node is reached through this proxy."""
        return f"http://127.0.0.1:{self.port}"

    # --- what a scenario says -------------------------------------------------------------------------------------

    def delay(self, seconds: float, *, way: Way | None = None, only: bytes = b"") -> None:
        """Let everything arrive so much later, in order."""
        self._add(Fault("delay", way, only, seconds))

    def stall(self, *, way: Way | None = None, only: bytes = b"") -> None:
        """Hold everything until healed: connections are accepted, and nothing comes of them."""
        self._add(Fault("stall", way, only))

    def half_open(self, *, way: Way | None = None, only: bytes = b"") -> None:
        """Swallow everything, ends of connections included, while both sockets stay open, like a network that forgot
        them; when it heals, whoever was concerned is reset."""
        self._add(Fault("swallow", way, only))

    def cut_after(self, size: int, *, way: Way, only: bytes = b"") -> None:
        """Reset each connection as soon as so many bytes of it have passed this way, counted from its beginning."""
        self._add(Fault("cut", way, only, float(size)))

    def deafen(self) -> None:
        """Keep from subscribers of Redis whatever is published, while commands, answers and TCP are healthy."""
        assert self.redis, "only a proxy that was made for Redis understands it"
        self._add(Fault("deaf"))

    def reset(self, *, only: bytes = b"") -> int:
        """Reset the connections that there are; how many that were. New ones are welcome."""
        return int(self._run(self._reset(only)))

    def refuse(self) -> None:
        """Listen no more; connections that there are go on."""
        self._run(self._stop_listening())

    def heal(self) -> None:
        """Undo every fault."""
        self._run(self._heal())

    def count(self, *, only: bytes = b"") -> int:
        """How many connections there are."""
        return int(self._run(self._count(only)))

    # --- in the thread of the proxies -----------------------------------------------------------------------------

    def _add(self, fault: Fault) -> None:
        async def add() -> None:
            self.faults.append(fault)
            self._change()

        self._run(add())

    def _change(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def listen(self) -> None:
        """Listen, if nobody does."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _heal(self) -> None:
        self.faults.clear()
        for connection in list(self._connections):
            if connection.broken:
                self.lose(connection)
        self._change()
        await self.listen()

    async def _reset(self, only: bytes) -> int:
        found = [each for each in self._connections if only in each.opening]
        for connection in found:
            self.lose(connection)
        return len(found)

    async def _count(self, only: bytes) -> int:
        return sum(only in each.opening for each in self._connections)

    def lose(self, connection: Connection) -> None:
        """Reset one connection now, and forget it."""
        connection.reset()
        task = self._connections.pop(connection, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End everything."""
        await self._stop_listening()
        self.faults.clear()
        tasks = [task for task in self._connections.values() if task is not None]
        await self._reset(b"")
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._upstream, str):
                answers, far = await asyncio.open_unix_connection(self._upstream)
            else:
                answers, far = await asyncio.open_connection(*self._upstream)
        except OSError:
            near.transport.abort()
            return
        connection = Connection(self, near, far)
        self._connections[connection] = asyncio.current_task()
        try:
            await connection.carry({"up": reader, "down": answers})
        except asyncio.CancelledError:
            pass  # lost on purpose; nobody waits for this task
        finally:
            self._connections.pop(connection, None)


class Lender:
    """Makes proxies in one thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.made: list[Proxy] = []
        self._loop = loop

    def to(self, upstream: Upstream, *, redis: bool = False) -> Proxy:
        """A proxy that listens, before this server, which need not be there yet."""
        proxy = Proxy(self._run, upstream, redis)
        self._run(proxy.listen())
        self.made.append(proxy)
        return proxy

    def heal(self) -> None:
        """Undo every fault of every proxy."""
        for proxy in self.made:
            proxy.heal()

    def _run(self, work: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(ORDER_SECONDS)


@contextlib.contextmanager
def proxies() -> Iterator[Lender]:
    """Proxies for as long as this lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    lender = Lender(loop)
    try:
        yield lender
    finally:
        for proxy in lender.made:
            lender._run(proxy.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
