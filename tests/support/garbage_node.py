"""Runs a node that says what only the garbage collector would have freed: `relay node`, asked by a signal.

`python -m tests.support.garbage_node`. At the first SIGUSR1 it stops collecting; at each later one it prints a line of
JSON, how many objects of which type it has found unreachable since.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections import Counter

from relay.environ import load
from relay.process import serve


def asked(_number: int, _frame: object) -> None:
    """As the interpreter calls a signal's handler."""
    gc.collect()
    types = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    sys.stderr.write(f"garbage {json.dumps(types)}\n")
    gc.garbage.clear()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.disable()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, asked)
    serve(load())
