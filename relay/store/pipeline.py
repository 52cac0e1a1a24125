"""Asks each server over one connection: the commands of one loop tick leave in one write, each gets its answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis._parsers import BaseParser
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import MovedError, ReadOnlyError
from redis.exceptions import TimeoutError as NoAnswer

from relay.errors import Unavailable
from relay.rules import metrics
from relay.rules.limits import PIPELINED_COMMANDS
from relay.rules.tally import Tally
from relay.store.connection import ANSWER_SECONDS, hand_over
from relay.store.memory import servers
from relay.store.servers import Address, owner_anew
from relay.store.sharded import key_of

ATTEMPTS = 2  # a connection may have died with the server before; a second failure is news

# A command through redis-py's pool costs about 150 µs of this process: a connection is fetched, locked, timed and given
# back. In a storm of handshakes that is most of a handshake, and hundreds of them queue for the pool's connections.


class Line(asyncio.Protocol):
    """One RESP3 connection, whose answers come in the order of the questions."""

    def __init__(self) -> None:
        self.seconds = Tally(metrics.REDIS_SECONDS)  # of the round trips
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(encoding="utf-8")
        # And since when, by the loop's clock, which goes by milliseconds, and by one that shows how long it took.
        self._asked: deque[tuple[asyncio.Future[Any], float, float]] = deque()
        self._watch: asyncio.TimerHandle | None = None  # while anybody waits; one timer for all of them
        self._out: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None  # its collection would close the transport
        self.open = False

    @classmethod
    async def connect(cls, connection: Any) -> Line:
        """Connect as redis-py does and take its socket over; raises what redis-py raises."""
        line = cls()
        line._writer = await hand_over(connection, line)
        line.open = True
        return line

    def ask(self, words: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Send a command at the end of this tick; the answer, or an error of redis-py. Raises `LostConnection` if the
        line broke before anybody could ask: whoever shared the wait for it comes later than its loss."""
        if not self.open:
            raise LostConnection("Connection closed by server.")
        packed = hiredis.pack_command(words)  # first: an answer without its question would be everybody's wrong answer
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append((future, self._loop.time(), time.perf_counter()))
        if self._watch is None:
            self._watch = self._loop.call_later(ANSWER_SECONDS, self._look)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        return future

    @property
    def asked(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._asked)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.open and self._writer is not None:
            self._writer.transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if not isinstance(answer, hiredis.PushNotification):  # nobody asked for those
                    self._answer(answer)
        except hiredis.ProtocolError:
            self.abort()

    def _answer(self, answer: Any) -> None:
        future, _, began = self._asked.popleft()
        self.seconds.add(time.perf_counter() - began)
        if isinstance(answer, hiredis.ReplyError):
            answer = BaseParser.parse_error(str(answer))  # type: ignore[no-untyped-call]
            if isinstance(answer, ReadOnlyError):
                self.abort()  # another server is the primary now
        if future.done():
            return  # who asked has left
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _look(self) -> None:
        """Give up on a server that keeps somebody waiting too long: what it answers now comes too late."""
        self._watch = None
        if not self._asked:
            return
        due = self._asked[0][1] + ANSWER_SECONDS
        if due <= self._loop.time():
            self.abort()
            self._fail(TimeoutError("Redis does not answer"))
        else:
            self._watch = self._loop.call_at(due, self._look)

    def abort(self) -> None:
        """Cut the connection at once."""
        self.open = False
        if self._writer is not None:
            self._writer.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the event loop."""
        self.open = False
        self._writer = None
        self._fail(LostConnection("Connection closed by server."))

    def _fail(self, error: Exception) -> None:
        while self._asked:
            future, _, _ = self._asked.popleft()
            self.seconds.miss()
            if not future.done():
                future.set_exception(error)


class Pipeline:
    """A client for single commands, with as many under way as there are askers; it connects when first needed."""

    def __init__(self, url: str) -> None:
        self.limited: Callable[[str], None] = lambda limit: None  # set once, by the node that counts its limits
        self.seconds = Tally(metrics.REDIS_SECONDS)
        self._servers = servers(url)
        self._lines: dict[Address, Line] = {}
        self._connecting: dict[Address, asyncio.Future[Line]] = {}  # attempts, each shared by all who need it
        self._waiting = 0

    async def execute_command(self, *words: Any) -> Any:
        """One command and its answer; raises as redis-py does, and `Unavailable` when too many wait already. A command
        whose connection is lost is sent once more, so it should not matter if it is carried out twice."""
        if self._waiting >= PIPELINED_COMMANDS:
            self.limited("PIPELINED_COMMANDS")
            raise Unavailable("too many questions wait for the relay's memory (Redis)", limit="PIPELINED_COMMANDS")
        self._waiting += 1
        try:
            if not self._servers.addresses:
                await self._learn()
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    key = key_of(words) or ""
                    try:
                        address = self._servers.owner(key)
                    except Unavailable:
                        address = await owner_anew(self._servers, key)
                    line = self._lines.get(address)
                    if line is None or not line.open:
                        line = await self._connect(address)
                    return await line.ask(words)
                except MovedError as error:
                    await self._learn()
                    # After the map, which may be somebody's who has not heard of it.
                    self._servers.moved(error, address)
                    if attempt == ATTEMPTS:
                        raise
                except LostConnection:
                    await self._learn()
                    if attempt == ATTEMPTS:
                        raise
                except (NoAnswer, TimeoutError, OSError):
                    await self._learn()  # for who comes next: perhaps another server has its keys now
                    raise
        finally:
            self._waiting -= 1
        raise AssertionError("the last attempt returns or raises")

    async def _learn(self) -> None:
        """Find out anew who has which keys, and hang up on who has none any more: a server that left the Cluster may
        live on for long."""
        await self._servers.learn()
        for address in self._lines.keys() - self._servers.addresses:
            if not self._lines[address].asked:  # else whoever waits there has its answer first
                self._lines.pop(address).abort()

    async def _connect(self, address: Address) -> Line:
        """A new connection, or the error of the one attempt that everybody waits for."""
        if address in self._connecting:
            return await asyncio.shield(self._connecting[address])
        attempt = self._connecting[address] = asyncio.get_running_loop().create_future()
        try:
            line = self._lines[address] = await Line.connect(self._servers.connection(address))
        except BaseException as error:
            left = isinstance(error, asyncio.CancelledError)  # whoever tried has left; the others try once more
            attempt.set_exception(LostConnection("nobody connects any more") if left else error)
            attempt.exception()  # perhaps nobody waits for it
            raise
        finally:
            del self._connecting[address]
        line.seconds = self.seconds
        attempt.set_result(line)
        return line

    async def aclose(self) -> None:
        """Leave no connection behind."""
        for line in self._lines.values():
            line.abort()
        await self._servers.aclose()
