"""Describes the machine that a result is from: its processor, its kernel, and how busy others kept it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

LOOP = 1_000_000  # additions: about a twentieth of a second
GLANCE = 50_000  # the same for whoever looks each second and must not be part of what is measured


def describe() -> dict[str, Any]:
    """What a reader needs to place the numbers. `load` is the average of the last minute before we began: shared
    caches and a processor that clocks up and down move CPU-seconds by some percent."""
    return {
        "cpu": _model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def speed(additions: int = LOOP) -> float:
    """Million additions that Python did in a second of this processor just now. CPU-seconds of one run compare with
    those of another only where this is the same: virtual cores share what is under them with strangers."""
    began, total = time.thread_time(), 0
    for number in range(additions):
        total += number
    return additions / (time.thread_time() - began) / 1_000_000


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
