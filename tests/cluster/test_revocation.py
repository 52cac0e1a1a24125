"""Shows that a revocation closes the live socket wherever it is, and stays."""

from __future__ import annotations

import asyncio
import shutil
import time
from uuid import uuid4

from relay.client import events
from relay.client.subscription import follow
from relay.errors import Close
from tests.support.bare import bare
from tests.support.cluster import Rest, Team
from tests.support.screen import browser, open_shell, watching

NOT_YET = ".machine.json.*"  # what the agent is writing, and may have renamed before it is copied


def test_delete_at_any_node_closes_the_agent_with_4001_and_it_exits_saying_so(team: Team) -> None:
    """The agent says one clear line, forgets its machine token, and exits 0."""
    agent = team.agent("stolen-laptop")
    machine = team.machine("stolen-laptop")
    owner = team.owner.on(team.cluster.other(agent.node))
    answer = owner("DELETE", f"/api/machines/{machine['id']}")
    assert answer["closedConnections"] == 1
    assert answer["unconfirmedNodes"] == []
    assert agent.ends() == 0
    assert "revoked" in agent.output()
    assert owner("DELETE", f"/api/machines/{machine['id']}")["revokedAt"] == answer["revokedAt"]
    owner("GET", f"/api/machines/{machine['id']}", status=404)
    assert team.machines() == []


def test_a_supervisor_that_restarts_a_revoked_agent_for_ever_does_not_undo_the_revocation(team: Team) -> None:
    """Even with a workspace key in its environment the installation stays out, until a person says so."""
    agent = team.agent("fired")
    machine = team.machine("fired")
    team.owner("DELETE", f"/api/machines/{machine['id']}")
    agent.ends()
    for _ in range(2):
        agent.start_again()
        assert agent.ends() == 77
    assert team.machines() == []


async def test_the_sessions_of_a_revoked_machine_end_for_those_attached(team: Team) -> None:
    """Their browsers are told, and the machine leaves their picture."""
    agent = team.agent("gone")
    machine = team.machine("gone")["id"]
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await open_shell(connection, team.workspace, machine)
        pictures = follow(connection, team.workspace)
        await pictures.until(lambda p: machine in p.machines)
        async with watching(connection, shell) as screen:
            await screen.type("echo here-$((1))\n")
            await screen.shows(b"here-1")
            team.owner("DELETE", f"/api/machines/{machine}")
            async with asyncio.timeout(10):
                await pictures.until(lambda p: machine not in p.machines)
        assert not any(isinstance(event, events.Exited) and event.code == 0 for event in screen.told)


def test_a_copied_state_folder_cannot_bring_a_revoked_machine_back_after_redis_was_flushed(team: Team) -> None:
    """The mirror in Redis is rebuilt from SQL before anybody is admitted."""
    agent = team.agent("cloned")
    state = next(team.cluster.folder.glob("cloned-*"))
    copy = team.cluster.folder / "copy-of-cloned"
    shutil.copytree(state, copy, ignore=shutil.ignore_patterns("*.sqlite3*", "*.lock", NOT_YET))
    machine = team.machine("cloned")
    team.owner("DELETE", f"/api/machines/{machine['id']}")
    agent.ends()
    team.cluster.valkey.empty()
    back = team.cluster.agent("cloned", token=team.key, state=copy)
    assert back.ends() == 0
    assert "revoked" in back.output()


def test_a_revocation_whose_kick_is_lost_is_healed_by_the_beat(team: Team) -> None:
    """The holding node is frozen while the machine is revoked; when it wakes, its next look closes the socket."""
    agent = team.agent("half-cut-off")
    machine = team.machine("half-cut-off")
    holder = team.cluster.node_at(agent.node)
    owner = team.owner.on(team.cluster.other(agent.node))
    holder.freeze()
    try:
        answer = owner("DELETE", f"/api/machines/{machine['id']}")
        assert answer["closedConnections"] == 0
        assert len(answer["unconfirmedNodes"]) == 1
    finally:
        holder.thaw()
    assert agent.ends(15) == 0
    assert "revoked" in agent.output()


def test_a_token_that_ends_between_the_door_and_hello_lets_nobody_in(team: Team) -> None:
    """Who was let in at the door a moment before has not said hello yet, and is found all the same."""
    made = team.owner("POST", "/api/tokens", {"name": "short-lived"})
    with bare(team.cluster.other(team.owner.url), "/ws/browser", made["token"]) as browser:
        team.owner("DELETE", f"/api/tokens/{made['id']}")
        assert browser.is_closed() == (Close.BAD_TOKEN, "bad-token")


def test_an_ephemeral_machine_that_left_may_register_again_unasked(team: Team) -> None:
    """Its goodbye and its close arrive together, and the goodbye counts."""
    key = Rest(team.owner.url, team.key)
    runner = {"name": "runner", "hostname": "runner.local", "version": "1", "instanceId": str(uuid4())}
    first = key("POST", "/api/machines", runner | {"ephemeral": True}, status=201)
    with bare(team.owner.url, "/ws/agent", first["machineToken"]) as agent:
        agent.say(type="hello", instance=runner["instanceId"], hostname="runner.local", version="1")
        agent.hears("welcome")
        agent.say(type="bye", remove=True)
    give_up = time.monotonic() + 10
    while team.machines() and time.monotonic() < give_up:
        time.sleep(0.05)
    second = key("POST", "/api/machines", runner | {"ephemeral": True}, status=201)
    assert second["machine"]["id"] != first["machine"]["id"]
