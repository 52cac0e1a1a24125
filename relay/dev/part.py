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
STOP_SECONDS = 10.0  # shells get their hang-up and history its last write; then the part is killed


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
    orphan_signal: signal.Signals = signal.SIGKILL  # parts that keep nothing; others ask for SIGTERM


class Running:
    """One life of a part."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.last_line = ""

    @classmethod
    async def start(cls, part: Part, folder: Path) -> Running:
        """Start the part with its own session, so that Ctrl-C in a terminal reaches only us and we keep the order.

        Has to be called in the main thread; see `tether.py`.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(int(part.orphan_signal)), *part.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(part.environ),
            start_new_session=True,
            limit=LINE_BYTES,
        )  # fmt: skip
        return cls(process, folder / f"{part.name}.log")

    async def finish(self, name: str) -> int:
        """Copy its lines, each with its name in front, until it ends; returns its exit code, negative for a signal."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with open(self.log, "ab", buffering=0) as file:
            await self._copy(name, file)
        code = await self.process.wait()
        # What it started itself and left in its group goes with it; shells have sessions of their own.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
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

    async def _copy(self, name: str, file: IO[bytes]) -> None:
        assert self.process.stdout is not None
        prefix = f"{name} | ".encode()
        while True:
            try:
                line = await self.process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                line = error.partial
            except asyncio.LimitOverrunError as error:
                line = await self.process.stdout.readexactly(error.consumed)
            if not line:
                return
            text = line.rstrip(b"\n")
            file.write(prefix + text + b"\n")
            self.last_line = text.decode("utf-8", "replace")
