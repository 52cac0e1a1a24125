"""Asks other nodes over HTTP whether they take newcomers, for when Redis cannot tell."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from urllib.parse import urlsplit

ASKED = 32  # nodes at a time; where there are more, these are as good as any
ANSWER_SECONDS = 2.0  # a node that takes longer to say that it is ready is not a better place
PORTS = {"http": 80, "https": 443}


async def ready(urls: Sequence[str]) -> list[str]:
    """Those of these nodes that say so now."""
    asked = random.sample(list(urls), min(ASKED, len(urls)))
    answers = await asyncio.gather(*map(_is_ready, asked))
    return [url for url, yes in zip(asked, answers, strict=True) if yes]


async def _is_ready(url: str) -> bool:
    try:
        place = urlsplit(url)
        if place.scheme not in PORTS:
            return False  # whoever advertises that may be reached by others
        secure = place.scheme == "https"
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port or PORTS[place.scheme], ssl=secure or None
            )
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
