"""Keeps a cluster busy while faults are done to it: sessions that talk, browsers that watch and type, and the verdict.

async with loaded(cluster, team, machines, seed) as load:
    cluster.node_at(url).kill()
    took = await load.catches_up()        # every browser saw what was said from now on, and all before that
# here every session has ended, and every promise has been checked; AssertionError names each violation
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from relay.client.connection import Connection, Options, connected
from relay.client.dial import Deadlines
from tests.faults import checker
from tests.faults.checker import Life, Violation
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.talking import WAIT_SECONDS, Manner, Place, Talking
from tests.faults.talking import persistently as persistently
from tests.faults.viewer import Talk, Viewer
from tests.faults.watcher import Watcher
from tests.support.cluster import Team
from tests.support.patience import within

DEADLINES = Deadlines(open=3.0, ping=3.0, pong=4.0)  # browsers notice a node that froze within a scenario's patience
REVOKED_SECONDS = 5.0  # after a revocation was answered nobody is told any more that the machine is connected
WATCHERS = 2
LEFT_SECONDS = 45.0  # until the last half-open socket is missed, and what it held with it
LOOK_SECONDS = 0.2
METRICS_SECONDS = 5.0
ATTACHMENTS = re.compile(r"^relay_attachments (\S+)$", re.MULTILINE)


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
    ids: list[str] = field(default_factory=list)  # of the machines with sessions
    connections: list[Connection] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    talkings: list[Talking] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    revoked: dict[str, float] = field(default_factory=dict)  # by machine: when the answer came
    judged: list[Violation] = field(default_factory=list)  # of sessions that ended before the others
    past: Counter[str] = field(default_factory=Counter)  # what is counted of those
    begun: int = 0  # sessions

    # --- what a scenario asks -------------------------------------------------------------------------------------

    async def catches_up(self, since: float | None = None, within_seconds: float = WAIT_SECONDS) -> list[float]:
        """Wait until every browser sees what is said from now on; after how many seconds, since then or `since`, each
        did. Raises AssertionError for those that do not in time."""
        now = time.monotonic()
        viewers = self.living()
        waits = [viewer.sees(now) for viewer in viewers]
        within_seconds = within(within_seconds)
        await asyncio.wait(waits, timeout=within_seconds)
        behind = [f"{v.name} on {v.talk.who}" for v, wait in zip(viewers, waits, strict=True) if not wait.done()]
        assert not behind, f"seed {self.seed}: not caught up within {within_seconds:g} s: {', '.join(behind)}"
        return [wait.result() - (since or now) for wait in waits]

    async def one_of_each(self) -> None:
        """Wait until nodes hold one attachment for each browser that watches a session. A second one would bring it
        every frame twice, of which its client says nothing. Raises AssertionError with what they hold instead."""
        expected = len(self.living())
        give_up = time.monotonic() + within(LEFT_SECONDS)
        while (held := await asyncio.to_thread(self._held)) != expected:
            assert time.monotonic() < give_up, f"seed {self.seed}: {held} attachments at nodes instead of {expected}"
            await asyncio.sleep(LOOK_SECONDS)

    def _held(self) -> int:
        held = 0
        for url in self.cluster.metrics.values():
            with urllib.request.urlopen(f"{url}/metrics", timeout=METRICS_SECONDS) as answer:
                found = ATTACHMENTS.search(answer.read().decode())
            assert found is not None, f"{url} does not say how many attachments it holds"
            held += int(float(found[1]))
        return held

    @property
    def viewers(self) -> list[Viewer]:
        """Everybody who watches a session."""
        return [viewer for talking in self.talkings for viewer in talking.viewers]

    @property
    def talks(self) -> list[Talk]:
        """The sessions."""
        return [talking.viewers[0].talk for talking in self.talkings]

    def living(self) -> list[Viewer]:
        """The viewers of machines that were not revoked."""
        return [viewer for viewer in self.viewers if viewer.talk.target.machine not in self.revoked]

    @property
    def gaps(self) -> int:
        """How many gaps were declared to browsers."""
        return self.past["gaps"] + sum(viewer.output.gaps for viewer in self.viewers)

    @property
    def records(self) -> int:
        """How many records browsers have seen and the checker has judged."""
        return self.past["records"] + sum(viewer.output.count for viewer in self.viewers)

    @property
    def inputs(self) -> int:
        """How many records were typed."""
        return self.past["inputs"] + sum(viewer.input.typed for viewer in self.viewers)

    @property
    def interruptions(self) -> int:
        """How often a browser lost its session for a while."""
        return self.past["interruptions"] + sum(viewer.interruptions for viewer in self.viewers)

    @property
    def found(self) -> list[Violation]:
        """Every broken promise that shows while sessions go on."""
        return [*self.judged, *(each for v in self.viewers for each in v.output.violations), *self.wrong_states()]

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
        self.ids = [found[name] for name in sorted(self.machines.nodes())]
        self.lives = [Life(id, time.monotonic()) for id in self.ids]
        for number in range(self.plan.browsers):
            self.connections.append(await stack.enter_async_context(self.browser(f"person-{number}")))
        for number in range(WATCHERS):
            connection = await stack.enter_async_context(self.browser(f"watcher-{number}"))
            self.watchers.append(Watcher(connection, self.team.workspace))
        for machine in self.ids * self.plan.sessions:
            self.talkings.append(await self.talk(stack, machine))
        for talking in self.talkings:
            await talking.begun()

    @asynccontextmanager
    async def browser(self, label: str) -> AsyncIterator[Connection]:
        """A browser that begins on a node of its own and knows all others."""
        urls = self.cluster.urls
        first = urls[(len(self.connections) + len(self.watchers)) % len(urls)]
        options = Options(label=label, first_seconds=WAIT_SECONDS, deadlines=DEADLINES, random=self.random)
        async with connected([first], self.team.owner.token, options) as connection:
            connection.nodes = list(dict.fromkeys([*connection.nodes, *urls]))
            yield connection

    async def talk(self, stack: AsyncExitStack, machine: str) -> Talking:
        """One more session on a machine, for as long as the stack lasts; nobody types before it has `begun`."""
        index, self.begun = self.begun, self.begun + 1
        people = [(index + place) % len(self.connections) for place in range(min(2, len(self.connections)))]
        browsers = [(f"b{each}", self.connections[each]) for each in people]
        manner = Manner(self.folder, self.seed, self.plan.every_ms, self.plan.types)
        talking = Talking(f"s{self.seed}-{index}", manner, Place(self.team.workspace, machine, browsers))
        stack.push_async_callback(talking.leave)
        await talking.begin(terminal=index % 2 == 0)
        return talking

    async def retire(self, within_seconds: float) -> str:
        """End one session, whatever goes on; the machine that it ran on."""
        old = self.talkings[self.random.randrange(len(self.talkings))]
        self.judged += await old.finish(within_seconds)
        for viewer in old.viewers:
            counts = viewer.output.count, viewer.output.gaps, viewer.input.typed, viewer.interruptions
            self.past.update(dict(zip(("records", "gaps", "inputs", "interruptions"), counts, strict=True)))
        await old.leave()
        self.talkings.remove(old)
        return old.viewers[0].talk.target.machine

    async def renew(self, stack: AsyncExitStack, machine: str) -> None:
        """Begin another in its place."""
        talking = await self.talk(stack, machine)
        self.talkings.append(talking)
        await talking.begun()

    # --- the end --------------------------------------------------------------------------------------------------

    async def finish(self) -> list[Violation]:
        """Let every program end, wait until every browser saw that; every broken promise."""
        living = [each for each in self.talkings if each.viewers[0].talk.target.machine not in self.revoked]
        verdicts = await asyncio.gather(*(talking.finish() for talking in living))
        return [*self.judged, *(violation for verdict in verdicts for violation in verdict), *self.wrong_states()]

    def wrong_states(self) -> list[Violation]:
        """What watchers were told of machines so far and was not so."""
        found: list[Violation] = []
        for watcher in self.watchers:
            found += checker.false_offline(watcher.told, self.lives)
            found += checker.come_back(watcher.told, self.revoked, within(REVOKED_SECONDS))
        if "let in although revoked" in self.machines.output():
            found.append(Violation("revoked, yet connected", "machines", "a node welcomed a revoked machine"))
        return found


@asynccontextmanager
async def loading(
    cluster: FaultCluster, team: Team, machines: Machines, seed: int, plan: Plan | None = None
) -> AsyncIterator[Load]:
    """A load that is under way when this begins; whoever asks for it says when it is to `finish`."""
    folder = Path(tempfile.mkdtemp(prefix="talks-", dir=cluster.folder))
    async with AsyncExitStack() as stack:
        load = Load(cluster, team, machines, seed, plan or Plan(), Random(seed), folder)
        await load.begin(stack)
        yield load


@asynccontextmanager
async def loaded(
    cluster: FaultCluster, team: Team, machines: Machines, seed: int, plan: Plan | None = None
) -> AsyncIterator[Load]:
    """A load that is ended and checked at the end, if nothing else went wrong."""
    print(f"seed {seed}: FAULTS_SEED={seed} does the same again")
    async with loading(cluster, team, machines, seed, plan) as load:
        yield load
        violations = await load.finish()
        assert not violations, f"seed {seed}:\n" + "\n".join(str(each) for each in violations)
