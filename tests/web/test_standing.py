"""Shows what a node asks of the registry when a machine says hello, and that it lets machines in without an answer."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from relay.errors import MachineRevoked, RegistryUnavailable
from relay.node.agent import Agent
from relay.rules.agent_messages import AgentHello
from relay.web.standing import described, row_of, settle_first
from tests.web.site import Caller, HeldSocket, Site


def _agent(machine: dict[str, Any]) -> Agent:
    hello = AgentHello(instance=str(uuid4()), hostname=machine["hostname"], version="1.0")
    return Agent(HeldSocket(), machine["workspaceId"], machine["id"], hello, 0.0)


def _is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise RegistryUnavailable("the registry does not answer")

    for name in ("ask", "attempt"):
        monkeypatch.setattr(site.parts.registry._database, name, away)


async def _settled_version(site: Site, machine: str) -> int:
    return (await site.parts.registry.machines.get(machine)).settled_version


async def test_a_first_hello_that_met_no_registry_leaves_nothing_that_keeps_the_next_from_settling(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = (await owner.register("new.local"))["machine"]
    agent = _agent(machine)
    with monkeypatch.context() as patch:
        _is_away(site, patch)
        with pytest.raises(RegistryUnavailable):
            await settle_first(site.parts, agent, 1)
    assert await _settled_version(site, machine["id"]) == 0
    await settle_first(site.parts, agent, 1)
    assert await _settled_version(site, machine["id"]) == 1


async def test_a_machine_that_redis_knows_is_let_in_although_the_registry_is_away(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a node that never heard of its workspace, too; it only says less in its welcome."""
    made = await owner.register("old.local")
    await site.connect(made["machine"], made["machineToken"])
    site.parts.directory._forget_all()
    agent = _agent(made["machine"])
    _is_away(site, monkeypatch)
    assert await settle_first(site.parts, agent, 1) is None
    row = await row_of(site.parts, agent)
    assert row is None
    assert described(agent, row) == {"id": made["machine"]["id"], "workspaceId": made["machine"]["workspaceId"]}


async def test_a_revoked_machine_that_comes_back_again_and_again_costs_the_registry_nothing(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = (await owner.register("stolen.local"))["machine"]
    await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    await site.parts.directory.lately(machine["workspaceId"])
    _is_away(site, monkeypatch)
    with pytest.raises(MachineRevoked):
        await settle_first(site.parts, _agent(machine), 1)
