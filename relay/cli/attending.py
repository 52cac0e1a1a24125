"""Shows one remote terminal in this one: finds or opens the session, passes keys and output, and leaves it running."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from relay.cli.escape_keys import EscapeKeys
from relay.cli.place import Place, note, note_busy, traceparent
from relay.cli.raw_terminal import RawTerminal, raw_terminal
from relay.cli.table import age, seconds_between
from relay.cli.typist import Typist
from relay.client import events, keyboard
from relay.client.attachment import Attachment, Manner, Target, attached
from relay.client.connection import Connection, Options, connected
from relay.client.session import choose_session, list_sessions, open_terminal
from relay.errors import Ambiguous, Invalid, NotFound, Offline
from relay.rules.fields import Mode
from relay.rules.messages import Session

SIGNAL_BASE = 128  # what shells add to the number of the signal that ended a program
LAST_KEYS_SECONDS = 1.0  # what was typed before leaving is sent, unless the connection takes nothing
REFUSED = {
    keyboard.NOT_DRIVER: "somebody else has the keyboard; connect with --take to take it",
    keyboard.TOO_MUCH: "the program takes no more input at the moment",
    keyboard.OVER: "the session is over",
}
LABEL_CHARACTERS = 64  # of this computer's name, which others see beside the user's


class Wish(NamedTuple):
    """What the person asked for beside the machine."""

    session: str | None = None
    watch: bool = False
    take: bool = False


class Left(Exception):
    """The person leaves; the session goes on."""


async def attend(place: Place, machine: dict[str, Any], wish: Wish) -> int:
    """Show a session of the machine until it ends or the person leaves; returns the exit code."""
    if not machine["online"]:
        raise offline(machine)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Invalid("connect needs a terminal; for scripts there is `relay exec`")
    columns, rows = RawTerminal(0, 1).size()
    options = Options(label=client_label(), on_busy=note_busy, traceparent=traceparent())
    async with connected(place.urls, place.token, options) as connection:
        session = await _session(connection, machine, wish, (columns, rows))
        target = Target(machine["workspaceId"], machine["id"], session.id)
        mode: Mode = "watch" if wish.watch else "drive"
        async with attached(connection, target, Manner(mode, wish.take, columns, rows)) as attachment:
            try:
                ended = await _show(attachment, wish)
            except Left:
                again = f"relay connect {machine['name']} --session {session.id[:8]}"
                note(f"left; the session goes on: {again}")
                return 0
    note(f"the session has ended{': ' + ended.reason if ended.reason else ''}")
    if ended.code is not None:
        return ended.code
    return SIGNAL_BASE + ended.signal if ended.signal else 1


def offline(machine: dict[str, Any]) -> Offline:
    """The error of a machine that is not there, with its last sign of life."""
    seen = machine.get("lastSeenAt")
    ago = seconds_between(seen, machine.get("now"))
    when = f"last seen {seen}" + (f", {age(ago)} ago" if ago is not None else "") if seen else "never seen"
    return Offline(f"{machine['name']} is offline, {when}", lastSeenAt=seen)


def client_label() -> str:
    """What others see beside the user's name: this computer's own."""
    return socket.gethostname().split(".")[0][:LABEL_CHARACTERS]


async def _session(connection: Connection, machine: dict[str, Any], wish: Wish, size: tuple[int, int]) -> Session:
    if wish.session is None and not (wish.watch or wish.take):
        return await open_terminal(connection, machine["id"], columns=size[0], rows=size[1])
    live = [each for each in await list_sessions(connection, machine["id"]) if each.ended_at is None]
    if wish.session is not None:
        return choose_session(live, wish.session)
    terminals = [each for each in live if each.kind == "terminal"]
    if not terminals:
        raise NotFound(f"no session is open on {machine['name']}")
    if len(terminals) > 1:
        raise Ambiguous("several sessions are open: add --session " + " or ".join(each.id[:8] for each in terminals))
    return terminals[0]


async def _show(attachment: Attachment, wish: Wish) -> events.Exited:
    """Raw mode until the end of the session, which is returned; raises `Left`."""
    left = asyncio.Event()
    resized = asyncio.Event()
    typist = Typist(attachment)
    with raw_terminal(sys.stdin.fileno(), sys.stdout.fileno(), resized.set, left.set) as terminal:
        tasks = [
            asyncio.create_task(_output(attachment, terminal)),
            asyncio.create_task(_keys(terminal, typist, left, watching=wish.watch)),
            asyncio.create_task(typist.run()),
            asyncio.create_task(_sizes(attachment, terminal, resized)),
            asyncio.create_task(left.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                ended = tasks[0].result()
                assert isinstance(ended, events.Exited), "output ends with the session"
                return ended
            for task in tasks[1:4]:
                if task.done():
                    task.result()
            raise Left
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _output(attachment: Attachment, terminal: RawTerminal) -> events.Exited:
    warned = False
    async for event in attachment.events():
        match event:
            case events.Output(data):
                await terminal.show(data)
            case events.Exited():
                return event
            case events.Gap(beginning):
                if not beginning:
                    await terminal.clear()
                lost = "the machine does not keep the beginning" if beginning else "some output is lost"
                await terminal.say(f"{lost}; what follows is complete")
            case events.Interrupted(reason):
                await terminal.say(f"{reason}; it resumes by itself, ~. leaves")
            case events.Resumed():
                await terminal.say("back")
            case events.KeyboardMoved(mine, user, client):
                if mine:
                    await attachment.resize(*terminal.size())
                elif user:
                    await terminal.say(f"{user}{'@' + client if client else ''} has the keyboard now")
                warned = False
            case events.InputRefused(reason):
                if not warned:
                    await terminal.say(f"not typed: {REFUSED.get(reason, reason)}")
                warned = True
            case events.InputLost(size):
                await terminal.say(f"{size} typed bytes may not have arrived")
            case events.Resized():
                pass
    raise Left


async def _keys(terminal: RawTerminal, typist: Typist, left: asyncio.Event, *, watching: bool) -> None:
    escapes = EscapeKeys()
    full = False
    while True:
        typed = await terminal.typed()
        keys, leave = escapes.feed(typed)
        if keys and not watching:
            full, was_full = not typist.add(keys), full
            if full and not was_full:
                await terminal.say("not typed: the session takes no more at the moment; ~. leaves")
        if leave or not typed:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_KEYS_SECONDS):
                    await typist.emptied()
            left.set()
            return


async def _sizes(attachment: Attachment, terminal: RawTerminal, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        await attachment.resize(*terminal.size())


def run(place: Place, machine: dict[str, Any], wish: Wish) -> int:
    """The same for those without an event loop."""
    os.environ.setdefault("TERM", "xterm-256color")
    return asyncio.run(attend(place, machine, wish))
