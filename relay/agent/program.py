"""Runs one program of a session, on a terminal or on pipes: its output, its input, its size, its end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from relay.agent import take_terminal
from relay.agent.descriptors import Reader, Writer
from relay.rules import frames

LINGER_SECONDS = 0.5  # what a program left running in the background may still say after the program itself ended
_IUTF8 = 0x4000  # the terminal deletes whole characters; the same number on Linux and macOS, unnamed in `termios`
_TAKE_TERMINAL = str(Path(take_terminal.__file__))

Received = Callable[[bytes, int], None]  # output and its frame flags


class Start(NamedTuple):
    """What to run, and where."""

    words: list[str]
    argv0: str  # a leading dash makes a shell a login shell
    folder: str
    environment: dict[str, str]


class Program:
    """A running program. Nothing is read before `resume`."""

    def __init__(self, process: asyncio.subprocess.Process, writer: Writer, terminal: int | None = None) -> None:
        self._process = process
        self._writer = writer
        self._terminal = terminal  # our side of it, for its size and its foreground job
        self._readers: list[Reader] = []
        self._all_read = asyncio.Event()
        self._paused = True

    def watch(self, descriptor: int, flags: int, received: Received) -> None:
        """Read this descriptor's output and hand it on with these flags."""
        self._readers.append(Reader(descriptor, lambda data: received(data, flags), self._reader_ended))

    def resume(self) -> None:
        """Read output."""
        self._paused = False
        for reader in self._readers:
            reader.resume()

    def pause(self) -> None:
        """Read no output: the program stalls when its pipes are full."""
        self._paused = True
        for reader in self._readers:
            reader.pause()

    def write(self, data: bytes, written: Callable[[], None]) -> None:
        """Give the program input; `written` is called once it has been taken."""
        self._writer.write(data, written)

    @property
    def unwritten_bytes(self) -> int:
        """Input that the program has not taken yet."""
        return self._writer.size

    def end_input(self) -> None:
        """Standard input ends here; a terminal has no such end."""
        if self._terminal is None:
            self._writer.end()

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal this size."""
        if self._terminal is not None and any(reader.open for reader in self._readers):
            set_size(self._terminal, columns, rows)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's process group, and to the terminal's foreground job."""
        if self._process.returncode is not None:
            return
        groups = {self._process.pid}
        if self._terminal is not None and any(reader.open for reader in self._readers):
            with contextlib.suppress(OSError):
                groups.add(os.tcgetpgrp(self._terminal))
        for group in groups - {0, os.getpgrp()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def abandon(self) -> None:
        """Read nothing more, whatever is still to come."""
        for reader in self._readers:
            reader.close()

    async def ended(self) -> int:
        """Wait until the program has ended and its output is read; its status as `subprocess` counts it."""
        status = await self._process.wait()
        while not self._all_read.is_set():
            before = sum(reader.total_bytes for reader in self._readers)
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._all_read.wait()
            except TimeoutError:
                # Somebody in the background still holds the pipe. If output is merely held up by us, go on waiting.
                if not self._paused and before == sum(reader.total_bytes for reader in self._readers):
                    self.abandon()
        self._writer.close()
        return status

    def _reader_ended(self) -> None:
        if not any(reader.open for reader in self._readers):
            self._all_read.set()


async def start_terminal(start: Start, columns: int, rows: int, received: Received) -> Program:
    """Run a program on a terminal of its own; raises `OSError` if the system has no room for it."""
    ours, theirs = os.openpty()
    try:
        _prepare(theirs)
        set_size(theirs, columns, rows)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", _TAKE_TERMINAL, start.argv0, *start.words,
            stdin=theirs, stdout=theirs, stderr=theirs,
            cwd=start.folder, env=start.environment, start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    program = Program(process, Writer(os.dup(ours)), ours)
    program.watch(ours, 0, received)
    return program


async def start_command(start: Start, received: Received) -> Program:
    """Run a program on pipes; raises `OSError`, `FileNotFoundError` if there is no such program."""
    pipes = [os.pipe() for _ in range(3)]
    (their_in, our_in), (our_out, their_out), (our_err, their_err) = pipes
    try:
        process = await asyncio.create_subprocess_exec(
            *start.words,
            stdin=their_in, stdout=their_out, stderr=their_err,
            cwd=start.folder, env=start.environment, start_new_session=True,
        )  # fmt: skip
    except BaseException:
        for ours in (our_in, our_out, our_err):
            os.close(ours)
        raise
    finally:
        for theirs in (their_in, their_out, their_err):
            os.close(theirs)
    program = Program(process, Writer(our_in))
    program.watch(our_out, 0, received)
    program.watch(our_err, frames.STDERR, received)
    return program


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Give a terminal a size; its foreground job is told by the system."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _prepare(terminal: int) -> None:
    attributes = termios.tcgetattr(terminal)
    attributes[0] |= _IUTF8
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
