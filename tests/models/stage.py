"""Sets the stage for random stories: real parts of a cluster, a plain model of it, and what must hold at each step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from relay.rules import tokens
from tests.models.house import TICK_SECONDS, House, Member
from tests.models.model import HANDSHAKES, Model, Row
from tests.models.people import Agent, Installation, Watcher
from tests.models.steady_loop import SteadyLoop
from tests.support.valkey import Valkey
from tests.web.site import Caller

T = TypeVar("T")
NAMES = ("prod", "web", "build")
STILL_SECONDS = 60.0  # real ones, for one step
FOUND_WANTING = {"offline", "unavailable"}  # what a question to a machine is answered that nobody can reach


class Stage(RuleBasedStateMachine):
    """Two nodes, their agents, and two people's browsers; rules say what happens to them."""

    valkey: ClassVar[Valkey]
    template: ClassVar[Path]
    logged: ClassVar[list[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.installations: list[Installation] = []
        self.agents: list[Agent] = []
        self.watchers: list[Watcher] = []
        self.people: list[Caller] = []
        self.printed = 0
        self.checks = 0
        self.forgotten = 0
        self.pictures_late = False  # a memory that was lost rings no bell; browsers are told with the next ten seconds
        self.runner = asyncio.Runner(loop_factory=SteadyLoop)
        self.folder = Path(tempfile.mkdtemp(prefix="story-", dir="/tmp"))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let it happen; a story that stands still says what it waits for."""
        watch = threading.Timer(STILL_SECONDS, self.runner.get_loop().call_soon_threadsafe, (_complain,))
        watch.start()
        try:
            return self.runner.run(work)
        finally:
            watch.cancel()

    @initialize()
    def begins(self) -> None:
        """A founded cluster of two nodes whose memory is settled; its owner at one, a member at the other."""
        self.valkey.empty()
        shutil.copy(self.template, self.folder / "registry.db")
        self.logged.clear()
        self.run(self._begin())

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteadyLoop)
        self.house = await House.build(loop, AsyncExitStack(), self.valkey, self.folder / "registry.db")
        first = await self.house.start_node()
        owner = await self.house.found(first)
        second = await self.house.start_node()
        self.key = await first.site.key()
        self.people = [await first.site.caller(owner), await first.site.person("Mia", "member")]
        await self.house.flush()
        self.model.flush()
        for member, who in zip((first, second), self.people, strict=True):
            self.watchers.append(await Watcher.open(member, who, self.house.workspace))
        await self.house.settle()
        for _ in range(3):
            await self._tick(beating=False)
        for who, name, visibility in zip((*self.people, self.key), NAMES, ("SHARED", None, None), strict=True):
            await self._register(who, name, visibility, first)
            await self._hello(self.installations[-1], second if who is self.key else first, stranger=False)

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "house"):
            self.run(self.house.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def member(self, number: int) -> Member:
        """A node that lives."""
        members = list(self.house.members.values())
        return members[number % len(members)]

    def open_agents(self) -> list[Agent]:
        """Those that are connected, in the order in which their nodes tell of them."""
        order = list(self.house.members)
        found = [agent for agent in self.agents if agent.open]
        return sorted(found, key=lambda agent: order.index(agent.member.node.boot))

    def machines(self) -> list[str]:
        """All that were not revoked."""
        return [machine for machine, row in self.model.rows.items() if not row.revoked]

    def manager(self, machine: str) -> Caller:
        """Somebody who may do everything to a machine."""
        owner = self.model.rows[machine].owner
        return next((who for who in self.people if who.id == owner), self.people[0])

    async def _register(self, who: Caller, name: str, visibility: str | None, member: Member) -> None:
        hostname = f"host-{len(self.installations)}.test"
        made = Installation("", "", 0, hostname, "")
        body = {"name": name, "hostname": hostname, "version": "1", "instanceId": made.instance}
        wanted = body | ({"visibility": visibility} if visibility is not None else {})
        answer = await self.house.caller(member, who).ask("POST", "/api/machines", wanted)
        if answer.status_code == 409:
            return
        assert answer.status_code in (200, 201), answer.text
        machine = answer.json()["machine"]
        made.machine, made.token, made.visibility = machine["id"], answer.json()["machineToken"], machine["visibility"]
        made.version = tokens.read_machine(member.node.parts.secrets, made.token).token_version
        if answer.status_code == 201:
            owner = who.id if who is not self.key else None
            self.model.rows[made.machine] = Row(owner, made.visibility)
        else:
            assert self.model.state(made.machine) == "offline", "only the offline have heirs"
        row = self.model.rows[made.machine]
        assert made.version == row.version + 1
        row.version = made.version
        self.installations.append(made)

    async def _hello(
        self, installation: Installation, member: Member, stranger: bool, *, unheard: bool = False
    ) -> None:
        agent = Agent(member, installation, stranger=stranger)
        machine, version = installation.machine, installation.version
        before = self.model.presence.get(machine)
        held = before is not None and before.connected and before.deadline >= self.model.now
        verdict = self.model.judges(machine, version, agent.known, agent)
        if unheard:  # by the other node, which goes on with an older connection of the machine
            async with self.house.losing():
                agent.hello()
            self._cross_attachments_end()
        else:
            agent.hello()
            await self.house.settle()
        if verdict != "admitted":
            assert agent.peer.ended
            assert agent.peer.closing == HANDSHAKES[verdict], verdict
            return
        assert agent.welcome is not None, (agent.peer.closing, agent.peer.heard)
        generation = agent.welcome["generation"]
        if version > self.model.rows[machine].settled:
            self.model.rows[machine].visibility = installation.visibility
            self._access_changed(machine)
        agent.mine = self.model.admit(machine, version, generation, agent, member.node.boot)
        agent.heard, agent.unflushed = self.model.now, True
        if not stranger:
            installation.generation = generation
        ends = {member.node.boot}  # whose connections of this machine are replaced
        if held and before is not None and not unheard:
            ends.add(before.node)
        for each in self.agents:
            if each.machine == machine and each.member.node.boot in ends:
                self._is_over(each)
                assert each.peer.ended
        self.agents.append(agent)

    def _cross_attachments_end(self) -> None:
        """Those between two nodes, because something may be lost between them."""
        for watcher in self.watchers:
            for machine, (agent, _) in list(watcher.attached.items()):
                if agent.member is not watcher.member:
                    del watcher.attached[machine]

    def _is_over(self, agent: Agent) -> None:
        """Nobody is attached to a connection that ended."""
        for watcher in self.watchers:
            for machine, (whom, _) in list(watcher.attached.items()):
                if whom is agent:
                    del watcher.attached[machine]

    def _access_changed(self, machine: str) -> None:
        for watcher in self.watchers:
            if not self.model.sees(watcher.who.id, machine):
                watcher.attached.pop(machine, None)

    async def _tick(self, beating: bool) -> None:
        def beat() -> None:
            for agent in self.open_agents():
                agent.peer.says(type="beat")

        await self.house.tick(beat if beating else lambda: None)
        self._ticked(1, beating)

    def _ticked(self, ticks: int, beating: bool = False) -> None:
        for _ in range(ticks):
            self.model.now += TICK_SECONDS // 2
            self.model.flush()
            self.model.now += TICK_SECONDS // 2
            self.pictures_late = False
            if beating:
                for agent in self.open_agents():
                    agent.heard, agent.unflushed = self.model.now, True
            self._flushed()

    def _flushed(self) -> None:
        self.model.flush()
        for agent in self.agents:
            if agent.mine is None or not agent.unflushed or agent.member.node.boot not in self.house.members:
                continue
            agent.unflushed = False
            if agent.peer.ended and agent.peer.closing is None:
                continue
            if not self.model.rows[agent.machine].revoked and not self.model.beat(
                agent.machine, agent.mine, agent.heard
            ):
                assert agent.peer.ended, "who lost the machine is told with its next beat"
                self._is_over(agent)

    def way(self, watcher: Watcher, machine: str) -> Agent | None:
        """To which connection a question of this browser finds its way."""
        if not self.model.sees(watcher.who.id, machine):
            return None
        here = self._newest(machine, watcher.member.node.boot)
        stored = self.model.presence.get(machine)
        if here is not None or stored is None or not stored.connected:
            return here
        return self._newest(machine, stored.node)

    def _newest(self, machine: str, boot: str) -> Agent | None:
        found = [each for each in self.open_agents() if each.machine == machine and each.member.node.boot == boot]
        return found[-1] if found else None

    def _was_reached(self, agent: Agent) -> None:
        agent.heard, agent.unflushed = self.model.now, True

    def _answer(self, watcher: Watcher, type: str, **fields: Any) -> dict[str, Any]:
        ref, ticks = self.run(self._ask(watcher, type, fields))
        self._ticked(ticks)
        return watcher.answer(ref)

    async def _ask(self, watcher: Watcher, type: str, fields: dict[str, Any]) -> tuple[int, int]:
        ref = watcher.asks(type, **fields)
        _, ticks = await self.house.drive(self.house.settle())
        return ref, ticks

    async def _does(self, *steps: Callable[[], None]) -> None:
        for step in steps:
            step()
        await self.house.settle()

    def _found_wanting(self, watcher: Watcher, machine: str, answer: dict[str, Any]) -> None:
        assert answer["type"] == "error", answer
        seen = self.model.sees(watcher.who.id, machine)
        assert answer["code"] in (FOUND_WANTING if seen else {"not-found"}), answer

    @invariant()
    def everybody_agrees(self) -> None:
        """Lists and resolvers of all nodes, browsers' pictures and the model say the same."""
        if hasattr(self, "house"):
            self.run(self._agree())
            assert [entry for entry in self.logged if entry["log_level"] == "error"] == []

    async def _agree(self) -> None:
        await self.house.heard()
        self.checks += 1
        asks = self.people[self.checks % len(self.people)]
        listed: dict[str, Any] = {}
        for member in self.house.members.values():
            caller = self.house.caller(member, asks)
            listed = {each["id"]: each for each in (await caller.get("/api/machines"))["machines"]}
            assert {id: (each["state"], each["visibility"]) for id, each in listed.items()} == self.expected(asks)
            self._connected(listed)
            _names_are_unique(listed)
            await self._resolves(caller, listed)
        for watcher in self.watchers:
            pictured = watcher.picture()
            if not self.pictures_late:
                assert {id: (each.state, each.visibility) for id, each in pictured.items()} == self.expected(
                    watcher.who
                )
            if watcher.who is asks:
                names = {id: (each.name, each.shadowed_by) for id, each in pictured.items()}
                assert names == {id: (each["name"], each.get("shadowedBy")) for id, each in listed.items()}

    def expected(self, who: Caller) -> dict[str, tuple[str, str]]:
        """What somebody is to see of each machine."""
        rows = self.model.rows.items()
        return {
            machine: (self.model.state(machine), row.visibility)
            for machine, row in rows
            if self.model.sees(who.id, machine)
        }

    def _connected(self, listed: dict[str, Any]) -> None:
        for machine, shown in listed.items():
            stored = self.model.presence.get(machine)
            online = shown["state"] != "offline"
            assert shown["online"] == online
            assert shown["connected"] == (online and stored is not None and stored.connected)

    async def _resolves(self, caller: Caller, listed: dict[str, Any]) -> None:
        hidden = [id for id in self.model.rows if id not in listed]
        if listed:
            id, shown = list(listed.items())[self.checks // 4 % len(listed)]
            query, by = (id, "id") if self.checks // 2 % 2 else (shown["hostname"], "hostname")
            found = await caller.get("/api/resolve", q=query)
            assert (found["machine"]["id"], found["matchedBy"], found["machine"]["state"]) == (id, by, shown["state"])
        if hidden:
            assert (await caller.ask("GET", "/api/resolve", q=hidden[0])).status_code == 404


def _complain() -> None:
    for task in asyncio.all_tasks():
        task.print_stack()
        task.cancel()


def _names_are_unique(listed: dict[str, Any]) -> None:
    """Among machines that were ever there, one holds each name that is visible alike; the others say who."""
    holders: set[tuple[str, str]] = set()
    for id, shown in listed.items():
        if shown["lastSeenAt"] is None:
            continue
        taker = shown.get("shadowedBy")
        if taker is not None:
            assert taker != id
            assert listed[taker]["name"] == shown["name"]
            continue
        held = (shown["name"], shown["visibility"])
        assert held not in holders, f"two machines hold {held}"
        holders.add(held)
