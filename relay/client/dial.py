"""Opens one WebSocket to one of several nodes, tried in random order, and names every way in which it can end."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from relay import errors
from relay.client.addresses import LOOPBACK
from relay.client.refusal import final_word, turn_seconds
from relay.errors import Close, RelayError, Unavailable
from relay.rules import limits, timing

PROTOCOL = "relay.v1"
AGENT_PATH = "/ws/agent"
BROWSER_PATH = "/ws/browser"
AGENT_MESSAGE_BYTES = limits.FRAME_BYTES  # the largest that a node sends to an agent
BROWSER_MESSAGE_BYTES = 16 * limits.MIB  # one snapshot of 10,000 machines has about 6 MiB
OPEN_SECONDS = 10.0  # for TCP, TLS and the upgrade of one node before the next one is tried
CLOSE_SECONDS = 2.0  # for the other side's half of the closing handshake; nobody waits longer to leave
NODES_KEPT = 32  # addresses remembered; more nodes than this are found through those
# At most, however often we were refused: so says a node that has no Redis at the moment, and a machine that stays away
# for longer than the grace of one whose socket dropped is said to be offline for it.
CAPACITY_SECONDS = timing.DROPPED_SECONDS / 2
# A peer that a node took, however briefly, goes no further up the steps: of an agent's that is 5 s. Its machine is not
# said to be offline then, however often a balancer or a row of dying nodes cuts it off; the long steps are for a relay
# that takes nobody.
WELCOMED_FAILURES = 2
SHED_JITTER = 0.2  # each waits up to this part longer, since all who were told the same second would return in it
NO_CLOSE_FRAME = 1006  # what the WebSocket standard calls a socket that ended without a word


class Closed(Unavailable):
    """The socket ended; `close_code` and `close_reason` are the peer's, 1006 when it said nothing."""

    def __init__(self, close_code: int, close_reason: str = "") -> None:
        super().__init__(f"the relay closed the connection: {close_code} {close_reason}".rstrip())
        self.close_code = close_code
        self.close_reason = close_reason


class ClosedForGood(Closed):
    """4000-4099, 1007 or 1009: coming back by itself would only repeat it."""

    def as_error(self) -> RelayError:
        """The error of the same meaning, whose exit code a command passes on."""
        kind = _BY_CLOSE.get(self.close_code, errors.Invalid)
        return kind(_SENTENCES.get(self.close_code, self.message))


class ClosedBackOff(Closed):
    """4100-4199: come back, but later than you would have."""


class ClosedSoon(Closed):
    """4200-4299 and every end without a code of ours, such as a lost network: come back within seconds and resume."""


class Unreachable(Unavailable):
    """No node of the list could be reached; the sentence says what each of them answered."""


class Shed(Unreachable):
    """No node of the list took us, and `node` gave us a turn in `again_seconds`, sooner than any other that did."""

    def __init__(self, message: str, node: str, again_seconds: float) -> None:
        super().__init__(message)
        self.node = node
        self.again_seconds = again_seconds


class Deadlines(NamedTuple):
    """How long each step of one socket's life may take, in seconds."""

    open: float = OPEN_SECONDS
    ping: float | None = timing.PING_SECONDS
    pong: float | None = timing.PONG_SECONDS
    close: float = CLOSE_SECONDS


def closed(code: int | None, reason: str = "") -> Closed:
    """The end of a socket as the class that says whether to come back."""
    if code is None:
        return ClosedSoon(NO_CLOSE_FRAME, reason)
    if 4000 <= code < 4100 or code in (Close.BAD_UTF8, Close.TOO_BIG):
        return ClosedForGood(code, reason)
    if 4100 <= code < 4200:
        return ClosedBackOff(code, reason)
    return ClosedSoon(code, reason)


class Socket:
    """One open WebSocket: whole messages in and out; every method but `close` raises a `Closed` once it has ended."""

    def __init__(self, connection: ClientConnection, node: str) -> None:
        self._connection = connection
        self.node = node  # the address that was dialled, for logs and for trying another one next

    async def send_text(self, text: str | bytes) -> None:
        """Send one control message; waits while the peer takes nothing."""
        try:
            await self._connection.send(text, text=True)
        except ConnectionClosed as end:
            raise _ended(end) from None

    async def send_binary(self, frame: bytes) -> None:
        """Send one frame; waits while the peer takes nothing."""
        try:
            await self._connection.send(frame, text=False)
        except ConnectionClosed as end:
            raise _ended(end) from None

    async def receive(self) -> str | bytes:
        """The next message: `str` is a control message, `bytes` a frame."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as end:
            raise _ended(end) from None

    async def close(self, code: int = Close.NORMAL, reason: str = "") -> None:
        """Close, waiting at most the close deadline; does nothing on a socket that has ended."""
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """Drop the connection without a closing handshake, as a lost network would."""
        self._connection.transport.abort()


@asynccontextmanager
async def dial(
    urls: Sequence[str],
    path: str,
    token: str | None,
    *,
    message_bytes: int = AGENT_MESSAGE_BYTES,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - an immutable value
    tls: ssl.SSLContext | None = None,
    random: Random | None = None,
) -> AsyncIterator[Socket]:
    """A socket to the first node that answers, closed on leaving; raises what `open_socket` raises."""
    socket = await open_socket(
        urls, path, token, message_bytes=message_bytes, deadlines=deadlines, tls=tls, random=random
    )
    try:
        yield socket
    finally:
        await socket.close()


async def open_socket(
    urls: Sequence[str],
    path: str,
    token: str | None,
    *,
    message_bytes: int = AGENT_MESSAGE_BYTES,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - an immutable value
    tls: ssl.SSLContext | None = None,
    random: Random | None = None,
) -> Socket:
    """The same for those who close it themselves. Raises `Unreachable` when no node takes us (`Shed` if one said when
    it will), and at once what a node says for good: `BadToken`, `Forbidden`, `MachineRevoked`, `UnsupportedVersion`."""
    failures = []
    turns: dict[str, float] = {}  # by node that has too many newcomers: in how many seconds it takes us
    for node in in_random_order(urls, random):
        try:
            connection = await connect(
                socket_url(node, path),
                subprotocols=[Subprotocol(PROTOCOL)],
                additional_headers={"Authorization": f"Bearer {token}"} if token else None,
                user_agent_header="relay-client",
                compression=None,  # costs two times the memory and slows small frames down
                proxy=None if urlsplit(node).hostname in LOOPBACK else True,
                open_timeout=deadlines.open,
                ping_interval=deadlines.ping,
                ping_timeout=deadlines.pong,
                close_timeout=deadlines.close,
                max_size=message_bytes,
                ssl=(tls or True) if node.startswith("https") else None,
            )
        except InvalidStatus as answer:
            refusal = final_word(answer.response)
            if refusal is not None:
                raise refusal from None
            turn = turn_seconds(answer.response)
            if turn is None:
                failures.append(f"{node} answered {answer.response.status_code}")
            else:
                turns[node] = turn
                failures.append(f"{node} is busy and asks to come back in {turn:g} s")
        except InvalidURI:
            raise errors.Misconfigured(f"{node!r} is not the address of a relay") from None
        except TimeoutError:
            failures.append(f"{node} did not answer within {deadlines.open:g} s")
        except (OSError, InvalidHandshake, EOFError) as error:
            failures.append(f"{node}: {_why(error)}")
        else:
            if connection.subprotocol != PROTOCOL:
                await connection.close()
                raise errors.UnsupportedVersion(f"{node} does not speak {PROTOCOL}")
            return Socket(connection, node)
    message = "no node of the relay can be reached: " + "; ".join(failures or ["no address is known"])
    if turns:
        soonest = min(turns, key=lambda node: turns[node])
        raise Shed(message, soonest, turns[soonest])
    raise Unreachable(message)


def in_random_order(urls: Iterable[str], random: Random | None = None) -> list[str]:
    """The addresses once each, shuffled, so that the peers of a lost node spread over the others."""
    order = list(dict.fromkeys(urls))
    (random or SystemRandom()).shuffle(order)
    return order


def socket_url(node: str, path: str) -> str:
    """The WebSocket address of a path on a node that is known by its HTTP address."""
    scheme, _, rest = node.partition("://")
    return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest.rstrip('/')}{path}"


class BackOff:
    """Says how long to wait before the next attempt: full jitter over growing steps; no clock and no sleep inside."""

    def __init__(self, steps: Sequence[float] = timing.AGENT_BACK_OFF_SECONDS, *, random: Random | None = None) -> None:
        self._steps = steps
        self._random = random or SystemRandom()
        self._failures = 0
        self._welcomed = False  # since the last wait
        self._hint: float | None = None

    def next(self) -> float:
        """Seconds to wait now; each call counts one more failure."""
        step = self._steps[min(self._failures, len(self._steps) - 1)]
        self._failures += 1
        hint, self._hint = self._hint, None
        return hint if hint is not None else self._random.uniform(0, step)

    def hint(self, seconds: float) -> None:
        """What the server asked for; overrides the next wait."""
        self._hint = max(0.0, seconds)

    def after(self, end: RelayError) -> float:
        """Seconds to wait after this end: soon for 4200-4299, the longer part of a grown step for 4100-4199, and never
        less than what a busy node asked for."""
        welcomed, self._welcomed = self._welcomed, False
        if isinstance(end, Shed):
            return end.again_seconds * (1 + self._random.uniform(0, SHED_JITTER))
        if isinstance(end, ClosedSoon) and 4200 <= end.close_code < 4300:
            self._failures = 0
            return self.next()
        if isinstance(end, ClosedBackOff):
            self._failures = max(self._failures + 1, 2)
            step = self._steps[min(self._failures, len(self._steps) - 1)]
            if end.close_code == Close.OVER_CAPACITY:
                step = min(step, CAPACITY_SECONDS)
            hint, self._hint = self._hint, None
            return hint if hint is not None else step / 2 + self._random.uniform(0, step / 2)
        if welcomed:
            self._failures = min(self._failures, WELCOMED_FAILURES)
        return self.next()

    def connected_for(self, seconds: float) -> None:
        """A connection that just ended was welcomed so long before; after a stable one start from the first step."""
        self._welcomed = True
        if seconds >= timing.STABLE_SECONDS:
            self._failures = 0


_BY_CLOSE: dict[int, type[RelayError]] = {
    Close.MACHINE_REVOKED: errors.MachineRevoked,
    Close.BAD_TOKEN: errors.BadToken,
    Close.FORBIDDEN: errors.Forbidden,
    Close.REPLACED: errors.Replaced,
    Close.PROTOCOL_ERROR: errors.Invalid,
    Close.UNSUPPORTED_VERSION: errors.UnsupportedVersion,
    Close.TOO_BIG: errors.TooBig,
}
_SENTENCES: dict[int, str] = {
    Close.MACHINE_REVOKED: "this machine was revoked",
    Close.BAD_TOKEN: "this sign-in is not valid any more: run `relay login`",
    Close.FORBIDDEN: "your access was taken away",
    Close.REPLACED: "another instance of this machine took over",
    Close.UNSUPPORTED_VERSION: "the relay does not speak this version: upgrade relay",
}


def _ended(end: ConnectionClosed) -> Closed:
    frame = end.rcvd or end.sent
    return closed(None if frame is None else frame.code, "" if frame is None else frame.reason)


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
