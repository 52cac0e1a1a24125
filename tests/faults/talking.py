"""Opens one session that talks, with the browsers that watch it and type into it, and judges it when it has ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from relay.client.attachment import Target
from relay.client.connection import Connection
from relay.client.pending import Lost
from relay.errors import Offline, TimedOut, Unavailable
from relay.rules import messages
from relay.rules.browser_messages import Open, Result
from relay.rules.messages import Session
from tests.faults import checker
from tests.faults.checker import Violation
from tests.faults.cluster import ROOT
from tests.faults.viewer import Talk, Viewer, viewing

T = TypeVar("T")
WAIT_SECONDS = 30.0  # for anything that a scenario waits for; what is promised sooner is asserted there
AGAIN_SECONDS = 0.2  # between two tries to reach a machine that is on its way to another node


class Manner(NamedTuple):
    """How a session talks."""

    folder: Path  # where its program notes what it says and hears
    seed: int
    every_ms: int
    types: bool


class Place(NamedTuple):
    """Where it runs and who looks at it; the first of them drives."""

    workspace: str
    machine: str
    browsers: Sequence[tuple[str, Connection]]


class Talking:
    """One session under way."""

    def __init__(self, who: str, manner: Manner, place: Place) -> None:
        self.who = who
        self.viewers: list[Viewer] = []
        self._manner = manner
        self._place = place
        self._typing: asyncio.Task[None] | None = None
        self._attachments = AsyncExitStack()

    async def begin(self, *, terminal: bool) -> None:
        """Open it and attach everybody."""
        talk = await self._open(terminal=terminal)
        for name, connection in self._place.browsers:
            self.viewers.append(await persistently(partial(self._attach, name, connection, talk)))

    async def _attach(self, name: str, connection: Connection, talk: Talk) -> Viewer:
        attached = viewing(name, connection, talk, drives=not self.viewers)
        return await self._attachments.enter_async_context(attached)

    async def begun(self) -> None:
        """Wait until everybody sees something, and type only then: until its program has set a terminal up, that shows
        what is typed."""
        async with asyncio.timeout(WAIT_SECONDS):
            for viewer in self.viewers:
                await viewer.begun.wait()
        if self._manner.types:
            random = Random(f"{self._manner.seed} {self.who}")
            self._typing = asyncio.create_task(self.viewers[0].type_on(random))

    async def _open(self, *, terminal: bool) -> Talk:
        ask = Open(
            ref=0,
            machine=self._place.machine,
            kind="terminal" if terminal else "exec",
            command=self._command(),
            directory=str(ROOT),
        )
        opener = self._place.browsers[0][1]
        answer = await persistently(lambda: opener.request(ask))
        assert isinstance(answer, Result)
        session = messages.checked(Session, answer.result.get("session"))
        return Talk(self.who, Target(self._place.workspace, self._place.machine, session.id), self._manner.seed)

    def _command(self) -> list[str]:
        said = [self.who, str(self._manner.seed), str(self._manner.folder), str(self._manner.every_ms)]
        return [sys.executable, "-S", "-m", "tests.faults.talker", *said]

    async def finish(self, within_seconds: float = WAIT_SECONDS) -> list[Violation]:
        """Let the program end, wait until everybody saw that, and say what was wrong."""
        driver = self.viewers[0]
        driver.rest()
        try:
            async with asyncio.timeout(within_seconds):
                if self._typing is not None:
                    await self._typing
                while not await driver.attachment.write(b"!stop\n"):  # refused while the keyboard is on its way to it
                    driver.attachment.take()
                    await asyncio.sleep(AGAIN_SECONDS)
                await asyncio.wait([viewer.keeping for viewer in self.viewers])
        except TimeoutError:
            pass  # whoever has not seen the end is found below
        return [violation for viewer in self.viewers for violation in self._judge(viewer)]

    async def leave(self) -> None:
        """Type no more, and let everybody leave."""
        if self._typing is not None:
            self._typing.cancel()
        await self._attachments.aclose()

    def _judge(self, viewer: Viewer) -> list[Violation]:
        who = f"{viewer.name} on {self.who}"
        if viewer.failure is not None:
            return [*viewer.output.violations, Violation("ended", who, repr(viewer.failure))]
        if not viewer.exited:
            return [*viewer.output.violations, Violation("cut off", who, f"no end behind record {viewer.output.last}")]
        viewer.output.finish(int((self._manner.folder / f"{self.who}.said").read_bytes()))
        noted = checker.heard((self._manner.folder / f"{self.who}.heard").read_bytes())
        corrupted = [Violation("corrupted input", who, repr(line[:60])) for line in noted.corrupted]
        return [*viewer.output.violations, *viewer.input.judge(noted.applied.get(viewer.name, [])), *corrupted]


async def persistently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer to a question that is asked again while the relay says "not now": what was done to the cluster before
    may be healed a moment ago."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await ask()
            except (Unavailable, Offline, TimedOut, Lost):
                await asyncio.sleep(AGAIN_SECONDS)
