"""Opens one WebSocket to one of several nodes, tried in random order."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from random import Random, SystemRandom
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from relay import errors
from relay.client.addresses import LOOPBACK
from relay.client.ends import Closed, Shed, Unreachable, end_of
from relay.client.refusal import final_word, turn_seconds
from relay.errors import Close
from relay.rules import limits, timing

PROTOCOL = "relay.v1"
AGENT_PATH = "/ws/agent"
BROWSER_PATH = "/ws/browser"
AGENT_MESSAGE_BYTES = limits.FRAME_BYTES  # the largest that a node sends to an agent
BROWSER_MESSAGE_BYTES = 16 * limits.MIB  # one snapshot of 10,000 machines has about 6 MiB
OPEN_SECONDS = 10.0  # for TCP, TLS and the upgrade of one node before the next one is tried
CLOSE_SECONDS = 2.0  # for the other side's half of the closing handshake; nobody waits longer to leave
NODES_KEPT = 32  # addresses remembered; more nodes than this are found through those


class Deadlines(NamedTuple):
    """How long each step of one socket's life may take, in seconds."""

    open: float = OPEN_SECONDS
    ping: float | None = timing.PING_SECONDS
    pong: float | None = timing.PONG_SECONDS
    close: float = CLOSE_SECONDS


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
    """A socket to the first node that answers. Raises `Unreachable` when no node takes us (`Shed` if one said when
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


def _ended(end: ConnectionClosed) -> Closed:
    frame = end.rcvd or end.sent
    return end_of(None if frame is None else frame.code, "" if frame is None else frame.reason)


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
