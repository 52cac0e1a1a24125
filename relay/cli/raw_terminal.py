"""Owns this terminal while a remote one is shown in it: raw keys in, bytes out, and everything put back at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.rules.quoting import escape

READ_BYTES = 4_096  # one read of the keyboard; a paste comes in several
TYPED_BYTES = 65_536  # typed and not yet taken; beyond it the keyboard is not read, so the terminal holds it back
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# What a remote program may have switched on and not off again: mouse reports, pasting and focus reports, application
# keys, keys that are told in more than one byte, held-back drawing, line-drawing letters, a hidden cursor, colours.
_CALM = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[?1l\x1b>\x1b[>4m\x1b[<u\x1b[?2026l"
    b"\x1b(B\x0f\x1b[?25h\x1b[0m"
)
_OTHER_SCREEN = (b"\x1b[?1049h", b"\x1b[?1049l")
_CLEAR = b"\x1b[0m\x1b[2J\x1b[3J\x1b[H"


class RawTerminal:
    """A terminal in raw mode; use `raw_terminal(...)` to get one."""

    def __init__(self, keys: int, screen: int) -> None:
        self._keys = keys
        self._screen = screen
        self._typed = bytearray()
        self._stirred = asyncio.Event()
        self._reading = False
        self._hung_up = False
        self._on_other_screen = False
        self._end = b""  # of what was shown

    def size(self) -> tuple[int, int]:
        """Columns and rows of the window now."""
        try:
            size = os.get_terminal_size(self._screen)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    async def typed(self) -> bytes:
        """The next keystrokes; empty when the terminal is gone."""
        while not self._typed:
            if self._hung_up:
                return b""
            self._read_on()
            self._stirred.clear()
            await self._stirred.wait()
        keys = bytes(self._typed)
        self._typed.clear()
        return keys

    async def show(self, output: bytes) -> None:
        """Write output as it is; waits in a thread, so that a slow terminal holds up nobody else."""
        seen = self._end + output  # a switch may come in two pieces
        self._end = seen[1 - len(_OTHER_SCREEN[0]) :]
        on, off = (seen.rfind(switch) for switch in _OTHER_SCREEN)
        if on != off:  # both are -1 where there is neither
            self._on_other_screen = on > off
        await asyncio.to_thread(_write_all, self._screen, output)

    async def say(self, text: str) -> None:
        """A line of ours, between the output's lines; nothing in it steers the terminal."""
        await self.show(f"\r\nrelay: {escape(text)}\r\n".encode())

    async def clear(self) -> None:
        """Empty the screen, because what it shows is not what is there any more."""
        await self.show(_CLEAR)

    def calm(self) -> None:
        """Switch off what the remote program left on."""
        with contextlib.suppress(OSError):
            _write_all(self._screen, (_OTHER_SCREEN[1] if self._on_other_screen else b"") + _CALM)

    def close(self) -> None:
        """Stop reading keys."""
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._keys)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._keys, self._readable)

    def _readable(self) -> None:
        try:
            keys = os.read(self._keys, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            keys = b""
        self._typed += keys
        self._hung_up = not keys
        if self._hung_up or len(self._typed) > TYPED_BYTES:
            self.close()
        self._stirred.set()


@contextmanager
def raw_terminal(
    keys: int, screen: int, on_resize: Callable[[], None], on_end: Callable[[], None]
) -> Iterator[RawTerminal]:
    """Raw mode for as long as this lasts; whatever happens, the terminal is as before when it ends. `on_resize` is
    called when the window changes, `on_end` when a signal asks this program to leave."""
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(keys)
    terminal = RawTerminal(keys, screen)
    tty.setraw(keys, termios.TCSADRAIN)
    try:
        loop.add_signal_handler(signal.SIGWINCH, on_resize)
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, on_end)
        yield terminal
    finally:
        terminal.close()
        for number in (signal.SIGWINCH, *ENDING_SIGNALS):
            loop.remove_signal_handler(number)
        terminal.calm()
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _write_all(screen: int, output: bytes) -> None:
    view = memoryview(output)
    while view:
        view = view[os.write(screen, view) :]
