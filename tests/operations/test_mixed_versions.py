"""Shows that agents and browsers of the first version that spoke `relay.v1` are served by nodes of today.

What they said was recorded from that version's own code. A roll has both for hours, and agents are never all new.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from relay.client import events
from relay.client.subscription import follow
from relay.rules.agent_messages import to_agent
from relay.rules.browser_messages import to_browser
from tests.cluster.conftest import cluster as cluster
from tests.cluster.conftest import team as team
from tests.operations.replay import WAIT_SECONDS, Recording, Replay, socket_to
from tests.support.cluster import Rest, Team
from tests.support.screen import browser, open_shell, watching

AGENT, BROWSER = Recording("agent-0.1.0.jsonl"), Recording("browser-0.1.0.jsonl")
NEWS: dict[str, Any] = {"sinceThen": {"much": ["has", "changed"]}, "x": None}


@pytest.mark.parametrize("more", [{}, NEWS], ids=["as it was", "with fields that nobody knows"])
async def test_a_browser_of_today_works_on_an_agent_of_the_first_version(team: Team, more: dict[str, Any]) -> None:
    here, there = team.cluster.urls
    hello = AGENT.first("hello")
    body = {"hostname": hello["hostname"], "version": hello["version"], "instanceId": hello["instance"], "name": "old"}
    made = await asyncio.to_thread(Rest(here, team.key), "POST", f"/api/machines?workspace={team.workspace}", body)
    machine = made["machine"]["id"]
    async with socket_to(here, AGENT.path, made["machineToken"]) as socket:
        agent = Replay(socket, AGENT)
        agent.says_more(**more)
        playing = asyncio.create_task(agent.run())
        async with asyncio.timeout(WAIT_SECONDS):
            await agent.welcomed.wait()
        async with browser(there, team.owner.token) as connection:
            shell = await open_shell(connection, team.workspace, machine)
            async with watching(connection, shell) as screen:
                await screen.type("echo $((6*7)) | tr 2 Z\n")
                await screen.shows(b"4Z")
                await screen.type("exit\n")
                await screen.hears(events.Exited)
            assert await playing == 1000
            left = follow(connection, team.workspace).until(lambda picture: not picture.machines[machine].online)
            async with asyncio.timeout(WAIT_SECONDS):
                assert (await left).machines[machine].offline_reason == "closed", "it said goodbye, and was heard"


async def test_a_browser_of_the_first_version_works_on_an_agent_of_today(team: Team) -> None:
    agent = await asyncio.to_thread(team.agent, "mac-studio")
    machine = await asyncio.to_thread(team.machine, "mac-studio")
    bound = {
        "workspace": (BROWSER.first("subscribe")["workspace"], team.workspace),
        "machine": (BROWSER.first("open")["machine"], machine["id"]),
    }
    async with socket_to(team.cluster.other(agent.node), BROWSER.path, team.owner.token) as socket:
        replay = Replay(socket, BROWSER, **bound)
        replay.says_more(**NEWS)
        assert await replay.run() == 1000
    assert b"4Z" in replay.output


def test_what_nodes_will_say_one_day_is_passed_over_by_agents_and_browsers_of_today() -> None:
    for recording, understood in ((AGENT, to_agent), (BROWSER, to_browser)):
        said = [line["text"] for line in recording.lines if line["from"] == "node" and "text" in line]
        assert len(said) >= 4
        for message in said:
            assert understood(json.dumps(message | NEWS)) == understood(json.dumps(message))
