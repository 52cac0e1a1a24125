"""Describes how one command on one machine went, for people's exit codes and for programs' JSON."""

from __future__ import annotations

import base64
from typing import Any

from relay.errors import RelayError
from relay.rules import limits

CAPTURE_BYTES = 16 * limits.MIB  # of each stream, kept for --json; beyond it the result says that it is cut
SIGNAL_BASE = 128  # what shells add to the number of the signal that ended a program


class Capture:
    """The beginning of one stream, as much of it as may be kept."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        """Keep what fits."""
        room = CAPTURE_BYTES - len(self._bytes)
        self._bytes += data[:room]
        self._cut = self._cut or len(data) > room

    def fields(self, name: str) -> dict[str, Any]:
        """The stream as JSON fields: text, or base64 under `…Base64` if it is not UTF-8."""
        more = {f"{name}Truncated": True} if self._cut else {}
        try:
            return {name: self._bytes.decode(), **more}
        except UnicodeDecodeError:
            return {f"{name}Base64": base64.b64encode(self._bytes).decode("ascii"), **more}


class Outcome:
    """One machine's result; `origin` says whether the exit code is the remote command's or ours."""

    def __init__(self, machine: dict[str, Any]) -> None:
        self.machine = machine
        self.out = Capture()
        self.err = Capture()
        self.gap = False  # output was lost on the way
        self.error: RelayError | None = None
        self.code: int | None = None
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What this result means for the exit code of `relay exec`."""
        if self.error is not None:
            return int(self.error.exit)
        if self.code is not None:
            return self.code
        return SIGNAL_BASE + self.signal if self.signal else 1

    def as_json(self) -> dict[str, Any]:
        """The result for programs."""
        machine = {name: self.machine.get(name) for name in ("id", "name", "hostname") if name in self.machine}
        told: dict[str, Any] = {"machine": machine, "exitCode": self.exit_code}
        if self.error is not None:
            told |= {"origin": "relay", "error": self.error.body()}
        else:
            told["origin"] = "remote"
            if self.signal:
                told["signal"] = self.signal
        return told | {"gap": self.gap} | self.out.fields("stdout") | self.err.fields("stderr")
