"""Shows a cluster whose Redis is divided among several servers: who loses what when one of them dies."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, cast

import pytest

from relay.rules.timing import DEAF_SECONDS
from relay.store import Keys
from relay.store.memory import servers
from tests.support.bare import BareMachine, a_session, attach, bare_browser, output
from tests.support.cluster import LOOK_SECONDS, START_SECONDS, Cluster, Team, running_cluster
from tests.support.redis_shards import Shard, Shards, redis_shards
from tests.support.valkey import Valkey

pytestmark = pytest.mark.xdist_group("workers")

SERVERS = 4  # two nodes listen on one each, and one has the machine: one is left at least


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    """Four servers."""
    with redis_shards(SERVERS) as started:
        yield started


@pytest.fixture(scope="module")
def divided(shards: Shards) -> Iterator[Cluster]:
    """Two nodes on them."""
    with running_cluster(cast(Valkey, shards), sweepers=1) as cluster:  # of a server it wants the URL alone
        yield cluster


def readiness(url: str) -> dict[str, Any]:
    """What a node says of itself."""
    with urllib.request.urlopen(f"{url}/readyz", timeout=START_SECONDS) as answer:
        return dict(json.load(answer))


def concerned(shards: Shards, server: Shard, team: Team) -> bool:
    """Whether a node listens there, or the team's machines are remembered there."""
    keys = Keys()
    home = servers(shards.url).owner(keys.events(keys.shard(team.workspace)))
    return server.port == home.port or any(":inbox:" in channel for channel in server.channels())


def test_sessions_across_nodes_outlive_the_death_of_a_shard_that_is_not_theirs(
    divided: Cluster, shards: Shards
) -> None:
    team, session = divided.team(), a_session()
    machine = BareMachine(team, "builder")
    here, there = divided.urls
    with machine.agent(here, session) as agent, bare_browser(there, team.owner.token) as browser:
        attach(browser, agent, machine, session)
        spare = next(server for server in shards.servers if not concerned(shards, server, team))
        spare.kill()
        give_up = time.monotonic() + START_SECONDS + DEAF_SECONDS
        while "redis-partly-away" not in readiness(here)["impaired"]:
            assert time.monotonic() < give_up, readiness(here)
            time.sleep(LOOK_SECONDS)
        agent.frame(output(session, 1), b"still here")
        assert browser.hears_frame()[1] == b"still here"
        spare.start()
        while readiness(here)["impaired"]:
            assert time.monotonic() < give_up + START_SECONDS, readiness(here)
            time.sleep(LOOK_SECONDS)
