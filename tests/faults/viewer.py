"""Watches one session as one browser does, types into it if it drives, and keeps what the checker needs of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

from relay.client import events
from relay.client.attachment import Attachment, Manner, Target, attached
from relay.client.connection import Connection
from relay.client.input_stream import Entry, InputStream
from relay.errors import RelayError
from tests.faults import checker, records

TYPE_SECONDS = 0.2  # between two records typed, on average


class Talk(NamedTuple):
    """One session whose program talks."""

    who: str  # what its records are signed with
    target: Target
    seed: int


class NotedInput(InputStream):
    """An input stream that notes what becomes of each record."""

    def __init__(self, noted: checker.Input, before: InputStream) -> None:
        super().__init__()
        assert not before.waiting(), "nothing was typed before"
        self._next = before._next
        self._noted = noted

    def acknowledge(self, sequence: int) -> None:
        """Note those that are applied."""
        self._noted.acknowledged |= _numbers([each for each in self.waiting() if each.sequence <= sequence])
        super().acknowledge(sequence)

    def refuse(self, sequence: int) -> int:
        """Note those that are not."""
        self._noted.refused |= _numbers([each for each in self.waiting() if each.sequence >= sequence])
        return super().refuse(sequence)

    def restart(self, applied: int = 0) -> int:
        """Note those of which nobody knows."""
        self._noted.uncertain |= _numbers(self.waiting())
        return super().restart(applied)


def _numbers(entries: list[Entry]) -> set[int]:
    found = [records.read(entry.payload.removesuffix(records.END)) for entry in entries]
    return {record.number for record in found if record is not None}


class Viewer:
    """One attachment and its history."""

    def __init__(self, name: str, talk: Talk, attachment: Attachment, *, late: bool) -> None:
        self.name = name
        self.talk = talk
        self.attachment = attachment
        self.output = checker.Output(talk.who, name, late=late)
        self.input = checker.Input(talk.who, name)
        self.exited = False
        self.failure: RelayError | None = None
        self.interruptions = 0
        self.begun = asyncio.Event()  # it has seen something
        self._marks: list[tuple[float, asyncio.Future[float]]] = []
        self._typing = True
        self.keeping = asyncio.create_task(self._keep())
        keyboard = attachment._keyboard  # there is no other place to note what becomes of each input
        keyboard._stream = NotedInput(self.input, keyboard._stream)

    async def _keep(self) -> None:
        """Take in what happens until the session ends for this browser."""
        try:
            async for event in self.attachment.events():
                self._take(event)
        except RelayError as error:
            self.failure = error
        for _, seen in self._marks:  # there is nothing more to see
            if not seen.done():
                seen.set_result(time.monotonic())

    def _take(self, event: events.Event) -> None:
        match event:
            case events.Output(data=data):
                now = time.monotonic()
                for record in self.output.show(data):
                    self._saw(record, now)
            case events.Gap():
                self.output.gap()
            case events.Exited():
                self.exited = True
            case events.Interrupted():
                self.interruptions += 1

    def _saw(self, record: records.Record, now: float) -> None:
        self.begun.set()
        for mark, seen in self._marks:
            if record.said_at >= mark and not seen.done():
                seen.set_result(now)
        self._marks = [(mark, seen) for mark, seen in self._marks if not seen.done()]

    def sees(self, said_since: float) -> asyncio.Future[float]:
        """When something is on the screen that was said at this time or later, and so all that was said before; or when
        the session is over."""
        seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if self.keeping.done():
            seen.set_result(time.monotonic())
        else:
            self._marks.append((said_since, seen))
        return seen

    async def type_on(self, random: Random) -> None:
        """Type numbered records until told to rest."""
        while self._typing:
            await asyncio.sleep(random.uniform(0, 2 * TYPE_SECONDS))
            if self._typing and self.attachment.driver:
                await self.type_one()

    async def type_one(self) -> None:
        """Type the next record."""
        number = self.input.typed = self.input.typed + 1
        if not await self.attachment.write(records.write(self.talk.seed, self.name, number, time.monotonic())):
            self.input.refused.add(number)

    def rest(self) -> None:
        """Type no more."""
        self._typing = False


@asynccontextmanager
async def viewing(
    name: str, connection: Connection, talk: Talk, *, drives: bool = False, late: bool = False
) -> AsyncIterator[Viewer]:
    """A viewer that keeps its history for as long as this lasts."""
    manner = Manner(mode="drive" if drives else "watch")
    async with attached(connection, talk.target, manner) as attachment:
        viewer = Viewer(name, talk, attachment, late=late)
        try:
            yield viewer
        finally:
            viewer.keeping.cancel()
            await asyncio.wait([viewer.keeping])
