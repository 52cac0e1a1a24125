"""Names what an attachment tells whoever uses it, one class and one sentence each."""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from relay.errors import Invalid
from relay.rules import frames
from relay.rules.frames import Header, Kind


class Output(NamedTuple):
    """Bytes of the terminal or of the command; each byte once and in order, unless a `Gap` came before."""

    data: bytes
    stderr: bool = False


class Resized(NamedTuple):
    """The terminal has this size from here on."""

    columns: int
    rows: int


class Exited(NamedTuple):
    """The session ended; the last event. `code` is None when a signal or the agent ended it."""

    code: int | None
    signal: int | None = None
    reason: str | None = None


class Gap(NamedTuple):
    """Output before what follows is lost, and you never had it: between what you had and this (a terminal clears its
    screen), or, for `beginning`, before all that you will ever get."""

    beginning: bool = False


class Interrupted(NamedTuple):
    """The connection or the machine is gone; everything resumes by itself when it returns."""

    reason: str


class Resumed(NamedTuple):
    """What was interrupted goes on."""


class KeyboardMoved(NamedTuple):
    """The keyboard passed to somebody: to us (`mine`), to `user` on `client`, or to nobody."""

    mine: bool
    user: str = ""
    client: str = ""


class InputRefused(NamedTuple):
    """What was typed is not applied: `not-driver`, `too-much-input` (the program takes none now), or `ended`."""

    reason: str


class InputLost(NamedTuple):
    """This many bytes were sent, and nobody can say any more whether they were applied; they are not sent again."""

    size: int


Event = Output | Resized | Exited | Gap | Interrupted | Resumed | KeyboardMoved | InputRefused | InputLost


def read(header: Header, payload: bytes) -> Event:
    """The event in one output frame; raises `Invalid` for a payload that is not of its kind."""
    match header.kind:
        case Kind.OUTPUT:
            return Output(payload, bool(header.flags & frames.STDERR))
        case Kind.RESIZED:
            try:
                return Resized(*frames.SIZE.unpack(payload))
            except struct.error:
                raise Invalid("a size has four bytes") from None
        case Kind.EXIT:
            return _exit(payload)
    raise Invalid(f"kind {header.kind} is no output")


def _exit(payload: bytes) -> Exited:
    try:
        told = json.loads(payload)
        return Exited(told.get("code"), told.get("signal"), told.get("reason"))
    except (ValueError, AttributeError):
        return Exited(None, None, "the machine's exit report is not readable")
