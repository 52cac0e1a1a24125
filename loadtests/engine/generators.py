"""Starts the processes that play a load, tells each of them what to play, and ends them."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

LINE_BYTES = 64 * 1024 * 1024  # of the first line, in which a peer has some hundred bytes
END_SECONDS = 10.0


@asynccontextmanager
async def generators(module: str, parts: Iterable[dict[str, Any]]) -> AsyncIterator[list[Process]]:
    """A process of this module for each part, which is the first line that it reads; all end with us, asked first by
    the end of their input."""
    started: list[Process] = []
    try:
        for part in parts:
            # In a session of its own, as each node is: Linux may share out processors by session, and peers that wait
            # behind whoever watches them would look like a slow relay.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES, start_new_session=True
            )
            started.append(process)
            assert process.stdin is not None
            process.stdin.write(json.dumps(part).encode() + b"\n")
            await process.stdin.drain()
        yield started
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
        for process in started:
            try:
                async with asyncio.timeout(END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def standard_input() -> asyncio.StreamReader:
    """What such a process is told, line by line."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
