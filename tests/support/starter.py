"""Starts programs of ours as processes that need not import anything: forks of one that did so before.

A node spends a second of a processor on its imports, and the suite starts some hundreds of nodes, agents, sweepers and
commands. What `Started` starts is a child of this process as any other, with the pid, exit status, signals, streams,
environment and folder that `subprocess.Popen` gives; but it is always in a session of its own, it dies with us, and
`/proc` shows another command line. What asks for something that only a new interpreter can have, gets one.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, AnyStr

from relay.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PR_SET_CHILD_SUBREAPER = 36
ANSWER_SECONDS = 60.0  # imports take one or two where nothing else runs
READ_EARLY = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "OTEL_", "SSL_", "OPENSSL_")  # before a program's first line
STREAMS = (("p2cread", 0), ("c2pwrite", 1), ("errwrite", 2))  # as Popen calls what a child gets, -1 for our own
# Which asks for a new interpreter, or for more than a fork here can be given; the others Popen serves itself.
PLAIN = {"shell": False, "pass_fds": (), "process_group": -1, "umask": -1, "uid": None, "gid": None, "gids": None}
DIALING = ("relay.client.api", "httpcore2", "truststore", "anyio.lowlevel", "anyio._backends._asyncio")
KEEPING = ("aiosqlite", "sqlalchemy.dialects.sqlite.aiosqlite", "alembic.command", "encodings.idna")
SERVING = ("relay.process", "uvicorn.lifespan.off", "uvicorn.loops.uvloop", *KEEPING)
SWEEPING = ("workers.process", *KEEPING)
# By a program's module and its first word, or by its module alone, what it imports before it is of use. Commands
# import what all of them do, and their own file. All other programs are started by exec.
IMPORTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("relay.cli", "node"): SERVING,
    ("relay.cli", "sweeper"): SWEEPING,
    ("workers", "sweeper"): SWEEPING,
    ("relay.cli", "serve"): ("relay.agent.startup", *DIALING),
    ("tests.faults.machines", ""): ("relay.agent.startup", *DIALING),
    ("tests.support.counted_node", ""): SERVING,
    ("tests.support.garbage_node", ""): SERVING,
}
COMMANDING = ("relay.cli.commanding", "relay.cli.connect", "relay.cli.listing")


def take_terminal() -> None:
    """Make the terminal on standard input this process's own: a `preexec_fn` that forks are given too."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Started(subprocess.Popen[AnyStr]):
    """`subprocess.Popen` for `[sys.executable, "-m", MODULE, …]`; whatever else it is given, it does by exec."""

    def _execute_child(self, *how: Any) -> None:
        execute = super()._execute_child  # type: ignore[misc]  # what Popen has for what differs between systems
        given = signature(execute).bind(*how).arguments
        environment = dict(os.environ if given["env"] is None else given["env"])
        imports = _imports(given, environment)
        pid = None
        if imports is not None:
            told = {
                "imports": imports,
                "module": given["args"][2],
                "arguments": [os.fspath(word) for word in given["args"][3:]],
                "environment": environment,
                "folder": os.path.abspath(given["cwd"] or "."),
                "terminal": given["preexec_fn"] is take_terminal,
                "parent": os.getpid(),
            }
            pid = _STARTER.start(told, [own if given[name] == -1 else given[name] for name, own in STREAMS])
        if pid is None:
            execute(*how)
            return
        self.pid = pid
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]


def run(
    words: Sequence[str], *, env: Mapping[str, str] | None = None, input: str | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` for a program of ours, with its output as text; nothing on standard input unless given."""
    pipe = subprocess.PIPE
    stdin = subprocess.DEVNULL if input is None else pipe
    with Started(words, env=env, stdin=stdin, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            said, complained = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(words, process.returncode, said, complained)


@contextmanager
def new_interpreters() -> Iterator[None]:
    """Start everything by exec while this lasts, as for who looks at command lines."""
    before, _STARTER.idle = _STARTER.idle, True
    try:
        yield
    finally:
        _STARTER.idle = before


class Starter:
    """The process that has imported everything, started when it is first needed, and again should it have died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.idle = False  # while everything is to be started by exec

    def start(self, told: Mapping[str, Any], streams: Sequence[int]) -> int | None:
        """The pid of a fork that runs what it is told, a child of ours; None if there can be none just now."""
        with self._lock:
            channel = self._channel or self._open()
            try:
                socket.send_fds(channel, [json.dumps(told).encode()], streams)
                answer = channel.recv(16)
            except OSError:  # it died, or takes forever
                answer = b""
        if not answer:
            self.close()
            return None
        return int(answer)

    def close(self) -> None:
        """End it; what it started goes on."""
        with self._lock:
            if self._channel is not None and self.process is not None:
                self._channel.close()
                self.process.kill()
                self.process.wait()
                self._channel = None

    def _open(self) -> socket.socket:
        if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1):
            raise OSError("this system gives orphans to nobody else")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_SECONDS)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for us
            )
        self._channel = ours
        return ours


def _imports(given: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """What the starter has to import for this program; None for one that needs an interpreter of its own."""
    words = given["args"]
    own = isinstance(words, list) and len(words) >= 3 and words[:2] == [sys.executable, "-m"]
    plain = all(given.get(name, value) == value for name, value in PLAIN.items())
    known = given["preexec_fn"] in (None, take_terminal)
    if sys.platform != "linux" or _STARTER.idle or not (own and plain and known) or _early(environment) != _EARLY:
        return None
    module, word = words[2], words[3] if len(words) > 3 else ""
    found = IMPORTS.get((module, word)) or IMPORTS.get((module, ""))
    if module == "relay.cli" and word in COMMANDS and word != "dev":
        return ("relay.cli", COMMANDS[word].module, *(found or COMMANDING))
    return found


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_EARLY)}


_EARLY = _early(os.environ)
_STARTER = Starter()
atexit.register(_STARTER.close)
