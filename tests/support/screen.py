"""Reads a session as a person would: waits for words, keeps every byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.client import events
from relay.client.attachment import Attachment, Manner, Target, attached
from relay.client.connection import Connection, Options, connected
from relay.client.session import open_terminal

WAIT_SECONDS = 15.0


class Screen:
    """Everything that an attachment delivered, and a way to wait for more."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.seen = bytearray()
        self.told: list[events.Event] = []
        self.keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    async def ended(self) -> None:
        """Wait for the end of the session for this browser; raises why it ended, unless it came to its own end."""
        assert self.keeper is not None
        await self.keeper

    async def keep(self) -> None:
        """Take in events until the session ends."""
        async for event in self.attachment.events():
            async with self._changed:
                if isinstance(event, events.Output):
                    self.seen += event.data
                self.told.append(event)
                self._changed.notify_all()

    async def shows(self, words: bytes, times: int = 1) -> None:
        """Wait until the words have been delivered so many times."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self.seen.count(words) >= times)
        except TimeoutError:
            raise AssertionError(f"{words!r} was not seen in {bytes(self.seen)!r}") from None

    async def hears(self, kind: type[events.Event]) -> events.Event:
        """Wait for an event of this kind."""
        async with asyncio.timeout(WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: any(isinstance(event, kind) for event in self.told))
        return next(event for event in self.told if isinstance(event, kind))

    async def type(self, text: str) -> None:
        """Type, as at a keyboard."""
        assert await self.attachment.write(text.encode()), "the keyboard is somebody else's"


@asynccontextmanager
async def browser(url: str, token: str, label: str = "laptop") -> AsyncIterator[Connection]:
    """A browser's side of the wire, on one node."""
    async with connected([url], token, Options(label=label, first_seconds=WAIT_SECONDS)) as connection:
        yield connection


@asynccontextmanager
async def watching(connection: Connection, target: Target, manner: Manner | None = None) -> AsyncIterator[Screen]:
    """A session on the screen."""
    async with attached(connection, target, manner) as attachment:
        screen = Screen(attachment)
        screen.keeper = asyncio.create_task(screen.keep())
        try:
            yield screen
        finally:
            screen.keeper.cancel()
            await asyncio.wait([screen.keeper])


async def open_shell(connection: Connection, workspace: str, machine: str) -> Target:
    """A new terminal session on a machine."""
    session = await open_terminal(connection, machine, columns=100, rows=30)
    return Target(workspace, machine, session.id)
