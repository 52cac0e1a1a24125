"""Tells what the system knows of this process: its processor time, memory, open files allowed, versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from relay import PROTOCOL, VERSION
from relay.instruments import Instruments
from relay.rules import metrics

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_PAGES = Path("/proc/self/statm")  # Linux only
_RESIDENT = 1  # second of its numbers


def watch_process(instruments: Instruments, started: float) -> None:
    """Show this process, which began at `started`, Unix time. How many files are open is left out: to count twenty
    thousand takes longer than a node may hold its loop, and a node's sockets are counted anyway."""
    build = (VERSION, PROTOCOL, platform.python_version())
    instruments.watch(metrics.BUILD, lambda: 1.0, *build)
    instruments.watch(metrics.STARTED, lambda: started)
    instruments.watch(metrics.CPU, cpu_seconds)
    instruments.watch(metrics.RESIDENT, resident_bytes)
    instruments.watch(metrics.FILES, files_allowed)


def cpu_seconds() -> float:
    """Processor time of all threads, in and for this process."""
    times = os.times()
    return times.user + times.system


def resident_bytes() -> float:
    """Memory that is really there; not a number where the system does not tell."""
    try:
        return int(_PAGES.read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return float("nan")


def files_allowed() -> float:
    """How many files, sockets among them, this process may have open."""
    return float("inf") if resource is None else float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
