"""Shows that connections leave a node without the help of its garbage collector, which looks at most of them once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.bare import BareMachine, a_session, attach, bare, bare_browser, output
from tests.support.cluster import Part, Team
from tests.support.ports import free_ports

PEERS = 20  # far more than what one statement of SQLAlchemy leaves behind now and then
LEFT = "an agent left"  # how the node's log says so


@pytest.fixture
def keeper(team: Team) -> Iterator[tuple[Part, str]]:
    """One more node, which keeps its garbage, and its URL."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    first = team.cluster.nodes[0]
    own = {"RELAY_PORT": str(port), "RELAY_PUBLIC_URL": url, "RELAY_METRICS_PORT": "0"}
    part = first.another("keeper", ["tests.support.garbage_node"], own)
    try:
        team.cluster.wait_ready(url)
        yield part, url
    finally:
        part.stop()  # with its lease: nobody is to wait for a node that is gone


def garbage(keeper: Part, times: int) -> dict[str, int]:
    """What it found since it was asked before, by type."""
    keeper.process.send_signal(signal.SIGUSR1)
    types: dict[str, int] = json.loads(keeper.says("garbage ", times=times).partition("garbage ")[2])
    return types


def test_what_ends_is_freed_at_once_agents_browsers_sessions_and_those_turned_away(
    team: Team, keeper: tuple[Part, str]
) -> None:
    node, url = keeper
    machine = BareMachine(team, "kept")

    def come_and_go() -> None:
        session = a_session()
        with machine.agent(url, session) as agent, bare_browser(url, team.owner.token) as browser:
            browser.say(type="subscribe", ref=7, workspace=team.workspace)
            browser.hears("snapshot")
            attach(browser, agent, machine, session)
            agent.frame(output(session, 1), b"hello")
            browser.hears_frame()
        with bare(url, "/ws/agent", "nonsense") as stranger:
            stranger.is_closed()
        team.owner.on(url)("GET", f"/api/machines?workspace={team.workspace}")

    come_and_go()  # what is made once is made
    node.says(LEFT)
    garbage(node, 1)
    for _ in range(PEERS):
        come_and_go()
    node.says(LEFT, times=PEERS + 1)
    assert {name: count for name, count in garbage(node, 2).items() if count >= PEERS} == {}
