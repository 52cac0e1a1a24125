"""Shows that the proxies that operators are given the configurations of do in front of real nodes what they say."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from relay.client.connection import Options, connected
from tests.deploy.balanced import Balanced
from tests.deploy.proxies import NAMES, Proxy
from tests.deploy.traffic import AGAIN_SECONDS, Traffic, steady, visitor
from tests.support.bare import BareMachine
from tests.support.cluster import START_SECONDS
from tests.support.screen import WAIT_SECONDS, open_shell, watching

pytestmark = pytest.mark.xdist_group("deploy")


@pytest.mark.parametrize("name", NAMES)
async def test_an_agent_and_a_browser_meet_through_the_proxy(balanced: Balanced, name: str) -> None:
    """Both know nothing but its https address, and one types into a real shell of the other."""
    proxy, team = balanced.proxies[name], balanced.team()
    agent = await asyncio.to_thread(balanced.agent_through, proxy, team, f"behind-{name}")
    assert agent.node == proxy.url
    machine = team.machine(f"behind-{name}")["id"]
    options = Options(label="laptop", tls=proxy.tls, first_seconds=WAIT_SECONDS)
    async with connected([proxy.url], team.owner.token, options) as connection:
        shell = await open_shell(connection, team.workspace, machine)
        async with watching(connection, shell) as screen:
            await screen.type("echo $((6*7)) | tr 2 Z\n")
            await screen.shows(b"4Z")


async def test_a_node_is_restarted_under_load_and_no_client_sees_an_error(balanced: Balanced) -> None:
    """Neither a request nor a handshake fails: no 502, no 503, no connection that is refused or lost. Browsers are told
    to come back, and are let in by the other node. The restarted node is used again."""
    team = balanced.team()
    machine = BareMachine(team, "comes-and-goes")
    url = balanced.urls[0]
    node = balanced.node_at(url)
    async with steady(balanced.proxies.values(), team.owner.token, changes={"haproxy", "caddy"}) as traffic:
        await settled(traffic)
        node.process.terminate()
        assert await asyncio.to_thread(node.ends, START_SECONDS) == 0
        await settled(traffic)
        node.start_again()
        await asyncio.to_thread(balanced.wait_ready, url)
        for proxy in balanced.proxies.values():
            await comes_to(balanced, proxy, machine, url)
        await settled(traffic)
    for name, each in traffic.items():
        print(f"{name}: {each.answers} answers, {each.sent_on} browsers sent on, {each.troubles}")
    assert {name: each.troubles for name, each in traffic.items()} == {name: [] for name in NAMES}
    assert any(each.sent_on for each in traffic.values())


async def settled(traffic: dict[str, Traffic]) -> None:
    """Wait until everybody has been answered some more."""
    for each in traffic.values():
        await each.is_answered(times=5)


async def comes_to(balanced: Balanced, proxy: Proxy, machine: BareMachine, url: str) -> None:
    """Wait until an agent that comes through the proxy is let in by this node."""
    async with asyncio.timeout(START_SECONDS), visitor(proxy, machine.token) as http:
        while True:
            async with http.ws_connect(proxy.url + "/ws/agent", protocols=["relay.v1"]) as agent:
                await agent.send_json(machine.hello())
                assert (await agent.receive_json())["type"] == "welcome"
                found = await agents(http, balanced.metrics[url])
            while await agents(http, balanced.metrics[url]):  # noqa: ASYNC110 - else the next takes this one for itself
                await asyncio.sleep(AGAIN_SECONDS)
            if found:
                return
            await asyncio.sleep(AGAIN_SECONDS)


async def agents(http: aiohttp.ClientSession, metrics_url: str) -> int:
    """How many a node holds."""
    async with http.get(f"{metrics_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(float(next(line for line in lines if line.startswith("relay_agents ")).split()[1]))
