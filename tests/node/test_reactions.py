"""Shows that a change of access ends the attachments that it concerns, and what that costs where there are many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from relay.node.browser import Attachment, Browser
from relay.node.hub import Hub
from relay.node.reactions import Reactions
from relay.rules.access import Identity
from relay.rules.browser_messages import Attach
from tests.node.fleet import Fleet
from tests.node.two_nodes import Peer
from tests.rules.samples import ACME, JANE, OTHER, number

ATTACHED = 1_000


class Scene:
    """People attached to two machines of Jane's, and a count of what the registry is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fleet = Fleet(2, monkeypatch)
        self.hub, self.ended = Hub(), set[tuple[str, str]]()
        router = SimpleNamespace(hub=self.hub, attachments=self, revoked=lambda machine: None)
        self.reactions = Reactions(cast(Any, router), self.fleet.directory, cast(Any, None), cast(Any, None))
        self.asked = 0
        changes = cast(Any, self.fleet.directory)._registry.changes
        ask = changes.head

        async def head() -> Any:
            self.asked += 1
            return await ask()

        monkeypatch.setattr(changes, "head", head)

    def end(self, attachment: Attachment, reason: str) -> None:
        """As the node's attachments are ended."""
        assert reason == "forbidden"
        self.ended.add((attachment.browser.identity.id, attachment.machine))

    def attach(self, person: str, machine: str) -> None:
        """A browser of a member drives a session of a machine."""
        teams = {ACME: "acme", OTHER: "other"}
        identity = Identity("person", person, person, f"sign-in of {person}", dict.fromkeys(teams, "member"), teams)
        browser = Browser(Peer(), identity, "claim")
        attachment = Attachment(browser, ACME, Attach(ref=1, machine=machine, session=number(99)))
        attachment.number = 1
        browser.attachments[attachment.key] = attachment
        self.hub.browsers.add(browser)

    async def becomes_private(self, machine: str) -> None:
        """Jane hides a machine, and this node hears of it."""
        self.fleet.rows[machine] = msgspec.structs.replace(self.fleet.rows[machine], visibility="PRIVATE")
        self.fleet.change("machine", machine)
        await self.fleet.directory.machines(ACME)
        self.asked = 0
        await self.reactions.react(self.fleet.table)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Nobody is attached yet."""
    return Scene(monkeypatch)


async def test_a_machine_that_becomes_private_lets_go_of_everybody_but_its_owner(scene: Scene) -> None:
    hidden, shared = number(0), number(1)
    for person in (JANE.id, "bob"):
        scene.attach(person, hidden)
        scene.attach(person, shared)
    await scene.becomes_private(hidden)
    assert scene.ended == {("bob", hidden)}


async def test_however_many_are_attached_the_registry_is_not_asked_for_each(scene: Scene) -> None:
    hidden = number(0)
    for count in range(ATTACHED):
        scene.attach(f"member-{count}", hidden)
    await scene.becomes_private(hidden)
    assert len(scene.ended) == ATTACHED
    assert scene.asked <= 1
    assert scene.fleet.rows_read == 1, "and of all teams that they are in only the machine's own"
