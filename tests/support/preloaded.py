"""Imports what programs of ours import, once, and becomes one of them for each message on its socket: in a fork.

`python -m tests.support.preloaded DESCRIPTOR`, as `starter.py` runs it. It opens nothing and has neither a thread nor a
loop, so that a fork of it is what a new interpreter is after its imports. The fork is then handed over to whoever holds
the socket's other end: it is a child of theirs, and dies with them.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import io
import json
import os
import runpy
import signal
import socket
import sys
import termios
import threading
import time
from importlib import import_module
from typing import Any, NoReturn, TextIO

MESSAGE_BYTES = 200_000  # what Linux lets through such a socket at once; an environment has a twentieth of it
STREAMS = 3
PR_SET_PDEATHSIG = 1
UNWRITTEN = 120  # the interpreter's own exit code for output that it could not write


def serve(channel: socket.socket) -> str | None:
    """Fork for each message until the other end is closed; in a fork, the module that is to be run."""
    while True:
        message, streams, *_ = socket.recv_fds(channel, MESSAGE_BYTES, STREAMS)
        if not message:
            return None
        told = json.loads(message)
        if any(name not in sys.modules for name in told["imports"]):
            for name in told["imports"]:
                import_module(name)
            gc.collect()
            gc.freeze()  # else the first collection in a fork writes to all that forks share
        gate, held = os.pipe()
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)  # an orphan is given to the next of its ancestors that asked for orphans: the starter
            os.close(held)
            os.read(gate, 1)  # the end, as soon as that has happened
            os.close(gate)
            channel.send(b"%d" % os.getpid())
            channel.close()
            become(told, streams)
            return str(told["module"])
        os.close(gate)
        os.waitpid(between, 0)
        for descriptor in (held, *streams):
            os.close(descriptor)


def become(told: dict[str, Any], streams: list[int]) -> None:
    """Have all that a new process is given, in a session of its own."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != told["parent"]:
        os._exit(0)  # the parent died before the line above
    os.setsid()
    for wanted, stream in enumerate(streams):
        os.dup2(stream, wanted)
        os.close(stream)
    if told["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(told["folder"])
    coerced = {"LC_CTYPE": os.environ["LC_CTYPE"]} if "LC_CTYPE" in os.environ else {}  # by Python, as PEP 538 says
    os.environ.clear()
    os.environ.update(coerced | told["environment"])
    time.tzset()
    sys.path[0] = told["folder"]
    sys.argv[1:] = told["arguments"]
    sys.stdin = _opened(0, "rb", sys.stdin)
    sys.stdout = _opened(1, "wb", sys.stdout)
    sys.stderr = _opened(2, "wb", sys.stderr)


def _opened(descriptor: int, mode: str, like: TextIO) -> io.TextIOWrapper:
    """As the interpreter opens its own: errors and what a terminal shows go out line by line."""
    assert isinstance(like, io.TextIOWrapper)
    raw = os.fdopen(descriptor, mode, buffering=0 if like.write_through else -1, closefd=False)
    file: Any = getattr(raw, "raw", raw)
    file.name = like.name
    lines = not like.write_through and (descriptor == 2 or os.isatty(descriptor))
    how = {"encoding": like.encoding, "errors": like.errors, "newline": "\n"}
    return io.TextIOWrapper(raw, **how, line_buffering=lines, write_through=like.write_through)


def run(module: str) -> int:
    """What `python -m` does; the exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End as the interpreter does, but without taking apart what all forks share: each would copy all of it for that,
    which costs more than most programs do."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # who is told that nobody reads any more takes it away
                stream.flush()
    except OSError:
        code = UNWRITTEN
    os._exit(code & 0xFF)


if __name__ == "__main__":
    wanted = serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        leave(run(wanted))
