"""Watches a running cluster as an operator would: in a terminal, in JSON, and in the logs of its nodes."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import time

import pytest
from playwright.async_api import Browser
from rich.console import Console

from relay.cli.top import picture
from relay.store.overview import Overview, open_overlook
from tests.support.browser import ARTEFACTS
from tests.support.cluster import LOOK_SECONDS, START_SECONDS, Agent, Cluster, Team, clean_environment

FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # rich names fonts of the internet
WIDTH = 168
REPORTED_SECONDS = 60.0  # processes report every five


def overview(cluster: Cluster) -> Overview:
    """What is told of the cluster, once everybody has told something, and of a machine that is there."""

    async def look() -> Overview:
        async with open_overlook(cluster.valkey.url, "relay") as overlook:
            return await overlook.look()

    give_up = time.monotonic() + REPORTED_SECONDS
    while True:
        seen = asyncio.run(look())
        reports = [line.report for line in seen.nodes if line.report is not None]
        told = len(reports) == len(seen.nodes) and len(seen.sweepers) == len(cluster.sweepers)
        if told and any(report.agents for report in reports) and any(line.lease.agents for line in seen.nodes):
            return seen
        assert time.monotonic() < give_up, seen
        time.sleep(LOOK_SECONDS)


def field(line: str, name: str) -> str:
    """A field of a line of the log."""
    found = re.search(rf"\b{name}=(\S+)", line)
    assert found is not None, line
    return found[1].strip("'")


def test_programs_read_the_whole_cluster_at_once(cluster: Cluster, team: Team) -> None:
    agent = team.agent("mac")
    overview(cluster)
    done = subprocess.run(
        [sys.executable, "-m", "relay.cli", "top", "--json"],
        env=clean_environment() | cluster._environment("top"),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {node["url"] for node in told["nodes"]} == set(cluster.urls)
    assert all(node["ready"] and node["memoryBytes"] > 0 for node in told["nodes"])
    assert len(told["sweepers"]) == 2
    assert agent.node in cluster.urls


@pytest.mark.asyncio(loop_scope="session")
async def test_the_terminal_shows_what_an_operator_asks_first(cluster: Cluster, team: Team, browser: Browser) -> None:
    await asyncio.to_thread(team.agent, "studio")
    seen = await asyncio.to_thread(overview, cluster)
    console = Console(width=WIDTH, record=True, force_terminal=True, file=io.StringIO())
    console.print(picture(seen, time.time()))
    svg = FONT.sub("", console.export_svg(title="relay top"))
    page = await browser.new_page(viewport={"width": 1500, "height": 196})
    try:
        await page.set_content(f"<style>body {{ margin: 0; background: #292929 }} svg {{ width: 100% }}</style>{svg}")
        await page.screenshot(path=ARTEFACTS / "top.png")
        words = (await page.locator("svg").text_content() or "").replace("\u00a0", " ")
    finally:
        await page.close()
    assert "2 of 2 nodes ready" in words
    assert "sweeps" in words


def test_the_log_of_a_node_joins_who_came_with_who_left(cluster: Cluster, team: Team) -> None:
    agent: Agent = team.agent("laptop")
    machine = team.machine("laptop")["id"]
    node = cluster.node_at(agent.node)
    came = next(line for line in node.output().splitlines() if "an agent joined" in line and machine in line)
    agent.stop()
    connection = field(came, "connection")
    give_up = time.monotonic() + START_SECONDS
    while not (left := [line for line in node.output().splitlines() if "an agent left" in line and connection in line]):
        assert time.monotonic() < give_up, node.output()
        time.sleep(LOOK_SECONDS)
    assert field(left[0], "machine") == field(came, "machine") == machine
    assert field(left[0], "node") == field(came, "node")
    assert field(left[0], "workspace") == team.workspace


def test_the_logs_of_two_nodes_join_what_one_person_asked(cluster: Cluster, team: Team) -> None:
    agent = team.agent("build")
    other = cluster.node_at(cluster.other(agent.node))
    done = cluster.cli(team.key, "sessions", "list", "build", url=cluster.other(agent.node))
    assert done.returncode == 0, done.stderr
    answered = other.says("a request is answered")
    asked = cluster.node_at(agent.node).says(field(answered, "trace"))
    assert "a machine is asked" in asked
    assert field(asked, "machine") == field(answered, "machine") == team.machine("build")["id"]
    assert field(asked, "node") != field(answered, "node")
    came = other.says(f"connection={field(answered, 'connection')}")
    assert field(came, "user") == field(answered, "user")
