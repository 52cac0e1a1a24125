"""Sets up a machine without a relay: real sessions and history, a clock that stands still, and browsers that check."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.agent.environment import Account
from relay.agent.history import History
from relay.agent.ring import Ring
from relay.agent.sessions import Host, Opening, Sessions
from relay.rules import frames, ids
from relay.rules.agent_messages import AgentAttach, AgentDetach, Behind, SessionChanged
from relay.rules.fields import Mode, SessionKind
from relay.rules.frames import Header, Kind
from relay.rules.messages import After, Attaching, DriverChanged, InputRefused, Message, Session
from tests.agent.scene import JANE, Recorder, Screen, Time

VARIABLES = {"PATH": os.environ["PATH"], "RELAY_TOKEN": "never to be seen", "PS1": "$ ", "HISTFILE": ""}


class Visitor:
    """A browser attached to one session: it types, reports what it sees, and can be cut off and come back."""

    def __init__(self, machine: Machine, session: Session, number: int, client: str = "") -> None:
        self.machine = machine
        self.session = session
        self.number = number
        self.client = client or f"client-{number}"
        self.screen = Screen(number)
        self.reports = True
        self.attaching: Attaching | None = None
        self.acknowledged = 0
        self.refusals: list[InputRefused] = []
        self.behind = False
        self.drives = False
        self._typed = 0
        self._raw = ids.raw(session.id)
        machine.visitors.append(self)

    def attach(
        self,
        *,
        after: After | None = None,
        mode: Mode = "drive",
        take: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Attaching:
        """Attach, as the node would pass it on; the answer."""
        self.behind = False
        self.ask(after=after, mode=mode, take=take, size=size)
        assert self.attaching is not None
        return self.attaching

    def ask(
        self,
        *,
        after: After | None = None,
        mode: Mode = "drive",
        take: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        """The same where the answer takes its time."""
        ask = AgentAttach(
            session=self.session.id, attachment=self.number, client=self.client, mode=mode, operator=JANE,
            after=after, columns=size[0] if size else None, rows=size[1] if size else None, take=take,
        )  # fmt: skip
        self.machine.sessions.attach(ask)

    def come_back(self, number: int) -> Attaching:
        """Attach once more, on a new number, with what is on the screen."""
        self.number = self.screen.attachment = number
        return self.attach(after=After(epoch=self.session.epoch, sequence=self.screen.last))

    def leave(self, *, dropped: bool = False, away: bool = False) -> None:
        """Detach."""
        self.screen.leave()
        left = AgentDetach(session=self.session.id, attachment=self.number, dropped=dropped, away=away)
        self.machine.sessions.detach(left)

    def type(self, text: bytes, *, kind: Kind = Kind.INPUT, number: int | None = None) -> int:
        """Type; numbered on, unless a number is given. The number."""
        if number is None:
            number = self._typed = self._typed + 1
        self.send(kind, number, text)
        return number

    def send(self, kind: Kind, sequence: int, payload: bytes = b"") -> None:
        """Send one frame."""
        header = Header(kind, 0, self.number, self.session.epoch, self._raw, sequence)
        self.machine.sessions.frame(frames.pack(header, payload))

    def report(self) -> None:
        """Say what is on the screen."""
        self.send(Kind.SEEN, self.screen.last)

    async def sees(self, words: bytes) -> None:
        """Wait until these words are on the screen."""
        await self.machine.outlet.until(lambda: words in self.screen.text)

    async def sees_the_end(self) -> dict[str, Any]:
        """Wait for the exit; what it says."""
        await self.machine.outlet.until(lambda: self.screen.exit is not None)
        assert self.screen.exit is not None
        found = json.loads(self.screen.exit)
        assert isinstance(found, dict)
        return found

    def hear(self, item: bytes | Message) -> None:
        """What the agent says, to anybody."""
        match item:
            case Attaching(session=self.session.id, attachment=self.number):
                self.attaching, self.drives = item, item.driver
            case InputRefused(session=self.session.id, attachment=self.number):
                self.refusals.append(item)
            case Behind(session=self.session.id, attachment=self.number):
                self.behind = True
            case DriverChanged(session=self.session.id):
                self.drives = item.attachment == self.number
            case bytes():
                head = Header._make(frames.HEADER.unpack_from(item))
                if head.session != self._raw:
                    return
                if head.kind == Kind.ACK and head.attachment == self.number:
                    self.acknowledged = head.sequence
            case _:
                if getattr(item, "session", None) != self.session.id:
                    return
        if self.screen.take(item) and self.reports:
            # Not at once: a browser's report comes as a message of its own.
            asyncio.get_running_loop().call_soon(self.report)


class Machine:
    """The machine and all who visit it."""

    def __init__(self, sessions: Sessions, history: History, outlet: Recorder, time: Time) -> None:
        self.sessions = sessions
        self.history = history
        self.outlet = outlet
        self.time = time
        self.visitors: list[Visitor] = []
        outlet.listener = self._spread

    def _spread(self, item: bytes | Message) -> None:
        for visitor in self.visitors:
            visitor.hear(item)

    async def open(self, *words: str, kind: SessionKind = "exec", **rest: Any) -> Session:
        """Open a session; a terminal without words is a shell."""
        ask = Opening(kind=kind, command=list(words) or None, **rest)
        return await self.sessions.open(ask, JANE)

    async def visit(self, *words: str, kind: SessionKind = "exec", **rest: Any) -> Visitor:
        """Open a session and attach to it."""
        visitor = Visitor(self, await self.open(*words, kind=kind, **rest), 1)
        visitor.attach()
        return visitor

    def described(self, session: Session) -> Session:
        """How a session is described now."""
        return next(found for found in self.sessions.remembered() if found.id == session.id)

    async def ended(self, session: Session) -> Session:
        """Wait until the agent says that a session has ended."""

        def last() -> list[Session]:
            told = self.outlet.told(SessionChanged)
            return [change.session for change in told if change.session.id == session.id and change.session.ended_at]

        await self.outlet.until(lambda: bool(last()))
        return last()[-1]

    async def writes(self, session: Session, end: int) -> Ring:
        """Wait until the output of a session has so many bytes, also when nobody is attached; its ring."""
        ring = self.sessions.find(session.id).ring
        while ring.end < end:  # noqa: ASYNC110 - nobody is told, so there is nothing to wait for
            await asyncio.sleep(0.001)
        return ring

    async def meanwhile(self) -> None:
        """Let as much time pass as a command takes from beginning to end: a program that may write, writes."""
        await self.ended(await self.open("true"))

    def pass_by(self, seconds: float) -> None:
        """Let time pass, and do what is due."""
        self.time.pass_by(seconds)
        self.sessions.tick()

    async def record(self) -> None:
        """Write the history."""
        await self.history.keep(self.sessions.unwritten(), self.time.unix())


@asynccontextmanager
async def machine(folder: Path, account: Account | None = None) -> AsyncIterator[Machine]:
    """A machine whose sessions all end with the test."""
    history, time, outlet = History(folder / "history.sqlite3"), Time(), Recorder()
    host = Host(account or Account("jane", str(folder), "/bin/sh"), VARIABLES)
    try:
        sessions = Sessions(await history.open(time.unix()), outlet, time, host, history)
        async with asyncio.TaskGroup() as tasks:
            sessions.run_in(tasks)
            try:
                yield Machine(sessions, history, outlet, time)
            finally:
                outlet.pressed = False
                sessions.kill_all()
    finally:
        await history.close()
