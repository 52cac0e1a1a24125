"""Owns one browser-side place on the cluster: a socket that comes back on any node, requests, and who hears what."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random, SystemRandom
from typing import Any, NamedTuple

import msgspec

from relay.client import dial
from relay.client.addresses import usable
from relay.client.back_off import BackOff
from relay.client.dial import Deadlines, Socket
from relay.client.ends import Closed, ClosedForGood, ClosedSoon, Shed, end_of
from relay.client.listeners import Listeners
from relay.client.outbox import Outbox, Outgoing
from relay.client.pending import Pending
from relay.errors import Invalid, RelayError, Unavailable
from relay.rules import frames, messages, timing
from relay.rules.browser_messages import BrowserHello, BrowserWelcome, to_browser
from relay.rules.messages import Message, Nodes

BACK_OFF_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)  # with full jitter; a person waits, and a lost node leaves others at once
FLUSH_SECONDS = 1.0  # at the end, for what was posted last, such as a detach
OPEN_SECONDS = 3.0  # for one node; a host that vanished must not hold a person up while others are alive
ASKED_BACK_SECONDS = 5.0  # whoever met a node that leaves: a balancer sends nobody there any more a second later
SHED_PATIENCE_SECONDS = 60.0  # two turns; a node that says when it has time is worth waiting for, whoever waits
ANSWER_SECONDS = timing.REQUEST_SECONDS + 2 * timing.HOP_SECONDS  # the machine's time, and the way there and back


class Options(NamedTuple):
    """What a connection may be told beyond where to and as whom."""

    label: str = ""  # shown to others beside the user's name
    client: str | None = None  # names the input streams; random unless a test needs it
    first_seconds: float = 0.0  # how long to look for the first node; 0: each of them once
    patience_seconds: float | None = None  # without any node for this long later on it fails; None: try for ever
    on_busy: Callable[[float], None] | None = None  # told how long it waits for its turn at a node that is too busy
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep  # between two attempts
    deadlines: Deadlines = Deadlines(open=OPEN_SECONDS)
    tls: ssl.SSLContext | None = None
    random: Random | None = None
    traceparent: str = ""  # what all requests are steps of, as W3C Trace Context has it


class _End(NamedTuple):
    """How one socket ended, and whether it had been welcomed."""

    closed: Closed
    welcomed: bool


class Connection:
    """A place on the cluster that outlives its sockets; use `connected(...)` to get one."""

    def __init__(self, urls: Sequence[str], token: str | None, options: Options) -> None:
        self.client = options.client or secrets.token_urlsafe(12)
        self.welcome: BrowserWelcome | None = None
        self.nodes: list[str] = list(urls)
        self._given = next(iter(urls), "")
        self.listeners = Listeners()
        self._token = token
        self._options = options
        self._random = options.random or SystemRandom()
        self._back_off = BackOff(BACK_OFF_SECONDS, random=self._random)
        self._pending = Pending()
        self._outbox = Outbox()
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: RelayError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: Socket | None = None

    # --- for those who use it ---------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a node has welcomed us and the socket is open as far as we know."""
        return self._ready.is_set() and self._failure is None

    @property
    def failure(self) -> RelayError | None:
        """Why this connection ended for good, if it did."""
        return self._failure

    @property
    def node(self) -> str | None:
        """The address of the node that we are on."""
        return self._socket.node if self._socket else None

    async def ready(self) -> None:
        """Return once a node has welcomed us; raises what made the connection fail for good."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def ended(self) -> RelayError:
        """Wait until the connection ends for good, and return why."""
        await self._ended.wait()
        assert self._failure is not None, "an end has a reason"
        return self._failure

    async def request(self, message: Any, seconds: float = ANSWER_SECONDS) -> Message:
        """Send a message with a `ref` and return its answer. Raises the error that the relay answered, `TimedOut`, or
        `Lost` when the socket ends first: then nobody knows whether it was done."""
        await self.ready()
        if self._options.traceparent and hasattr(message, "traceparent"):
            message.traceparent = self._options.traceparent
        return await self._pending.ask(message, self.post, seconds)

    def post(self, outgoing: Outgoing) -> None:
        """Queue a control message (`str`) or a frame (`bytes`) for the socket that is open now; without one it is
        dropped, because whoever sent it repeats what matters in `on_connected`."""
        if self.up:
            self._outbox.put(outgoing)

    def drop(self) -> None:
        """Lose the socket as if the network had; for tests and load tests."""
        if self._socket:
            self._socket.abort()

    def own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the connection lasts; when it fails unexpectedly, so does the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        else:
            self._fail(RelayError("internal error"))

    async def close(self) -> None:
        """Send what is posted, then end everything that this connection owns; raises what one of its tasks did not
        expect."""
        if self.up:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._outbox.empty()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    # --- the socket's life ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a socket open for as long as this runs, on whatever node; ends only when coming back is pointless."""
        loop = asyncio.get_running_loop()
        without_since = loop.time()
        error: RelayError
        turn: Shed | None = None  # a node gave it; whoever finds that node as busy as before asks all of them again
        while self._failure is None:
            try:
                socket = await self._open([turn.node] if turn else self.nodes)
                turn, opened = None, loop.time()
                end = await self._live(socket)
                if end.welcomed:
                    without_since = loop.time()
                    self._back_off.connected_for(loop.time() - opened)
                wait, error = self._back_off.after(end.closed), end.closed
            except Unavailable as failure:
                turn = failure if isinstance(failure, Shed) and turn is None else None
                wait, error = self._back_off.after(failure), failure
            except RelayError as failure:
                self._fail(failure)
                return
            if isinstance(error, ClosedForGood):
                self._fail(error.as_error())
                return
            patience = self._patience_seconds(error)
            if patience is not None and loop.time() + wait - without_since > patience:
                self._fail(error)
                return
            if isinstance(error, Shed) and self._options.on_busy is not None:
                self._options.on_busy(wait)
            await self._options.sleep(wait)

    def _patience_seconds(self, error: RelayError) -> float | None:
        patience = self._options.first_seconds if self.welcome is None else self._options.patience_seconds
        if patience is None:
            return None
        if isinstance(error, ClosedSoon) and 4200 <= error.close_code < 4300:
            return max(patience, ASKED_BACK_SECONDS)
        return max(patience, SHED_PATIENCE_SECONDS) if isinstance(error, Shed) else patience

    async def _open(self, nodes: Sequence[str]) -> Socket:
        return await dial.open_socket(
            nodes,
            dial.BROWSER_PATH,
            self._token,
            message_bytes=dial.BROWSER_MESSAGE_BYTES,
            deadlines=self._options.deadlines,
            tls=self._options.tls,
            random=self._random,
        )

    async def _live(self, socket: Socket) -> _End:
        """One socket from hello to its end, which is returned."""
        writer: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(timing.HELLO_SECONDS):
                hello = BrowserHello(client=self.client, label=self._options.label)
                await socket.send_text(messages.encode(hello))
                first = _decoded(await socket.receive())
            if not isinstance(first, BrowserWelcome):
                raise Invalid("the relay did not begin with a welcome")
            self._admitted(socket, first)
            writer = asyncio.create_task(self._outbox.write_to(socket))
            while True:
                self._hear(await socket.receive())
        except Closed as closed:
            end = _End(closed, writer is not None)
        except TimeoutError:
            end = _End(end_of(None, "no welcome"), False)
        except Invalid as error:
            end = _End(end_of(None, error.message), writer is not None)
        finally:
            if writer is not None:
                writer.cancel()
                await asyncio.wait([writer])
            await socket.close()
        self._lost(end.closed)
        return end

    def _admitted(self, socket: Socket, welcome: BrowserWelcome) -> None:
        self._socket = socket
        self.welcome = welcome
        self._learn(welcome.nodes)
        self._outbox.clear()
        self._ready.set()
        for listener in self.listeners.all():
            listener.on_connected()

    def _learn(self, nodes: Sequence[str]) -> None:
        told = usable(nodes, self._given)
        self.nodes = list(dict.fromkeys([*told, *self.nodes]))[: dial.NODES_KEPT]

    def _lost(self, end: Closed) -> None:
        was_up = self._ready.is_set()
        self._socket = None
        self._ready.clear()
        self._outbox.clear()
        self._pending.lose()
        if was_up:
            for listener in self.listeners.all():
                listener.on_lost(end)

    def _fail(self, error: RelayError) -> None:
        self._failure = error
        self._ready.set()
        self._ended.set()
        for listener in self.listeners.all():
            listener.on_lost(error)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _hear(self, incoming: str | bytes) -> None:
        if isinstance(incoming, bytes):
            self.listeners.tell_frame(frames.read_header(incoming, frames.FROM_AGENT), incoming)
            return
        message = _decoded(incoming)
        if isinstance(message, Nodes):
            self._learn(message.nodes)
        if message is not None:
            self.listeners.tell_message(message)  # before whoever asked: frames may follow in the same read
            self._pending.settle(message)


@asynccontextmanager
async def connected(
    urls: Sequence[str], token: str | None, options: Options | None = None
) -> AsyncIterator[Connection]:
    """A connection that is up when this begins and closed when it ends; raises why no node was reached in time."""
    connection = Connection(urls, token, options or Options())
    connection.own(connection.run())
    try:
        await connection.ready()
        yield connection
    finally:
        await connection.close()


def _decoded(incoming: str | bytes) -> Message | None:
    """A control message, or None for one of a newer relay that this version does not know."""
    if isinstance(incoming, bytes):
        raise Invalid("a frame where a message was due")
    try:
        return to_browser(incoming)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise Invalid(str(error)) from None
