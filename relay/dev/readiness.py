"""Asks a local node whether it is ready, with no HTTP library."""

from __future__ import annotations

import asyncio

ANSWER_SECONDS = 2.0  # a node that answers later is not ready in any useful sense


async def is_ready(host: str, port: int) -> bool:
    """Whether `/readyz` of the node on this port answers 200."""
    request = f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode("ascii"))
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
