"""Describes the machine that a result is from: its processor, its kernel, and how busy others kept it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """What a reader needs to place the numbers. `load` is the average of the last minute before we began: shared
    caches and a processor that clocks up and down move CPU-seconds by some percent."""
    return {
        "cpu": _model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
