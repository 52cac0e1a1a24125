"""Names what an attachment tells whoever uses it, one class and one sentence each."""

from __future__ import annotations

from typing import NamedTuple


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
    """Output between what you had and what follows is lost; a terminal clears its screen."""


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
    """What was typed is not applied, because somebody else has the keyboard."""

    reason: str


class InputLost(NamedTuple):
    """This many bytes were sent, and nobody can say any more whether they were applied; they are not sent again."""

    size: int


Event = Output | Resized | Exited | Gap | Interrupted | Resumed | KeyboardMoved | InputRefused | InputLost
