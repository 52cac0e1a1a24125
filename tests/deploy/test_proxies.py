"""Shows that the proxies that operators are given the configurations of do in front of real nodes what they say."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus

import aiohttp
import pytest

from relay.client.connection import Options, connected
from relay.rules.timing import PING_SECONDS, PONG_SECONDS, REQUEST_SECONDS, REVOKE_WAIT_SECONDS
from tests.deploy.balanced import Balanced
from tests.deploy.proxies import NAMES, Proxy, source
from tests.deploy.traffic import AGAIN_SECONDS, ANSWER_SECONDS, Traffic, guest, steady, visitor
from tests.support.bare import BareMachine
from tests.support.cluster import START_SECONDS
from tests.support.screen import WAIT_SECONDS, open_shell, watching

pytestmark = pytest.mark.xdist_group("deploy")
PATIENCE = {"haproxy": ["timeout tunnel"], "nginx": ["proxy_read_timeout", "proxy_send_timeout"]}
PINGS = 5  # that a proxy must outlast
ENOUGH = 5  # requests through each proxy before and after something happens
STRANGERS = (
    200  # sign-ins by code that one address begins in vain; a node allows 20 at once, and one more in two seconds
)
AT_ONCE = 10  # of those: one after the other they might be too slow for that on a busy machine


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
        print(f"{name}: {each.asked} requests, {each.sent_on} browsers sent on, {each.troubles}")
    assert {name: each.troubles for name, each in traffic.items()} == {name: [] for name in NAMES}
    assert any(each.sent_on for each in traffic.values())


@pytest.mark.parametrize("name", NAMES)
async def test_clients_are_told_apart_by_the_address_that_the_proxy_saw(balanced: Balanced, name: str) -> None:
    """One who begins too many sign-ins is turned away, whatever they say of themselves; a neighbor is not."""
    proxy = balanced.proxies[name]
    number = 10 * (1 + NAMES.index(name))
    async with visitor(proxy, address=f"127.0.0.{number}") as eager:
        for turn in range(0, STRANGERS, AT_ONCE):
            numbers = range(turn, turn + AT_ONCE)
            answers = await asyncio.gather(*(begins_in_vain(eager, proxy, number) for number in numbers))
            if HTTPStatus.TOO_MANY_REQUESTS in answers:
                break
        assert set(answers) <= {HTTPStatus.CREATED, HTTPStatus.TOO_MANY_REQUESTS}
        assert HTTPStatus.TOO_MANY_REQUESTS in answers
    async with visitor(proxy, address=f"127.0.0.{number + 1}") as neighbor:
        assert await begins_in_vain(neighbor, proxy, number) == HTTPStatus.CREATED


async def begins_in_vain(http: aiohttp.ClientSession, proxy: Proxy, number: int) -> int:
    """Begin a sign-in by code, and claim to be somebody else; the answer's status."""
    forged = {"x-forwarded-for": f"198.51.100.{number}", "x-real-ip": "198.51.100.1", "forwarded": "for=198.51.100.1"}
    async with http.post(proxy.url + "/api/device", headers=forged) as answer:
        return answer.status


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_signs_in_over_tls_and_opens_its_socket(balanced: Balanced, name: str) -> None:
    """Whoever comes without TLS is sent there; the socket's origin is the address of the proxy."""
    proxy = balanced.proxies[name]
    team = balanced.team()
    link = team.owner("POST", f"/api/workspaces/{team.workspace}/invitations", {"role": "viewer"})
    body = {"secret": link["url"].partition("#invite=")[2], "name": "jane"}
    async with guest(proxy, cookie_jar=aiohttp.CookieJar(unsafe=True)) as page:
        async with page.get(proxy.plain_url + "/", allow_redirects=False) as answer:
            assert answer.status == HTTPStatus.PERMANENT_REDIRECT
            assert answer.headers["location"].startswith("https://127.0.0.1")
        async with page.get(proxy.url + "/") as answer:
            assert (answer.status, answer.content_type) == (HTTPStatus.OK, "text/html")
            assert "strict-transport-security" in answer.headers
        headers = {"origin": proxy.url, "sec-fetch-site": "same-origin"}
        async with page.post(proxy.url + "/api/invitations/accept", json=body, headers=headers) as answer:
            assert answer.ok, await answer.text()
        async with page.ws_connect(proxy.url + "/ws/browser", protocols=["relay.v1"], origin=proxy.url) as socket:
            await socket.send_json({"type": "hello", "client": "a-page-behind-a-proxy", "label": "page"})
            assert (await socket.receive_json())["type"] == "welcome"


@pytest.mark.parametrize(("name", "directives"), PATIENCE.items())
def test_nobody_who_only_reads_is_cut_off(name: str, directives: list[str]) -> None:
    """A socket that is idle is pinged, so a proxy that waits for several pings never ends one that works."""
    for directive in directives:
        found = re.findall(rf"^\s*{directive} +(\d+)m;?$", source(name).read_text(), re.MULTILINE)
        assert [int(minutes) * 60 >= PINGS * (PING_SECONDS + PONG_SECONDS) for minutes in found] == [True]


@pytest.mark.parametrize(("name", "directives"), PATIENCE.items())
async def test_what_a_proxy_says_of_idle_sockets_is_what_ends_them(
    balanced: Balanced, name: str, directives: list[str]
) -> None:
    """So that the test above reads the right words: a proxy that is told to wait for a second cuts them after it."""
    changes = {f"{directive} 5m": f"{directive} 1s" for directive in directives}
    with balanced.another(name, changes) as proxy:
        async with asyncio.timeout(ANSWER_SECONDS), visitor(proxy, balanced.owner_token) as http:
            while "welcome" not in await reads_until_cut_off(http, proxy):
                pass  # a busy node takes longer than a second for that, once in a while


async def reads_until_cut_off(http: aiohttp.ClientSession, proxy: Proxy) -> list[str]:
    """What a browser hears that says no more than hello, until its socket is lost without a goodbye."""
    try:
        async with http.ws_connect(proxy.url + "/ws/browser", protocols=["relay.v1"]) as socket:
            await socket.send_json({"type": "hello", "client": "somebody-who-reads", "label": "test"})
            heard = [message.json()["type"] async for message in socket if message.type is aiohttp.WSMsgType.TEXT]
    except aiohttp.ClientError:
        return []
    assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
    return heard


def test_caddy_cuts_nobody_off_at_all() -> None:
    """Its sockets have no limit unless one is set."""
    directives = [line.split()[0] for line in source("caddy").read_text().splitlines() if line.split()]
    assert {"stream_timeout", "read_timeout", "write_timeout", "response_header_timeout"}.isdisjoint(directives)


def test_a_proxy_waits_longer_for_an_answer_than_a_node_does_for_the_machine() -> None:
    """Else somebody would hear of the proxy's trouble in place of the machine's. The others wait as for sockets."""
    found = re.search(r"timeout server (\d+)s", source("haproxy").read_text())
    assert found is not None
    assert int(found[1]) > REQUEST_SECONDS + REVOKE_WAIT_SECONDS


async def settled(traffic: dict[str, Traffic]) -> None:
    """Wait until everybody has asked some more."""
    for each in traffic.values():
        await each.has_asked(ENOUGH)


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
