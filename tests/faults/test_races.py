"""Shows what becomes of a machine when two things happen to it at once, again and again, or at the wrong hour."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from relay.rules.timing import LIVE_SECONDS
from tests.faults.caller import until
from tests.faults.cluster import FaultCluster, Machines
from tests.faults.conftest import MACHINES
from tests.support.bare import Bare, BareMachine, a_session, bare, bare_browser
from tests.support.cluster import Agent, Part, Team
from tests.support.metrics import Metrics
from tests.support.patience import within
from tests.support.ports import free_ports
from tests.support.valkey import faketime_library

pytestmark = pytest.mark.xdist_group("faults-redis")  # on a cluster of their own, beside those of nodes

RECONNECTS = int(os.environ.get("FAULTS_RECONNECTS", "300"))  # a hundred to each node
LEFT_OPEN = 3  # every third reconnect finds the older socket open, every third cuts it, every third closes it
DESCRIPTORS_SLACK = 4  # of a node that does other things as well: its connections to Redis and to the registry
AT_ONCE = 5
HOUR_SECONDS = 3_600
ENDED_SECONDS = 15.0
SLOW_SECONDS = 60.0  # for programs that are started with another clock, beside all others


# --- who a machine belongs to ----------------------------------------------------------------------------------------


def _reconnect(machine: BareMachine, url: str, generation: int) -> tuple[ExitStack, Bare, int]:
    stack = ExitStack()
    agent = stack.enter_context(bare(url, "/ws/agent", machine.token))
    agent.say(**machine.hello(generation=generation))
    return stack, agent, int(agent.hears("welcome")["generation"])


def _descriptors(part: Part) -> int:
    return len(os.listdir(f"/proc/{part.process.pid}/fd"))


def _keys(cluster: FaultCluster) -> dict[str, int]:
    """Every key of Redis that a machine could have left something in, with how much is in it."""
    sizes = {"hash": "hlen", "set": "scard", "zset": "zcard"}
    with Redis(unix_socket_path=str(cluster.valkey.socket), decode_responses=True) as redis:
        found = {}
        for key in redis.scan_iter(count=1_000):
            if "{reports}" in key:  # of nodes and sweepers about themselves, which come and lapse by the clock
                continue
            kind = str(redis.type(key))
            found[key] = int(getattr(redis, sizes[kind])(key)) if kind in sizes else 1
    return found


async def test_hundreds_of_reconnects_of_one_machine_leave_one_of_everything(
    cluster: FaultCluster, faults_team: Team
) -> None:
    """From node to node; some sockets were closed, some cut, some are still open when the next one comes."""
    machine = await asyncio.to_thread(BareMachine, faults_team, "restless")

    def agents() -> float:
        return sum(Metrics(cluster, url).gauge("relay_agents") for url in cluster.urls)

    others = agents()

    def story() -> None:
        stack, _, generation = _reconnect(machine, cluster.urls[0], 0)
        for url in cluster.urls:  # every node has met it, and has everything that it keeps for a machine's workspace
            before, (stack, _, generation) = stack, _reconnect(machine, url, generation)
            before.close()
        descriptors, keys = [_descriptors(node) for node in cluster.nodes], _keys(cluster)
        for number in range(RECONNECTS):
            before = stack
            if number % LEFT_OPEN == 0:
                before.close()
            stack, agent, generation = _reconnect(machine, cluster.urls[number % len(cluster.urls)], generation)
            if number % LEFT_OPEN == 1:
                before.close()
            elif number % LEFT_OPEN == 2:
                before.pop_all()  # nobody closes it from here
        give_up = time.monotonic() + within(ENDED_SECONDS)
        while agents() != others + 1:
            assert time.monotonic() < give_up, f"{agents() - others} agents are left of one machine"
            time.sleep(0.1)
        after = [_descriptors(node) for node in cluster.nodes]
        assert all(now <= then + DESCRIPTORS_SLACK for now, then in zip(after, descriptors, strict=True))
        grown = {key: (keys.get(key), size) for key, size in _keys(cluster).items() if size > keys.get(key, 0)}
        assert grown == {}
        agent.say(type="beat")
        shown = faults_team.machine("restless")
        assert (shown["id"], shown["connected"], shown["state"]) == (machine.id, True, "live")
        stack.close()

    await asyncio.to_thread(story)


async def test_of_agents_that_claim_one_identity_at_once_one_is_let_in_and_the_others_are_told_why(
    cluster: FaultCluster, faults_team: Team
) -> None:
    """A state folder was copied: each says hello on a node of its choice at the same moment."""
    machine = await asyncio.to_thread(BareMachine, faults_team, "copied")
    together = threading.Barrier(AT_ONCE)

    def claim(number: int) -> tuple[int, str] | None:
        with bare(cluster.urls[number % len(cluster.urls)], "/ws/agent", machine.token) as agent:
            hello = machine.hello() | {"instance": f"00000000-0000-4000-8000-{number:012}"}
            together.wait()
            agent.say(**hello)
            try:
                while True:
                    agent.socket.recv(ENDED_SECONDS / 3)
            except TimeoutError:
                return None  # it is still connected
            except ConnectionClosed:
                return agent.is_closed()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(claim, number) for number in range(AT_ONCE)]
        ends = [await asyncio.wrap_future(future) for future in futures]
    assert ends.count(None) == 1
    later = {(4100, "over-capacity"), (4101, "rate-limited"), (4103, "unavailable")}
    assert {end for end in ends if end} <= {(4004, "replaced")} | later


# --- attach against what may forbid it -------------------------------------------------------------------------------


@contextmanager
def _attaching(cluster: FaultCluster, team: Team) -> Iterator[tuple[BareMachine, Bare, Bare, dict[str, Any]]]:
    """The owner's machine on one node, and a member's browser on another that has asked to attach: the agent has been
    told and has not answered yet."""
    machine = BareMachine(team, "busy", team.owner.token, visibility="SHARED")
    member, session = team.person("Max", "member"), a_session()
    with machine.agent(cluster.urls[0], session) as agent, bare_browser(cluster.urls[1], member.token) as browser:
        browser.say(type="attach", ref=1, machine=machine.id, session=session["id"])
        place = {"session": session["id"], "attachment": agent.hears("attach")["attachment"]}
        yield machine, agent, browser, place


def _answer(agent: Bare, place: dict[str, Any]) -> None:
    agent.say(type="attaching", epoch=1, first=1, recovered=True, driver=True, columns=80, rows=24, **place)
    agent.say(type="attached", head=0, **place)


def _end_of_attach(browser: Bare) -> tuple[str, str]:
    """What becomes of the attach: its end, or that it is done."""
    message = browser.hears_any("error", "detached", "attached")
    return message["type"], message.get("code") or message.get("reason") or ""


def test_a_machine_that_becomes_private_during_an_attach_is_not_attached_to(
    cluster: FaultCluster, faults_team: Team
) -> None:
    with _attaching(cluster, faults_team) as (machine, agent, browser, place):
        path = f"/api/machines/{machine.id}/visibility"
        faults_team.owner.on(cluster.urls[2])("PATCH", path, {"visibility": "PRIVATE"})
        told = _end_of_attach(browser)
        assert told in {("detached", "forbidden"), ("error", "not-found"), ("error", "forbidden")}
        _answer(agent, place)
        browser.say(type="ping", at=1)
        assert browser.hears_any("attached", "pong")["type"] == "pong"


def test_a_machine_that_is_revoked_during_an_attach_is_not_attached_to(
    cluster: FaultCluster, faults_team: Team
) -> None:
    with _attaching(cluster, faults_team) as (machine, agent, browser, _place):
        faults_team.owner.on(cluster.urls[2])("DELETE", f"/api/machines/{machine.id}")
        assert agent.is_closed() == (4001, "machine-revoked")
        kind, why = _end_of_attach(browser)
        assert kind in {"error", "detached"}
        assert why in {"machine-revoked", "forbidden", "not-found", "offline", "unavailable"}


def test_a_machine_that_is_renamed_during_an_attach_is_attached_to_all_the_same(
    cluster: FaultCluster, faults_team: Team
) -> None:
    with _attaching(cluster, faults_team) as (machine, agent, browser, place):
        faults_team.owner.on(cluster.urls[2])("PATCH", f"/api/machines/{machine.id}", {"name": "renamed"})
        _answer(agent, place)
        assert _end_of_attach(browser) == ("attached", "")
        faults_team.owner("DELETE", f"/api/machines/{machine.id}")


def test_a_session_that_ended_stays_ended_whatever_arrives_late(cluster: FaultCluster, faults_team: Team) -> None:
    """What an agent said of it before is heard after that it ended."""
    machine, session = BareMachine(faults_team, "late"), a_session()
    running = session | {"title": "still running"}
    with machine.agent(cluster.urls[0], session) as agent:
        agent.say(type="session", session=session | {"endedAt": 2.0, "ended": "exit", "exitCode": 0})
        agent.say(type="session", session=running)

        def sessions() -> int:
            return int(faults_team.owner.on(cluster.urls[1])("GET", f"/api/machines/{machine.id}")["sessions"])

        give_up = time.monotonic() + within(ENDED_SECONDS)
        while sessions() != 0:
            assert time.monotonic() < give_up, f"{sessions()} sessions are said to run, and none does"
            time.sleep(0.1)


# --- the wrong hour --------------------------------------------------------------------------------------------------


def _hours(wrong: int) -> dict[str, str]:
    library = faketime_library()
    if library is None:
        pytest.skip("libfaketime is not installed")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{wrong * HOUR_SECONDS:+d}", "DONT_FAKE_MONOTONIC": "1"}


async def test_a_node_an_hour_ahead_and_an_agent_an_hour_behind_change_nothing_for_anybody(
    cluster: FaultCluster, faults_team: Team, faults_machines: Machines
) -> None:
    """Presence goes by Redis's clock and by ages, at every node."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    settings = {"RELAY_PORT": str(port), "RELAY_PUBLIC_URL": url, "RELAY_METRICS_PORT": "0"}
    node = cluster.nodes[0].another("node-ahead", ["relay.cli", "node"], settings | _hours(1))
    home = cluster.folder / "behind"
    environment = {"HOME": str(home), "RELAY_CONFIG_DIR": str(home), "RELAY_URL": url, "RELAY_TOKEN": faults_team.key}
    try:
        await asyncio.to_thread(cluster.wait_ready, url)
        agent = Agent(
            "agent-behind", cluster.folder, ["relay.cli", "serve", "--name", "behind"], environment | _hours(-1)
        )
        try:
            await asyncio.to_thread(agent.says, "  connected  node=", within(SLOW_SECONDS))
            for asked in (url, *cluster.urls):
                await until(lambda asked=asked: _are_live(faults_team, asked, "behind", *MACHINES))  # type: ignore[misc]
        finally:
            agent.kill()
    finally:
        node.stop()


def _are_live(team: Team, url: str, *names: str) -> bool:
    listed = team.owner.on(url)("GET", f"/api/machines?workspace={team.workspace}")["machines"]
    found = {machine["name"]: machine for machine in listed}
    return all(
        name in found
        and found[name]["state"] == "live"
        and 0 <= found[name]["heartbeatAgeSeconds"] <= LIVE_SECONDS
        and found[name]["connected"]
        for name in names
    )
