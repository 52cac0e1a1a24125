"""Shows how a node ends: by a signal or an operator's word, with a goodbye to everybody, its metrics to the last."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from relay.errors import Exit
from tests.support.bare import BareMachine, bare, bare_browser
from tests.support.cluster import LOOK_SECONDS, START_SECONDS, STOP_SECONDS, Cluster, Part, Team
from tests.support.ports import free_ports

A_WHILE_SECONDS = 3_600  # a drain that nobody waits for


class Third:
    """A node of its own beside those that all tests share; its drain takes an hour unless somebody hurries."""

    def __init__(self, cluster: Cluster, drain_seconds: float) -> None:
        port, metrics = free_ports(2)
        self.url, self.metrics = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}"
        own = {
            "RELAY_PORT": str(port),
            "RELAY_PUBLIC_URL": self.url,
            "RELAY_METRICS_PORT": str(metrics),
            "RELAY_DRAIN_SECONDS": str(drain_seconds),
        }
        self.part = cluster.nodes[0].another("third", ["relay.cli", "node"], own)
        cluster.wait_ready(self.url)

    def reasons(self) -> list[str]:
        """Why it is not ready."""
        try:
            urllib.request.urlopen(f"{self.url}/readyz", timeout=START_SECONDS)
        except urllib.error.HTTPError as error:
            return list(json.load(error)["reasons"])
        return []

    def drains(self) -> None:
        """Wait until it says so."""
        give_up = time.monotonic() + START_SECONDS
        while self.reasons() != ["draining"]:
            assert time.monotonic() < give_up, self.part.output()
            time.sleep(LOOK_SECONDS)

    def measured(self) -> str:
        """What its metrics say."""
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=START_SECONDS) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def a_third_node(cluster: Cluster, drain_seconds: float = A_WHILE_SECONDS) -> Iterator[Third]:
    """Until the block ends, if it has not ended before."""
    third = Third(cluster, drain_seconds)
    try:
        yield third
    finally:
        third.part.kill()


def operate(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """`relay node ...` as its operator runs it, with the variables of a node; exit code and output."""
    part = cluster.nodes[0].another("operator", ["relay.cli", "node", *arguments], {})
    return part.ends(START_SECONDS), part.output()


def test_a_signal_drains_and_a_second_one_ends_at_once_with_the_same_goodbye(team: Team) -> None:
    """Meanwhile readiness is red, newcomers are turned away, and the metrics tell of it."""
    machine = BareMachine(team, "drained")
    with a_third_node(team.cluster) as third:
        with machine.agent(third.url) as agent, bare_browser(third.url, team.owner.token) as browser:
            third.part.process.terminate()
            third.drains()
            assert "relay_browsers 1.0" in third.measured()
            for path, token in (("/ws/agent", machine.token), ("/ws/browser", team.owner.token)):
                with bare(third.url, path, token) as newcomer:
                    assert newcomer.is_closed() == (4200, "draining")
            browser.say(type="ping", at=1)
            browser.hears("pong")  # nobody is cut off before their time
            third.part.process.terminate()
            assert browser.is_closed() == (4200, "draining")
            assert agent.is_closed() == (4200, "draining")
        assert third.part.ends(STOP_SECONDS) == Exit.OK


def test_an_operator_sees_every_node_and_drains_one_from_anywhere(team: Team) -> None:
    agent = BareMachine(team, "moved")
    with a_third_node(team.cluster, drain_seconds=0.5) as third, agent.agent(third.url) as connection:
        give_up = time.monotonic() + START_SECONDS
        while True:
            code, said = operate(team.cluster, "list", "--json")
            nodes = {node["url"]: node for node in json.loads(said)["nodes"]}
            assert code == Exit.OK
            if nodes[third.url]["agents"] == 1:
                break
            assert time.monotonic() < give_up, said
        assert nodes.keys() == {*team.cluster.urls, third.url}
        assert nodes[third.url]["state"] == "ready"
        code, said = operate(team.cluster, "drain", third.url)
        assert (code, said.splitlines()[-1]) == (Exit.OK, f"{third.url} ({nodes[third.url]['id'][:8]}) has drained")
        assert connection.hears("move")["nodes"], "it is asked to move first"
        assert connection.is_closed() == (4200, "draining")
        assert third.part.ends(STOP_SECONDS) == Exit.OK


def test_a_node_that_is_not_there_cannot_be_drained(team: Team) -> None:
    code, said = operate(team.cluster, "drain", "http://nowhere")
    assert code == Exit.NOT_FOUND
    assert said.startswith("relay: no node 'http://nowhere' in this cluster: http://")


def test_a_fuller_node_is_asked_to_share_its_agents_and_closes_none(team: Team) -> None:
    full, empty = team.cluster.urls
    with BareMachine(team, "one").agent(full) as one, BareMachine(team, "two").agent(full) as two:
        give_up = time.monotonic() + START_SECONDS
        while not (moves := json.loads(operate(team.cluster, "rebalance", "--json")[1])["moves"]):
            assert time.monotonic() < give_up, "the node never said how many agents it has"
        assert [move["agents"] for move in moves] == [1]
        told: list[dict[str, object]] = []
        while not told:
            for agent in (one, two):  # which one is chance
                with contextlib.suppress(TimeoutError):
                    told.append(json.loads(agent.socket.recv(LOOK_SECONDS)))
            assert time.monotonic() < give_up, "nobody was asked to move"
        assert [(each["type"], each["nodes"]) for each in told] == [("move", [empty])]


def test_a_taken_metrics_port_is_one_clear_line_and_nobody_was_let_in(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = {"RELAY_PORT": str(free_ports(1)[0]), "RELAY_METRICS_PORT": str(port)}
        part: Part = cluster.nodes[0].another("unlucky", ["relay.cli", "node"], own)
        assert part.ends(START_SECONDS) == Exit.CONFIGURATION
    assert f"relay: cannot listen on 127.0.0.1:{port}: is the port taken?" in part.output().splitlines()
