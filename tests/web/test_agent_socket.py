"""Shows what becomes of an agent whose socket ends while it is being let in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from relay.errors import Close, RegistryUnavailable, RelayError, Unavailable
from relay.node.socket import LOST
from relay.rules import messages, tokens
from relay.rules.agent_messages import AgentHello, AgentWelcome, Beat, Bye, to_agent
from relay.rules.presence import Fence
from relay.rules.tokens import Secrets
from relay.store import Admitted, Announcement, Refused
from relay.web.agent_socket import AgentConversation
from tests.operations.replay import Recording
from tests.support.valkey import Valkey
from tests.web.site import SECRET, HeldSocket, Site, open_site

WAIT_SECONDS = 10.0
OF_OLD = Recording("agent-0.1.0.jsonl").first("hello")
TURNS = 20  # of the loop, in which a hello reaches Redis


class Line(HeldSocket):
    """A connection whose tasks end with it, as a carried one's do."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.closing: Close | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.texts: list[bytes] = []
        self._site = site

    def send_text(self, data: bytes) -> bool:
        """Keep what the agent is told."""
        self.texts.append(data)
        return True

    def refuse(self, error: RelayError) -> None:
        """Nobody is refused here."""
        raise AssertionError(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it until the connection is lost."""
        self.tasks.append(self._site.node.errands.start(work))

    async def serve(self, listener: object) -> None:
        """The test says what arrives."""


@pytest.fixture
async def site(valkey: Valkey, tmp_path: Path) -> AsyncIterator[Site]:
    """A node that does what connections leave to be done."""
    async with open_site(tmp_path, valkey) as site:
        running = asyncio.create_task(site.node.errands.run())
        await asyncio.sleep(0)
        yield site
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_hello_that_was_taken_twice_has_every_other_node_look_for_whom_it_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await (await site.caller(site.owner)).register("twice.local")
    token = tokens.read_machine(site.parts.secrets, made["machineToken"])
    doors, told = site.node.doors(), []

    async def announce(announcement: Announcement) -> Admitted:
        return Admitted(fence=Fence(token.token_version, 7, announcement.connection), again=True)

    monkeypatch.setattr(doors.admissions, "announce", announce)
    monkeypatch.setattr(doors.membership, "boots", lambda: ["one", "two"])
    monkeypatch.setattr(doors.router, "replace_there", lambda agent, boot: told.append(boot))
    line = Line(site)
    hello = AgentHello(instance=str(uuid4()), hostname="twice.local", version="1.0")
    AgentConversation(doors, line, token).text(messages.encode(hello).decode())
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks)
    assert told == ["one", "two"]


async def test_a_hello_waits_for_revocations_that_change_while_they_are_loaded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the first machines of a cluster register at the same time."""
    made = await (await site.caller(site.owner)).register("third-time.local")
    token = tokens.read_machine(site.parts.secrets, made["machineToken"])
    doors, behind = site.node.doors(), [Refused("mirror-behind"), Refused("mirror-behind")]

    async def announce(announcement: Announcement) -> Admitted | Refused:
        if behind:
            return behind.pop()
        return Admitted(fence=Fence(token.token_version, 7, announcement.connection))

    monkeypatch.setattr(doors.admissions, "announce", announce)
    line = Line(site)
    hello = AgentHello(instance=str(uuid4()), hostname="third-time.local", version="1.0")
    AgentConversation(doors, line, token).text(messages.encode(hello).decode())
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks)
    assert b'"welcome"' in b"".join(line.texts)


async def test_a_machine_that_leaves_for_good_is_removed_when_the_registry_has_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whether Redis was told of its goodbye or not."""
    made = await (await site.caller(site.owner)).register("leaves.local", ephemeral=True)
    machine, doors, line = made["machine"]["id"], site.node.doors(), Line(site)
    leave, busy = site.parts.registry.machines.leave, [RegistryUnavailable("busy"), RegistryUnavailable("busy")]

    async def refused(*words: Any) -> None:
        if busy:
            raise busy.pop()
        await leave(*words)

    async def away(*_: Any) -> bool:
        raise Unavailable("the relay's memory (Redis) does not answer")

    monkeypatch.setattr(site.parts.registry.machines, "leave", refused)
    monkeypatch.setattr(site.parts.presence, "goodbye", away)
    monkeypatch.setattr("relay.web.departure.REMOVED_AGAIN_SECONDS", (0.0, 0.0))
    conversation = AgentConversation(doors, line, tokens.read_machine(site.parts.secrets, made["machineToken"]))
    hello = AgentHello(instance=str(uuid4()), hostname="leaves.local", version="1.0")
    conversation.text(messages.encode(hello).decode())
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks)
        conversation.text(messages.encode(Bye(remove=True)).decode())
        conversation.closed(LOST, "")
        await site.node.errands.finished()
    assert not busy
    assert await site.parts.registry.machines.get_many([machine]) == {}


async def test_a_socket_that_is_lost_during_its_hello_does_not_leave_the_machine_shown(
    site: Site, valkey: Valkey
) -> None:
    """Redis answers the hello when nobody waits for it any more."""
    owner = await site.caller(site.owner)
    early, made = await owner.register("early.local"), await owner.register("late.local")
    machine, workspace = made["machine"]["id"], made["machine"]["workspaceId"]
    await site.parts.registry.machines.settle(machine, 1, site.clock())  # it has said hello before
    await site.parts.directory.lately(workspace)
    await site.connect(early["machine"], early["machineToken"])  # the node is connected, and Redis has its scripts
    line = Line(site)
    conversation = AgentConversation(
        site.node.doors(), line, tokens.read_machine(site.parts.secrets, made["machineToken"])
    )
    hello = AgentHello(instance=str(uuid4()), hostname="late.local", version="1.0")
    valkey.freeze()
    try:
        conversation.text(messages.encode(hello).decode())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for task in line.tasks:
            task.cancel()
        conversation.closed(LOST, "")
        await asyncio.sleep(0)
    finally:
        valkey.thaw()
    async with asyncio.timeout(WAIT_SECONDS):
        await site.node.errands.finished()
    record = await site.parts.presence.locate(workspace, machine)
    assert record is not None, "Redis took the hello"
    assert not record.connected


@pytest.mark.parametrize("stored", [True, False])
async def test_a_hostname_that_changes_while_the_one_before_is_told_is_stored_as_well(site: Site, stored: bool) -> None:
    """Also when that one could not be."""
    made = await (await site.caller(site.owner)).register("first.local")
    token = tokens.read_machine(site.parts.secrets, made["machineToken"])
    news: Iterator[str] = iter(())

    async def changed() -> None:
        for hostname in news:
            conversation.text(messages.encode(Beat(hostname=hostname)).decode())
            if not stored:
                raise RegistryUnavailable("the registry does not answer")

    doors, line = site.node.doors(), Line(site)
    doors = dataclasses.replace(doors, parts=dataclasses.replace(doors.parts, changed=changed))
    conversation = AgentConversation(doors, line, token)
    hello = AgentHello(instance=str(uuid4()), hostname="first.local", version="1.0")
    conversation.text(messages.encode(hello).decode())
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks)
        news = iter(["third.local"])
        conversation.text(messages.encode(Beat(hostname="second.local")).decode())
        await asyncio.gather(*line.tasks)
    row = (await site.parts.registry.machines.get_many([made["machine"]["id"]]))[made["machine"]["id"]]
    assert row.hostname == "third.local"
    conversation.closed(LOST, "")
    async with asyncio.timeout(WAIT_SECONDS):
        await site.node.errands.finished()


@pytest.mark.parametrize(
    ("renews", "shown", "kept"), [(True, "old", "new"), (False, "old", "old"), (True, "new", "new")]
)
async def test_an_agent_whose_secret_is_on_its_way_out_is_given_a_token_by_the_new_one(
    site: Site, monkeypatch: pytest.MonkeyPatch, renews: bool, shown: str, kept: str
) -> None:
    made = await (await site.caller(site.owner)).register("renewed.local")
    old, new = site.parts.secrets, Secrets.parse(f"the-secret-that-comes-after,{SECRET}")
    claims = tokens.read_machine(old, made["machineToken"])
    presented = tokens.sign_machine(old if shown == "old" else new, claims.workspace, claims.machine, 1)
    line, doors = Line(site), site.node.doors()
    doors = dataclasses.replace(doors, parts=dataclasses.replace(doors.parts, secrets=new))
    hello = AgentHello(instance=str(uuid4()), hostname="renewed.local", version="1.0", renews=renews)
    AgentConversation(doors, line, tokens.read_machine(new, presented)).text(messages.encode(hello).decode())
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks)
    welcome = to_agent(line.texts[0].decode())
    assert isinstance(welcome, AgentWelcome)
    if (renews, shown) == (True, "old"):
        assert welcome.machine_token is not None
        assert tokens.read_machine(new, welcome.machine_token) == claims._replace(secret=new.first.id)
    else:
        assert welcome.machine_token is None
    assert site.node.hub.agents[claims.machine].secret == (new if kept == "new" else old).first.id


class Refusing(Line):
    """A connection that is closed with the error of what was spawned, as a carried one is."""

    def refuse(self, error: RelayError) -> None:
        """Keep the code that the agent is told."""
        self.closing = error.close

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it, and close with its error."""

        def failed(error: Exception) -> None:
            assert isinstance(error, RelayError)
            self.refuse(error)

        self.tasks.append(self._site.node.errands.start(work, failed))


@pytest.mark.parametrize(("more", "told"), [({}, 4100), ({"knowsUnavailable": True}, 4103)], ids=["of old", "of today"])
async def test_an_agent_that_no_part_can_answer_for_is_told_so_in_a_code_after_which_it_comes_back_within_its_grace(
    site: Site, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], told: int
) -> None:
    """Of all codes that say later, one of the first version comes back within 5 s after 4100 alone: after any other it
    may stay away for 30 s, and its machine would be said to be offline for our trouble."""
    made = await (await site.caller(site.owner)).register("old.local")
    doors, line, counted = site.node.doors(), Refusing(site), []
    shared = Unavailable("the relay's memory (Redis) does not answer")

    async def away(_: Announcement) -> Admitted:
        raise shared

    monkeypatch.setattr(doors.admissions, "announce", away)
    monkeypatch.setattr(doors.meters, "refused", lambda role, why: counted.append((role, why)))
    conversation = AgentConversation(doors, line, tokens.read_machine(site.parts.secrets, made["machineToken"]))
    conversation.text(json.dumps(OF_OLD | more))
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*line.tasks, return_exceptions=True)
    assert line.closing == told
    assert shared.close == 4103, "others may wait for the same answer, and know it"
    conversation.closed(told, "")
    assert counted == [("agent", "unavailable")], "operators are told apart who is full and who has no Redis"
