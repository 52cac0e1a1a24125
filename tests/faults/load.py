"""Keeps a cluster busy while faults are done to it: sessions that talk, browsers that watch and type, and the verdict.

async with loaded(cluster, team, machines, seed) as load:
    cluster.node_at(url).kill()
    took = await load.catches_up()        # every browser saw what was said from now on, and all before that
# here every session has ended, and every promise has been checked; AssertionError names each violation
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from relay.client.attachment import Target
from relay.client.connection import Connection, Options, connected
from relay.client.dial import Deadlines
from relay.client.pending import Lost
from relay.errors import Offline, TimedOut, Unavailable
from relay.rules import messages as m
from tests.faults import checker
from tests.faults.checker import Life, Violation
from tests.faults.cluster import ROOT, FaultCluster, Machines
from tests.faults.viewer import Talk, Viewer, viewing
from tests.faults.watcher import Watcher
from tests.support.cluster import Team

T = TypeVar("T")
WAIT_SECONDS = 30.0  # for anything that a scenario waits for; what is promised sooner is asserted there
DEADLINES = Deadlines(open=3.0, ping=3.0, pong=4.0)  # browsers notice a node that froze within a scenario's patience
AGAIN_SECONDS = 0.2  # between two tries to reach a machine that is on its way to another node
REVOKED_SECONDS = 5.0  # after a revocation was answered nobody is told any more that the machine is connected


class Plan(NamedTuple):
    """How much load there is."""

    sessions: int = 2  # on each machine; every second one is a terminal, the others are commands
    browsers: int = 3  # people; each drives every so manieth session and watches the next one
    every_ms: int = 50  # between two records that a program says
    types: bool = True


@dataclass
class Load:
    """The load on a cluster, and the history of it."""

    cluster: FaultCluster
    team: Team
    machines: Machines
    seed: int
    plan: Plan
    random: Random
    folder: Path
    connections: list[Connection] = field(default_factory=list)
    viewers: list[Viewer] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    revoked: dict[str, float] = field(default_factory=dict)  # by machine: when the answer came
    typing: list[asyncio.Task[None]] = field(default_factory=list)

    # --- what a scenario asks -------------------------------------------------------------------------------------

    async def catches_up(self, since: float | None = None, within_seconds: float = WAIT_SECONDS) -> list[float]:
        """Wait until every browser sees what is said from now on; after how many seconds, since then or `since`, each
        did. Raises AssertionError for those that do not in time."""
        now = time.monotonic()
        viewers = self.living()
        waits = [viewer.sees(now) for viewer in viewers]
        await asyncio.wait(waits, timeout=within_seconds)
        behind = [f"{v.name} on {v.talk.who}" for v, wait in zip(viewers, waits, strict=True) if not wait.done()]
        assert not behind, f"seed {self.seed}: not caught up within {within_seconds:g} s: {', '.join(behind)}"
        return [wait.result() - (since or now) for wait in waits]

    def living(self) -> list[Viewer]:
        """The viewers of machines that were not revoked."""
        return [viewer for viewer in self.viewers if viewer.talk.target.machine not in self.revoked]

    @property
    def gaps(self) -> int:
        """How many gaps were declared to browsers."""
        return sum(viewer.output.gaps for viewer in self.viewers)

    @property
    def records(self) -> int:
        """How many records browsers have seen and the checker has judged."""
        return sum(viewer.output.count for viewer in self.viewers)

    def revoke(self, machine: str) -> dict[str, object]:
        """Take a machine away from the team; the answer of the relay."""
        answer = self.team.owner.on(self.random.choice(self.cluster.urls))("DELETE", f"/api/machines/{machine}")
        self.revoked[machine] = time.monotonic()
        self.lives = [each._replace(until=0.0) if each.machine == machine else each for each in self.lives]
        return dict(answer)

    # --- the beginning --------------------------------------------------------------------------------------------

    async def begin(self, stack: AsyncExitStack) -> None:
        """Connect browsers and watchers, open sessions, and wait until everybody sees something."""
        found = {machine["name"]: machine["id"] for machine in self.team.machines()}
        ids = [found[name] for name in sorted(self.machines.nodes())]
        self.lives = [Life(id, time.monotonic()) for id in ids]
        for number in range(self.plan.browsers):
            self.connections.append(await stack.enter_async_context(self.browser(f"person-{number}")))
        for number in range(2):
            connection = await stack.enter_async_context(self.browser(f"watcher-{number}"))
            self.watchers.append(Watcher(connection, self.team.workspace))
        for index, machine in enumerate(ids * self.plan.sessions):
            await self._talk(stack, index, machine)
        async with asyncio.timeout(WAIT_SECONDS):
            for viewer in self.viewers:
                await viewer.begun.wait()
        for viewer in self.viewers:  # only now: until a program has set its terminal up, that shows what is typed
            if viewer.attachment.driver and self.plan.types:
                random = Random(f"{self.seed} {viewer.name} {viewer.talk.who}")
                self.typing.append(asyncio.create_task(viewer.type_on(random)))

    @asynccontextmanager
    async def browser(self, label: str) -> AsyncIterator[Connection]:
        """A browser that begins on a node of its own and knows all others."""
        urls = self.cluster.urls
        first = urls[(len(self.connections) + len(self.watchers)) % len(urls)]
        options = Options(label=label, first_seconds=WAIT_SECONDS, deadlines=DEADLINES, random=self.random)
        async with connected([first], self.team.owner.token, options) as connection:
            connection.nodes = list(dict.fromkeys([*connection.nodes, *urls]))
            yield connection

    async def _talk(self, stack: AsyncExitStack, index: int, machine: str) -> None:
        who = f"s{self.seed}-{index}"
        opener = self.connections[index % len(self.connections)]
        talk = await self.open_talk(opener, machine, who, terminal=index % 2 == 0)
        self.talks.append(talk)
        for place in range(min(2, len(self.connections))):
            connection = self.connections[(index + place) % len(self.connections)]
            name = f"b{(index + place) % len(self.connections)}"
            viewer = await stack.enter_async_context(viewing(name, connection, talk, drives=place == 0))
            self.viewers.append(viewer)

    async def open_talk(self, connection: Connection, machine: str, who: str, *, terminal: bool) -> Talk:
        """A session whose program talks."""
        ask = m.Open(
            ref=0,
            machine=machine,
            kind="terminal" if terminal else "exec",
            command=self.command(who),
            directory=str(ROOT),
        )
        answer = await persistently(lambda: connection.request(ask))
        assert isinstance(answer, m.Result)
        session = m.checked(m.Session, answer.result.get("session"))
        return Talk(who, Target(self.team.workspace, machine, session.id), self.seed)

    def command(self, who: str) -> list[str]:
        """What a talking session runs."""
        said = [who, str(self.seed), str(self.folder), str(self.plan.every_ms)]
        return [sys.executable, "-S", "-m", "tests.faults.talker", *said]

    # --- the end --------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Let every program end, wait until every browser saw that, and check everything."""
        for viewer in self.viewers:
            viewer.rest()
        await asyncio.wait_for(asyncio.gather(*self.typing), WAIT_SECONDS)
        await self.stop_talks()
        violations = self.violations()
        assert not violations, f"seed {self.seed}:\n" + "\n".join(str(each) for each in violations)

    async def stop_talks(self) -> None:
        """Tell the programs to end, through whoever drives them, and wait until all browsers have seen it."""
        for viewer in self.living():
            if viewer.attachment.driver:
                await viewer.attachment.write(b"!stop\n")
        await asyncio.wait([viewer.keeping for viewer in self.living()], timeout=WAIT_SECONDS)

    def violations(self) -> list[Violation]:
        """Every broken promise so far; to be asked when the programs have ended."""
        found: list[Violation] = []
        for viewer in self.living():
            found += self._judge(viewer)
        for watcher in self.watchers:
            found += checker.false_offline(watcher.told, self.lives)
            found += checker.come_back(watcher.told, self.revoked, REVOKED_SECONDS)
        if "let in although revoked" in self.machines.output():
            found.append(Violation("revoked, yet connected", "machines", "a node welcomed a revoked machine"))
        return found

    def _judge(self, viewer: Viewer) -> list[Violation]:
        who = f"{viewer.name} on {viewer.talk.who}"
        if viewer.failure is not None:
            return [*viewer.output.violations, Violation("ended", who, repr(viewer.failure))]
        if not viewer.exited:
            return [*viewer.output.violations, Violation("cut off", who, f"no end behind record {viewer.output.last}")]
        viewer.output.finish(int((self.folder / f"{viewer.talk.who}.said").read_bytes()))
        noted = checker.heard((self.folder / f"{viewer.talk.who}.heard").read_bytes())
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


@asynccontextmanager
async def loaded(
    cluster: FaultCluster, team: Team, machines: Machines, seed: int, plan: Plan | None = None
) -> AsyncIterator[Load]:
    """A load that is under way when this begins, and is ended and checked at the end, if nothing else went wrong."""
    print(f"seed {seed}: FAULTS_SEED={seed} does the same again")
    folder = Path(tempfile.mkdtemp(prefix="talks-", dir=cluster.folder))
    async with AsyncExitStack() as stack:
        load = Load(cluster, team, machines, seed, plan or Plan(), Random(seed), folder)
        stack.callback(lambda: [task.cancel() for task in load.typing])
        await load.begin(stack)
        yield load
        await load.finish()
