"""Tells random stories to real nodes, a real registry and a real Redis, and to a plain model, and compares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from relay.registry import migrate
from tests.models.house import Member
from tests.models.people import Watcher, session_of
from tests.models.stage import NAMES, Stage
from tests.support.valkey import Valkey, _standing_valkey, standing_valkey

__all__ = ["_standing_valkey", "standing_valkey"]

MACHINES = 5  # at most; more only make stories longer
STORIES = int(os.environ.get("MODEL_STORIES", "5"))  # each takes a few seconds of a processor
STEPS = 50
FORGETS = 2  # in a story, for each moves its clock off the multiples of a tick by a second

any_number = st.integers(0, 1_000)  # picks one of whatever there is by then
seconds = st.sampled_from([1, 1, 2, 3, 8])  # in ticks of twelve
sights = st.sampled_from([None, "SHARED"])


class Story(Stage):
    """What may happen, in any order."""

    @precondition(lambda self: len(self.model.rows) < MACHINES)
    @rule(who=st.integers(0, 2), name=st.sampled_from(NAMES), visibility=sights, at=any_number)
    def registers(self, who: int, name: str, visibility: str | None, at: int) -> None:
        """A new installation registers, by a person or a workspace key; it may be the heir of an offline machine."""
        self.run(self._register([*self.people, self.key][who], name, visibility, self.member(at)))

    @precondition(lambda self: self.installations)
    @rule(which=any_number, at=any_number, stranger=st.booleans(), unheard=st.booleans())
    def says_hello(self, which: int, at: int, stranger: bool, unheard: bool = False) -> None:
        """An installation connects, or a copy of it that does not know what it was last told; the other node may not
        hear of it."""
        installation = self.installations[which % len(self.installations)]
        self.run(self._hello(installation, self.member(at), stranger, unheard=unheard))

    @precondition(lambda self: self.machines())
    @rule(which=any_number, name=st.sampled_from(NAMES), at=any_number)
    def is_renamed(self, which: int, name: str, at: int) -> None:
        """Everybody who sees it sees the new name at once, unless the name is another's."""
        machine = self.machines()[which % len(self.machines())]
        self.run(self._rename(machine, name, self.member(at)))

    async def _rename(self, machine: str, name: str, member: Member) -> None:
        caller = self.house.caller(member, self.manager(machine))
        answer = await caller.ask("PATCH", f"/api/machines/{machine}", {"name": name})
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            for each in self.house.members.values():
                shown = await self.house.caller(each, caller).get(f"/api/machines/{machine}")
                assert shown["name"] == name

    @precondition(lambda self: self.machines())
    @rule(which=any_number, visibility=st.sampled_from(["SHARED", "PRIVATE"]), at=any_number)
    def is_shown_or_hidden(self, which: int, visibility: str, at: int) -> None:
        """Its manager decides, unless nobody owns it or the name is taken there."""
        machine = self.machines()[which % len(self.machines())]
        self.run(self._show(machine, visibility, self.member(at)))

    async def _show(self, machine: str, visibility: str, member: Member) -> None:
        caller = self.house.caller(member, self.manager(machine))
        answer = await caller.ask("PATCH", f"/api/machines/{machine}/visibility", {"visibility": visibility})
        row = self.model.rows[machine]
        if visibility == "PRIVATE" and row.owner is None:
            assert answer.status_code == 409
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            row.visibility = visibility
            self._access_changed(machine)

    @precondition(lambda self: self.machines())
    @rule(which=any_number, at=any_number)
    def is_revoked(self, which: int, at: int) -> None:
        """All its connections are closed when the answer comes, on every node that lives."""
        machine = self.machines()[which % len(self.machines())]
        self.run(self._revoke(machine, self.member(at)))

    async def _revoke(self, machine: str, member: Member) -> None:
        caller = self.house.caller(member, self.manager(machine))
        held = [agent for agent in self.open_agents() if agent.machine == machine]
        self.model.revoke(machine)
        answer, ticks = await self.house.drive(caller.ask("DELETE", f"/api/machines/{machine}"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["closedConnections"] == len(held)
        await self.house.settle()
        for agent in held:
            assert (agent.peer.ended, agent.peer.closing) == (True, 4001)
            self._is_over(agent)
        for watcher in self.watchers:
            watcher.attached.pop(machine, None)
        self._ticked(ticks)

    @precondition(lambda self: self.open_agents())
    @rule(which=any_number)
    def is_dropped(self, which: int) -> None:
        """A socket breaks, and its node sees it."""
        agent = self.open_agents()[which % len(self.open_agents())]
        self.run(self._does(agent.peer.is_lost))
        self.model.drop(agent.machine, agent, agent.heard)
        self._is_over(agent)

    @precondition(lambda self: self.open_agents())
    @rule(which=any_number)
    def says_goodbye(self, which: int) -> None:
        """An agent leaves on purpose."""
        agent = self.open_agents()[which % len(self.open_agents())]
        self.run(self._does(lambda: agent.peer.says(type="bye"), agent.peer.is_lost))
        self.model.goodbye(agent.machine, agent)
        self._is_over(agent)

    @precondition(lambda self: len(self.house.members) > 1)
    @rule(which=any_number)
    def a_node_dies(self, which: int) -> None:
        """Without a word to anybody; its browsers' people open another elsewhere."""
        member = self.member(which)
        self.house.kill(member)
        for agent in self.agents:
            if agent.member is member:
                agent.peer.vanishes()
                self._is_over(agent)
        for watcher in [each for each in self.watchers if each.member is member]:
            watcher.peer.vanishes()
            self.watchers.remove(watcher)
            self.watchers.append(self.run(self._reopen(watcher)))

    async def _reopen(self, watcher: Watcher) -> Watcher:
        again = await Watcher.open(self.member(0), watcher.who, self.house.workspace)
        await self.house.settle()
        return again

    @precondition(lambda self: len(self.house.members) < 2)
    @rule()
    def a_node_starts(self) -> None:
        """Under a boot id of its own."""
        self.run(self.house.start_node())

    @rule(ticks=seconds, beating=st.booleans())
    def time_passes(self, ticks: int, beating: bool) -> None:
        """With or without a beat of every agent."""
        for _ in range(ticks):
            self.run(self._tick(beating))

    @rule()
    def nodes_flush(self) -> None:
        """At another moment than each twelve seconds."""
        self.run(self.house.flush())
        self._flushed()

    @precondition(lambda self: self.forgotten < FORGETS)
    @rule()
    def redis_forgets_everything(self) -> None:
        """A flush, or a restart without data; it does not take no time at all."""
        self.forgotten += 1
        self.valkey.empty()
        self.house.later(1)
        self.model.now += 1
        self.model.forget_everything()
        self.pictures_late = True

    @rule()
    def a_sweeper_sweeps(self) -> None:
        """It announces who is silent, if silence proves anything."""
        self.run(self.house.sweep())
        self.model.sweep()

    @precondition(lambda self: self.model.rows)
    @rule(which=any_number, by=any_number)
    def is_asked(self, which: int, by: int) -> None:
        """A question reaches the machine, or fails in so many words."""
        machine = list(self.model.rows)[which % len(self.model.rows)]
        watcher = self.watchers[by % len(self.watchers)]
        agent = self.way(watcher, machine)
        answer = self._answer(watcher, "sessions", machine=machine)
        if agent is not None:
            assert answer.get("result") == {"by": machine}, answer
            self._was_reached(agent)
        else:
            self._found_wanting(watcher, machine, answer)

    @precondition(lambda self: self.model.rows)
    @rule(which=any_number, by=any_number)
    def is_attached_to(self, which: int, by: int) -> None:
        """A browser attaches to the machine's session, once."""
        machine = list(self.model.rows)[which % len(self.model.rows)]
        watcher = self.watchers[by % len(self.watchers)]
        if machine in watcher.attached:
            return
        agent = self.way(watcher, machine)
        answer = self._answer(watcher, "attach", machine=machine, session=session_of(machine))
        if agent is not None:
            assert answer["type"] == "attaching", answer
            watcher.attached[machine] = (agent, answer["attachment"])
            self._was_reached(agent)
        else:
            self._found_wanting(watcher, machine, answer)

    @precondition(lambda self: any(watcher.attached for watcher in self.watchers))
    @rule(which=any_number)
    def is_left(self, which: int) -> None:
        """A browser leaves a session."""
        held = [(watcher, machine) for watcher in self.watchers for machine in watcher.attached]
        watcher, machine = held[which % len(held)]
        _, number = watcher.attached.pop(machine)
        place = {"session": session_of(machine), "attachment": number}
        self.run(self._does(lambda: watcher.peer.says(type="detach", **place)))

    @precondition(lambda self: self.open_agents())
    @rule(which=any_number)
    def prints(self, which: int) -> None:
        """Output arrives once at whoever is attached to this very connection, and nowhere else."""
        agent = self.open_agents()[which % len(self.open_agents())]
        self.printed += 1
        for watcher in self.watchers:
            watcher.peer.payloads()
        self.run(self._does(lambda: agent.prints(b"%d" % self.printed)))
        self._was_reached(agent)
        for watcher in self.watchers:
            whom, _ = watcher.attached.get(agent.machine, (None, 0))
            assert watcher.peer.payloads() == [b"%d" % self.printed] * (whom is agent), watcher.who.name


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry that is ready to be copied."""
    path = tmp_path_factory.mktemp("registry") / "template.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.mark.timeout(300)  # half a minute, where nobody else computes
def test_whatever_happens_lists_resolver_events_and_routing_agree_with_a_plain_model(
    standing_valkey: Valkey, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in ("openapi", "asyncapi"):  # nobody asks for them, and writing them is most of starting a node
        monkeypatch.setattr(f"relay.web.documents.{document}", lambda *_: {})
    Story.valkey, Story.template = standing_valkey, template
    with structlog.testing.capture_logs() as Story.logged:
        run_stories(Story)


@pytest.fixture
def story(standing_valkey: Valkey, template: Path) -> Iterator[Story]:
    """A story that a test tells by itself: Olga's machine and Mia's at the first node, a key's at the second."""
    Story.valkey, Story.template = standing_valkey, template
    with structlog.testing.capture_logs() as Story.logged:
        told = Story()
        try:
            told.begins()
            yield told
        finally:
            told.teardown()


def test_a_machine_that_moves_there_and_back_after_redis_forgot_it_leaves_no_connection_behind(story: Story) -> None:
    """Chance seldom tells this: the node that it comes back to held it once, and another holds it now."""
    story.redis_forgets_everything()
    for at in (1, 0):
        story.says_hello(which=0, at=at, stranger=True)
        story.everybody_agrees()


def test_what_older_connections_say_or_do_changes_nothing_of_machines_that_moved(story: Story) -> None:
    """A goodbye, a drop and a beat, each on a connection that has not heard that another took its machine."""
    older = list(story.agents)
    for which, at in ((0, 1), (1, 1), (2, 0)):
        story.says_hello(which=which, at=at, stranger=True, unheard=True)
    story.says_goodbye(story.open_agents().index(older[0]))
    story.everybody_agrees()
    story.is_dropped(story.open_agents().index(older[1]))
    story.everybody_agrees()
    for _ in range(2):
        story.time_passes(ticks=1, beating=True)
        story.everybody_agrees()


def test_a_sweep_right_after_redis_forgot_everything_announces_nobody(story: Story) -> None:
    """Nodes flush again, and the agents have yet to be heard: for half a minute that proves nothing."""
    story.time_passes(ticks=1, beating=True)
    story.redis_forgets_everything()
    story.nodes_flush()
    story.a_sweeper_sweeps()
    story.everybody_agrees()
    story.time_passes(ticks=3, beating=False)
    story.a_sweeper_sweeps()
    story.everybody_agrees()


def run_stories(story: type[Stage]) -> None:
    """As many as a test may take."""
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # a story is readable as it is, and making it shorter takes minutes
        ),
    )
