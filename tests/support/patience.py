"""Says how long something may take on a computer that has other things to do."""

from __future__ import annotations

import os


def within(seconds: float) -> float:
    """What is promised within so many seconds has so many where every program that wants a processor has one, and in
    proportion more where they share it: by how many wanted one in the last minute."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
