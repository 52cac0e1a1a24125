"""Plays a person at a keyboard: runs the command line as a process, with pipes or in a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.cluster import clean_environment
from tests.support.starter import Started, run, take_terminal

PROGRAM = (sys.executable, "-m", "relay.cli")
PATIENCE_SECONDS = 20.0
READ_BYTES = 65_536


class Person:
    """Somebody with a config folder; signed in by the environment, by the folder, or not at all."""

    def __init__(self, folder: Path, urls: Sequence[str] = (), token: str = "", workspace: str = "") -> None:
        self.folder = folder
        self.environ = clean_environment() | {"RELAY_CONFIG_DIR": str(folder), "TERM": "xterm-256color"}
        self.environ |= {"RELAY_URL": ",".join(urls)} if urls else {}
        self.environ |= {"RELAY_TOKEN": token} if token else {}
        self.environ |= {"RELAY_WORKSPACE": workspace} if workspace else {}

    def run(
        self, *words: str, stdin: bytes | None = None, code: int | None = 0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end; asserts its exit code unless None is given."""
        given = None if stdin is None else stdin.decode()
        done = run([*PROGRAM, *words], env=self.environ | environ, input=given, timeout=PATIENCE_SECONDS)
        assert code is None or done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command says with --json, which is nothing but that."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    @staticmethod
    def read(done: subprocess.CompletedProcess[str]) -> Any:
        """The JSON that a command printed."""
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something else."""
        return Started(
            [*PROGRAM, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def terminal(self, *words: str, size: tuple[int, int] = (80, 24)) -> Terminal:
        """A command in a terminal of its own."""
        return Terminal([*PROGRAM, *words], self.environ, size)


class Terminal:
    """A terminal with a program in it, as a person uses it: types, and looks at what appears."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], size: tuple[int, int]) -> None:
        self.keys, self._inside = pty.openpty()
        self.resize(*size)
        self.before = self.modes()
        self.shown = b""
        self.process = Started(
            [*command],
            env=dict(environ),
            stdin=self._inside,
            stdout=self._inside,
            stderr=self._inside,
            start_new_session=True,
            preexec_fn=take_terminal,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.keys)
        os.close(self._inside)

    def modes(self) -> list[Any]:
        """The terminal's modes, which a program must leave as it found them."""
        return termios.tcgetattr(self._inside)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self.keys, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.keys, keys)

    def shows(self, wanted: bytes, seconds: float = PATIENCE_SECONDS) -> bytes:
        """Read the screen until these bytes appear; what came up to them, and is not looked at again."""
        deadline = time.monotonic() + seconds
        while wanted not in self.shown:
            assert self._read(deadline), f"no {wanted!r} in {self.shown!r}"
        found, _, self.shown = self.shown.partition(wanted)
        return found + wanted

    def ends(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read the rest until the program ends; its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running: {self.shown!r}"
            self._read(min(deadline, time.monotonic() + 0.02))
        while self._read(time.monotonic()):
            pass
        return self.process.returncode

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.keys], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        self.shown += os.read(self.keys, READ_BYTES)
        return True
