"""Writes one machine's output to our own streams, with its name before each line if asked."""

from __future__ import annotations

import asyncio
import os

from relay.cli.outcome import Outcome
from relay.rules.quoting import escape

LINE_BYTES = 64 * 1024  # a line longer than this is written in parts, rather than kept for its end


class Sink:
    """Where one machine's output goes. Writing waits in a thread, so that a slow pipe holds up one machine's reader."""

    def __init__(self, outcome: Outcome, *, prefix: str | None, capture: bool) -> None:
        self._outcome = outcome
        self._prefix = None if prefix is None else f"{escape(prefix)}: ".encode()
        self._capture = capture
        self._begun: dict[bool, bytes] = {False: b"", True: b""}  # by stream: a line that has no end yet

    async def write(self, data: bytes, *, stderr: bool) -> None:
        """Take one piece of output."""
        if self._capture:
            (self._outcome.err if stderr else self._outcome.out).add(data)
            return
        if self._prefix is not None:
            data = self._lines(data, stderr)
        if data:
            await asyncio.to_thread(_write_all, 2 if stderr else 1, data)

    async def end(self) -> None:
        """Write what has no line end."""
        for stderr, rest in self._begun.items():
            if rest and self._prefix is not None:
                await asyncio.to_thread(_write_all, 2 if stderr else 1, self._prefix + rest + b"\n")
                self._begun[stderr] = b""

    def _lines(self, data: bytes, stderr: bool) -> bytes:
        assert self._prefix is not None, "only prefixed output is cut into lines"
        *lines, rest = (self._begun[stderr] + data).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines.append(rest)
            rest = b""
        self._begun[stderr] = rest
        return b"".join(self._prefix + line + b"\n" for line in lines)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
