"""Runs a node that can be asked to collect garbage: `relay node`, and beside it one thread on a socket.

`python -m loadtests.bench.collecting_node`, with the path of the socket in BENCH_COLLECT. Whoever connects makes the
node collect everything once, and is told as JSON how long that kept it and how long the longest full collection took
since somebody asked before.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
import time
from typing import Any

from relay.environ import load
from relay.process import serve

VARIABLE = "BENCH_COLLECT"
MILLISECONDS = 1_000.0
OLDEST = 2  # the generation whose collection looks at everything


class Pauses:
    """The collector's own account of its full collections, in processor time of the thread that they stop."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = 0.0

    def heard(self, phase: str, info: dict[str, Any]) -> None:
        """As `gc.callbacks` calls it."""
        if info["generation"] != OLDEST:
            return
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.longest = max(self.longest, time.thread_time() - self._began)


def answer(listening: socket.socket, pauses: Pauses) -> None:
    """Collect for each who connects, for as long as the process lives."""
    while True:
        caller, _ = listening.accept()
        with caller:
            natural, pauses.longest = pauses.longest, 0.0
            began = time.thread_time()
            gc.collect()  # holds the interpreter, so the loop waits exactly as it does for a collection of its own
            took = time.thread_time() - began
            said = {
                "tookMs": took * MILLISECONDS,
                "longestMs": natural * MILLISECONDS,
                "objects": len(gc.get_objects()),
            }
            caller.sendall(json.dumps(said).encode())


def ask(path: str) -> dict[str, float]:
    """What the node on this socket answers."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30.0)  # a collection takes far less, however much there is
        caller.connect(path)
        said = b""
        while data := caller.recv(1_024):
            said += data
    answered: dict[str, float] = json.loads(said)
    return answered


def main() -> None:
    """The node in the main thread, as ever."""
    pauses = Pauses()
    gc.callbacks.append(pauses.heard)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.environ[VARIABLE])
    listening.listen()
    threading.Thread(target=answer, args=(listening, pauses), daemon=True).start()
    serve(load())


if __name__ == "__main__":
    main()
