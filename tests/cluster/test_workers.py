"""Shows several nodes behind one port: each takes newcomers, one that ends is replaced, all end together."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from websockets.exceptions import ConnectionClosed

from relay.errors import Exit
from tests.support.bare import BareMachine, a_session, attach, bare_browser, output
from tests.support.cluster import LOOK_SECONDS, START_SECONDS, Cluster, Part, Team, running_cluster
from tests.support.ports import free_ports
from tests.support.processes import alive, gone
from tests.support.valkey import Valkey, running

pytestmark = pytest.mark.xdist_group("workers")

WORKERS = 2
_STARTED = re.compile(r"a node behind this port starts\s+pid=(\d+) worker=(\d+)")


class Crew:
    """The workers of a cluster whose only port they share."""

    def __init__(self, cluster: Cluster, metrics: list[int]) -> None:
        self.cluster = cluster
        self.metrics = metrics
        self.url = cluster.urls[0]
        self.part: Part = cluster.nodes[0]

    def pids(self) -> dict[int, int]:
        """By worker, the process that was started for it last."""
        return {int(worker): int(pid) for pid, worker in _STARTED.findall(self.part.output())}

    def ready(self) -> None:
        """Wait until every worker has come so far as to tell its numbers; one is ready at least."""
        give_up = time.monotonic() + START_SECONDS
        while not all(map(self._listens, self.metrics)):
            assert time.monotonic() < give_up, self.part.output()
            time.sleep(LOOK_SECONDS)

    def replaces(self, worker: int, before: dict[int, int]) -> None:
        """Wait until there is another process for this worker, and it is as far as to tell its numbers; the other
        workers are the same as before."""
        give_up = time.monotonic() + START_SECONDS
        while self.pids()[worker] == before[worker] or not self._listens(self.metrics[worker - 1]):
            assert time.monotonic() < give_up, self.part.output()
            time.sleep(LOOK_SECONDS)
        assert self.pids() == before | {worker: self.pids()[worker]}

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    @contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """Meanwhile no other worker runs."""
        others = [pid for number, pid in self.pids().items() if number != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def a_crew(valkey: Valkey) -> Iterator[Crew]:
    """Two workers, a sweeper, SQLite."""
    metrics = free_ports(WORKERS)
    own = {"RELAY_WORKERS": str(WORKERS), "RELAY_METRICS_PORT": str(metrics[0])}
    with running_cluster(valkey, nodes=1, sweepers=1, settings=own) as cluster:
        crew = Crew(cluster, metrics)
        try:
            crew.ready()
            yield crew
        finally:
            crew.part.kill()
            assert gone(crew.pids().values(), START_SECONDS), "nothing outlives who started it"


def operate(crew: Crew, *arguments: str) -> tuple[int, str]:
    """`relay node ...` as its operator runs it; exit code and output."""
    part = crew.part.another("operator", ["relay.cli", "node", *arguments], {})
    return part.ends(START_SECONDS), part.output()


def holder(crew: Crew) -> str:
    """The id of the node that has a browser; nodes tell that every five seconds."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        said = operate(crew, "list", "--json")[1]
        found = [node["id"] for node in json.loads(said)["nodes"] if node["browsers"]]
        if found:
            return str(found[0])
        assert time.monotonic() < give_up, said


def lives(team: Team, machine: str) -> None:
    """Wait until a machine is shown as live: that the worker which had it is gone may be heard a moment later."""
    give_up = time.monotonic() + START_SECONDS
    while (state := team.machine(machine)["state"]) != "live":
        assert time.monotonic() < give_up, state
        time.sleep(LOOK_SECONDS)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with running() as server, a_crew(server) as started:
        yield started


def test_each_worker_is_a_node_and_one_that_stands_still_takes_nobodys_turn(crew: Crew) -> None:
    team = crew.cluster.team()
    machine, session = BareMachine(team, "shared"), a_session()
    with ExitStack() as sockets:
        with crew.only(1):
            agent = sockets.enter_context(machine.agent(crew.url, session))
        with crew.only(2):
            browser = sockets.enter_context(bare_browser(crew.url, team.owner.token))
        attach(browser, agent, machine, session)
        agent.frame(output(session, 1), b"across the workers")
        assert browser.hears_frame()[1] == b"across the workers"


def test_a_worker_that_is_killed_is_replaced_and_its_machines_are_welcome_at_once(crew: Crew) -> None:
    team = crew.cluster.team()
    machine = BareMachine(team, "moved")
    before = crew.pids()
    with ExitStack() as sockets:
        with crew.only(1):
            lost = sockets.enter_context(machine.agent(crew.url))
        os.kill(before[1], signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            lost.socket.recv(START_SECONDS)
        sockets.enter_context(machine.agent(crew.url))
        lives(team, "moved")
    crew.replaces(1, before)


def test_a_worker_that_an_operator_drains_leaves_the_port_to_the_others_and_is_replaced(crew: Crew) -> None:
    team = crew.cluster.team()
    before = crew.pids()
    with ExitStack() as sockets:
        with crew.only(1):
            browser = sockets.enter_context(bare_browser(crew.url, team.owner.token))
        code, said = operate(crew, "drain", holder(crew))
        assert code == Exit.OK, said
        assert browser.is_closed() == (4200, "draining")
    crew.replaces(1, before)


def test_whoever_stops_the_host_drains_all_workers(crew: Crew) -> None:
    team = crew.cluster.team()
    with bare_browser(crew.url, team.owner.token) as browser:
        pids = crew.pids().values()
        crew.part.process.terminate()
        assert browser.is_closed() == (4200, "draining")
        assert crew.part.ends(START_SECONDS) == Exit.OK
        assert not any(map(alive, pids))


def test_a_taken_port_is_one_line_and_nobody_was_started(crew: Crew) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        part = crew.part.another("unlucky", ["relay.cli", "node", "--workers", "2"], {"RELAY_PORT": port})
        assert part.ends(START_SECONDS) == Exit.CONFIGURATION
    assert part.output().splitlines() == [f"relay: cannot listen on 127.0.0.1:{port}: is the port taken?"]


def test_a_worker_that_cannot_be_configured_ends_all(crew: Crew) -> None:
    first, second = free_ports(2)
    with socket.create_server(("127.0.0.1", second)):
        own = {"RELAY_PORT": str(free_ports(1)[0]), "RELAY_METRICS_PORT": str(first)}
        part = crew.part.another("unlucky", ["relay.cli", "node", "--workers", "2"], own)
        assert part.ends(START_SECONDS) == Exit.CONFIGURATION
    assert f"relay: cannot listen on 127.0.0.1:{second}: is the port taken?" in part.output().splitlines()
