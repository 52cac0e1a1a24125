"""Runs a node that says what it holds: `relay node`, asked by a signal.

`python -m tests.support.counted_node`. At each SIGUSR1 it prints a line of JSON: its tasks that are not done, its
objects of our own classes by class, and how many objects there are in all.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections import Counter

from relay.environ import load
from relay.process import serve


def asked(_number: int, _frame: object) -> None:
    """As the interpreter calls a signal's handler."""
    gc.unfreeze()
    gc.collect()
    gc.unfreeze()  # a node hides what outlived a full collection from the next ones
    everything = gc.get_objects()
    tasks = sum(
        issubclass(type(each), asyncio.Task) and not each.done() for each in everything
    )  # proxies have a say in isinstance
    ours = Counter(
        f"{type(each).__module__}.{type(each).__qualname__}"
        for each in everything
        if str(type(each).__module__).startswith("relay.")
    )
    gc.freeze()
    sys.stderr.write(f"holds {json.dumps({'tasks': tasks, 'ours': ours, 'objects': len(everything)})}\n")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, asked)
    serve(load())
