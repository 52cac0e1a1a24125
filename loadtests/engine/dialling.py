"""Opens one line to one node: TCP, TLS where the address asks for it, and the upgrade to WebSocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtests.bench import wire
from loadtests.engine.line import Ears, Line
from relay.client.addresses import LOOPBACK
from relay.client.dial import OPEN_SECONDS, PROTOCOL
from relay.client.ends import Unreachable

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no ports in TIME_WAIT: whoever runs next needs them


class Way(NamedTuple):
    """How to get to nodes."""

    source: str = ""  # the loopback address to come from: each has its own 28,000 ports towards one node
    tls: ssl.SSLContext | None = None  # for https


async def open_line(node: str, path: str, token: str, ears: Ears, way: Way) -> Line:
    """A line on which the node speaks WebSocket. Raises `OSError`, `Busy`, `Unreachable` or another `RelayError`."""
    where = urlsplit(node)
    assert where.hostname is not None
    secure = where.scheme == "https"
    port = where.port or (443 if secure else 80)
    request = wire.upgrade(where.netloc, path, {"Authorization": f"Bearer {token}"}, [PROTOCOL])
    loop = asyncio.get_running_loop()
    plain = None
    line = None
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            plain = await _connected(loop, where.hostname, port, way.source)
            _, line = await loop.create_connection(
                lambda: Line(node, request, ears),
                sock=plain,
                ssl=(way.tls or ssl.create_default_context()) if secure else None,
                server_hostname=where.hostname if secure else None,
            )
            await asyncio.shield(line.opened)
            return line
    except TimeoutError:
        _drop(line, plain)
        raise Unreachable("no answer in time") from None
    except BaseException:
        _drop(line, plain)
        raise


async def _connected(loop: asyncio.AbstractEventLoop, host: str, port: int, source: str) -> socket.socket:
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host not in LOOPBACK else []
    family, address = (found[0][0], found[0][4]) if found else (socket.AF_INET, ("127.0.0.1", port))
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if host in LOOPBACK:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            if source:
                plain.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                plain.bind((source, 0))
        await loop.sock_connect(plain, address)
    except BaseException:
        plain.close()
        raise
    return plain


def _drop(line: Line | None, plain: socket.socket | None) -> None:
    if line is not None:
        line.abort()
    elif plain is not None:
        plain.close()
