"""Says on the screen what runs where, one line per part, and opens the page without showing its secret to others."""

from __future__ import annotations

import asyncio
import html
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from relay.client.private_files import replace_file
from relay.rules.quoting import escape

NAME_COLUMNS = 9  # the longest name of a part and a space


def say(name: str, sentence: str) -> None:
    """One line about one part."""
    click.echo(f"{name:<{NAME_COLUMNS}} {escape(sentence)}")


def signed_in(person: str, url: str, current: str) -> None:
    """Whether the CLI's commands go to this cluster by themselves now."""
    if url == current:
        say("cli", f"signed in as {person}; try in another terminal: relay list")
    else:
        say("cli", f"signed in as {person}, and still at {current} by default; RELAY_URL={url} chooses this one")


def link(url: str) -> None:
    """The one-time sign-in link."""
    say("sign in", f"{url}  (works once, within an hour)")


def running(logs: Path) -> None:
    """How to stop, and where more is told."""
    say("logs", str(logs))
    click.echo("Ctrl-C stops everything.")


def stopping() -> None:
    """The last line."""
    click.echo("stopping")


def can_open(environ: Mapping[str, str]) -> bool:
    """Whether there is a desktop to open a page on."""
    if sys.platform == "darwin":
        return True
    desktop = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty() and shutil.which("xdg-open") is not None


async def open_page(folder: Path, url: str) -> None:
    """Open `url` in the person's browser by way of a file that only they can read: a process's arguments are public."""
    page = folder / "open.html"
    target = html.escape(url, quote=True)
    replace_file(page, f'<meta http-equiv="refresh" content="0; url={target}">\n'.encode())
    program = "open" if sys.platform == "darwin" else "xdg-open"
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, page.as_uri(), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    await process.wait()
