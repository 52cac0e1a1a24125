"""Runs one part of the cluster as a child process that cannot outlive us, and writes what it says to its log file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from relay.dev import tether

LOG_BYTES = 8 * 1024 * 1024  # a log that is larger at its next start becomes .1, so two of them bound the disk
LINE_BYTES = 64 * 1024  # a longer line is cut in pieces; asyncio's own limit
LAST_WORDS_SECONDS = 1.0  # what a part wrote before it ended is in the pipe already; a grandchild may hold it open
STOP_SECONDS = 20.0  # a drain, the last answers and silent peers may take 18, history its last write; then it is killed


async def _at_once() -> bool:
    return True


@dataclass(frozen=True)
class Part:
    """How one part is started, when it is ready, and which exit codes starting it again cannot help."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] = _at_once
    final: frozenset[int] = frozenset()
    needed: bool = True  # the rest is of no use without it; else its end is only told
    orphan_signal: signal.Signals = signal.SIGKILL  # parts that keep nothing; others ask for SIGTERM


class Output:
    """Our end of the pipe that a part writes its lines to."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport

    @classmethod
    async def open(cls, descriptor: int) -> Output:
        """Read from this descriptor, which is ours from now on."""
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        file = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        return cls(reader, transport)

    async def line(self) -> bytes:
        """The next line with its end, a piece of one that is too long, or nothing once the pipe is closed."""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            return await self._reader.readexactly(error.consumed)

    def close(self) -> None:
        """Read no more."""
        self._transport.close()


class Running:
    """One life of a part."""

    def __init__(self, process: asyncio.subprocess.Process, output: Output, log: Path) -> None:
        self.process = process
        self.output = output
        self.log = log
        self.last_line = ""

    @classmethod
    async def start(cls, part: Part, folder: Path) -> Running:
        """Start the part with its own session, so that Ctrl-C in a terminal reaches only us and we keep the order.

        Has to be called in the main thread; see `tether.py`.
        """
        # A pipe of our own: asyncio's would keep the end of the process from us while a grandchild holds it open.
        read_end, write_end = os.pipe()
        output = await Output.open(read_end)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(int(part.orphan_signal)),
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=dict(part.environ),
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            output.close()
            raise
        finally:
            os.close(write_end)
        return cls(process, output, folder / f"{part.name}.log")

    async def finish(self, name: str) -> int:
        """Copy its lines, each with its name in front, until it ends; returns its exit code, negative for a signal."""
        with self._opened() as file:
            copying = asyncio.create_task(self._copy(name, file))
            try:
                code = await self.process.wait()
                # What it started itself and left in its group goes with it; shells have sessions of their own.
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                await asyncio.wait({copying}, timeout=LAST_WORDS_SECONDS)
            finally:
                copying.cancel()
                await asyncio.gather(copying, return_exceptions=True)
                self.output.close()
        return code

    async def stop(self) -> None:
        """Ask it to stop, wait, and kill it if it does not."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def _opened(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    async def _copy(self, name: str, file: IO[bytes]) -> None:
        prefix = f"{name} | ".encode()
        while line := await self.output.line():
            text = line.rstrip(b"\n")
            file.write(prefix + text + b"\n")
            self.last_line = text.decode("utf-8", "replace")
