"""Tells how an operator changes the times of a cluster while it runs, and that nobody is the worse for it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait

from tests.support.bare import BareMachine
from tests.support.cluster import START_SECONDS, Cluster, Team, clean_environment
from tests.support.ports import free_ports
from tests.support.starter import run

LOOK_SECONDS = 0.2


def timing(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """`relay admin timing`, with the variables of a node."""
    own = {"RELAY_REDIS_URL": cluster.valkey.url, "RELAY_DATABASE_URL": cluster.database_url}
    command = [sys.executable, "-m", "relay.cli", "admin", "timing", *words]
    return run(command, env=clean_environment() | own, timeout=START_SECONDS)


def beats(team: Team, *urls: str) -> set[float]:
    """How often these nodes tell a newcomer to beat."""
    body = {"hostname": "newcomer", "version": "0", "instanceId": "6f1f4f0e-6a1c-4b12-8a54-0a4d7d3f0b11"}
    asking = f"/api/machines?workspace={team.workspace}"
    return {team.owner.on(url)("POST", asking, body)["heartbeatSeconds"] for url in urls}


def test_all_nodes_and_sweepers_take_up_other_times_and_no_machine_is_the_worse_for_it(
    cluster: Cluster, team: Team
) -> None:
    agent, bare = team.agent("steady"), BareMachine(team, "bare")
    with ThreadPoolExecutor(1) as pool, bare.agent(cluster.urls[0]) as connection:
        changing = pool.submit(timing, cluster, "set", "BEAT_SECONDS=5", "SWEEP_SECONDS=1")
        states = set()
        while not changing.done():
            states.add(team.machine("steady")["state"])
            wait((changing,), LOOK_SECONDS)
        changed = changing.result()
        paced = connection.hears("pace")
    try:
        assert changed.returncode == 0, changed.stderr
        assert states == {"live"}
        assert paced["beatSeconds"] == 5.0, "who is connected is told too"
        for part in (*cluster.nodes, *cluster.sweepers):
            said = part.says("other times from now on")
            assert "BEAT_SECONDS=5.0" in said
            assert "SWEEP_SECONDS=1.0" in said
        assert changed.stdout.count(" keeps them\n") == len(cluster.nodes) + len(cluster.sweepers)
        assert "BEAT_SECONDS is 5, and was 10" in changed.stdout
        assert beats(team, *cluster.urls) == {5.0}

        [port] = free_ports(1)
        url = cluster.address(port)
        own = {"RELAY_PORT": str(port), "RELAY_PUBLIC_URL": url, "RELAY_METRICS_PORT": "0"}
        late = cluster.nodes[0].another("late", ["relay.cli", "node"], own)
        try:
            cluster.wait_ready(url)
            assert beats(team, url) == {5.0}
            late.process.terminate()  # and not killed, or the next change waits for it until its lease ends
            assert late.ends(START_SECONDS) == 0
        finally:
            late.kill()
        times = json.loads(timing(cluster, "show", "--json").stdout)["times"]
        assert {each["name"] for each in times if each["from"] == "chosen"} == {"BEAT_SECONDS", "SWEEP_SECONDS"}
    finally:
        back = timing(cluster, "set", "BEAT_SECONDS=default", "SWEEP_SECONDS=default")
    assert back.returncode == 0, back.stderr
    assert beats(team, *cluster.urls) == {10.0}
    assert team.machine("steady")["online"]
    assert agent.process.poll() is None
