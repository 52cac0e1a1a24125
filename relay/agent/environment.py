"""Decides what a shell or command is started with: its variables, its folder, and which shell it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from relay.errors import Invalid

OURS = "RELAY_"  # our variables may hold tokens, so programs never inherit any of them
TERMINAL = "xterm-256color"  # what the page and the command line both understand
LOCALE = "C.UTF-8"  # shells that are started without any locale drop everything beyond ASCII
_LOCALE_NAMES = ("LC_ALL", "LC_CTYPE", "LANG")


class Account(NamedTuple):
    """Whom the agent runs as, from the password database."""

    name: str
    home: str
    shell: str


def variables(
    inherited: Mapping[str, str], account: Account, asked: Mapping[str, str], *, terminal: bool
) -> dict[str, str]:
    """The environment of a program: the agent's without what is ours, completed, with what the person asked for."""
    environment = {name: value for name, value in inherited.items() if not name.startswith(OURS)}
    for name, value in (("HOME", account.home), ("USER", account.name), ("LOGNAME", account.name)):
        environment.setdefault(name, value)
    environment.setdefault("SHELL", shell(inherited, account))
    if not any(environment.get(name) for name in _LOCALE_NAMES):
        environment["LANG"] = LOCALE
    if terminal:
        environment["TERM"] = TERMINAL
        # The agent's own window, if it has one, is not the one that the person looks at.
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
    for name, value in asked.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise Invalid("an environment variable has a name without '=', and no NUL in name or value")
        environment[name] = value
    return environment


def shell(inherited: Mapping[str, str], account: Account) -> str:
    """The person's shell: the one of the account, else SHELL, else what every system has."""
    return account.shell or inherited.get("SHELL") or "/bin/sh"


def folder(asked: str | None, account: Account) -> str:
    """Where a program starts: the home folder, or a path that may be relative to it; raises `Invalid` if there is no
    such folder."""
    if not asked:
        return account.home if Path(account.home).is_dir() else "/"
    if "\0" in asked:
        raise Invalid("a path has no NUL")
    path = Path(account.home) / (asked.removeprefix("~/") if asked != "~" else "")
    if not path.is_dir():
        raise Invalid(f"no such folder on this machine: {asked}")
    return str(path)
