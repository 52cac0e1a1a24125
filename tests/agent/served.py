"""Runs a whole agent against nodes of the test, in a folder of its own, with little patience."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from relay.agent.agent import TICK_SECONDS, Agent, Wiring
from relay.agent.environment import Account
from relay.agent.history import History
from relay.agent.link import Surroundings
from relay.agent.outlet import Switch
from relay.agent.recorder import RECORD_SECONDS
from relay.agent.sessions import Host, Sessions
from relay.agent.verdict import Leave
from relay.client.profile import Enrolment, Profile
from relay.rules import frames, ids, messages, timing
from relay.rules.agent_messages import AgentAttach
from relay.rules.frames import Header, Kind
from relay.rules.messages import After, Session
from tests.agent.machine import VARIABLES
from tests.agent.node import Node, Visit
from tests.agent.scene import JANE, Impatient

INSTANCE = "5a0e2f60-7a53-4f0e-8f49-6c2f3a1d9b10"


class Served:
    """An agent that runs, in a folder of its own."""

    def __init__(self, folder: Path, nodes: list[Node]) -> None:
        self.folder = folder
        self.nodes = nodes
        self.url = nodes[0].url
        self.profile = Profile(folder)
        self.clock = Impatient()
        self.hostname = "mac.local"
        self.stop = asyncio.Event()
        self.ephemeral = False
        self.random = Random(1)
        self._running: asyncio.Task[Leave] | None = None

    @property
    def enrolment(self) -> Enrolment:
        """What machine.json says."""
        found = self.profile.enrolment(self.url)
        assert found is not None
        return found

    def start(self, *, generation: int = 0) -> None:
        """Start it, registered."""
        if self.profile.enrolment(self.url) is None:
            self.profile.save_enrolment(Enrolment(self.url, INSTANCE, "x", "rly_mach_token", generation))
        self.stop = asyncio.Event()
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> Leave:
        history, switch = History(self.folder / "history.sqlite3"), Switch()
        epoch = await history.open(self.clock.unix())
        try:
            host = Host(Account("jane", str(self.folder), "/bin/sh"), VARIABLES)
            sessions = Sessions(epoch, switch, self.clock, host, history)
            surroundings = Surroundings(self.clock, self.random, lambda: self.hostname)
            parts = Wiring(self.profile, sessions, history, switch, surroundings)
            agent = Agent(self.enrolment, [self.url], parts, ephemeral=self.ephemeral)
            return await agent.run(self.stop)
        finally:
            await history.close()

    @property
    def waits(self) -> list[float]:
        """How long it waited before it dialled again, each time."""
        chores = (TICK_SECONDS, RECORD_SECONDS)
        longest = timing.AGENT_BACK_OFF_SECONDS[2]
        return [slept for slept in self.clock.slept if slept not in chores and slept <= longest]

    async def leaves(self) -> Leave:
        """Wait until it ends by itself."""
        assert self._running is not None
        return await asyncio.shield(self._running)

    async def stopped(self) -> Leave:
        """Tell it to stop."""
        self.stop.set()
        return await self.leaves()


async def open_session(visit: Visit, *command: str, kind: str = "exec") -> Session:
    """Open a session through the relay."""
    answer = await visit.ask("open", kind=kind, command=list(command) or None)
    assert answer.result is not None, answer.error
    return messages.checked(Session, answer.result["session"])


def attach_to(session: Session, attachment: int = 1, after: int = 0) -> AgentAttach:
    """An attach of a person who has the output up to `after`."""
    return AgentAttach(
        session=session.id,
        attachment=attachment,
        client="client-one",
        mode="drive",
        operator=JANE,
        after=After(epoch=session.epoch, sequence=after),
    )


def browser_frame(session: Session, kind: Kind, sequence: int, payload: bytes = b"", attachment: int = 1) -> bytes:
    """A frame as a browser sends it."""
    return frames.pack(Header(kind, 0, attachment, session.epoch, ids.raw(session.id), sequence), payload)
