"""Tells the story of a cluster whose registry is PostgreSQL: the same sentences as on SQLite, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.bare import BareMachine, bare
from tests.support.cluster import Cluster, Rest, Team, running_cluster
from tests.support.postgres import Postgres
from tests.support.screen import browser, open_shell, watching
from tests.support.valkey import running


@pytest.fixture(scope="module")
def on_postgresql(postgres: Postgres) -> Iterator[Cluster]:
    """Two nodes and a sweeper on a database of their own, which they made their tables in."""
    database = asyncio.run(postgres.create())
    with running() as server, running_cluster(server, postgres.url(database), sweepers=1) as cluster:
        yield cluster
    asyncio.run(postgres.drop(database))


@pytest.fixture
def team(on_postgresql: Cluster) -> Iterator[Team]:
    """A fresh workspace."""
    yield on_postgresql.team()
    on_postgresql.stop_agents()


async def test_a_browser_on_the_other_node_types_into_a_real_shell(team: Team) -> None:
    agent = team.agent("mac-studio")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await open_shell(connection, team.workspace, team.machine("mac-studio")["id"])
        async with watching(connection, shell) as screen:
            await screen.type("echo $((6*7)) | tr 2 Z\n")
            await screen.shows(b"4Z")


def test_a_revocation_at_the_other_node_closes_the_live_socket_with_4001(team: Team) -> None:
    machine = BareMachine(team, "stolen")
    here, there = team.cluster.urls
    with machine.agent(here) as agent:
        answer = team.owner.on(there)("DELETE", f"/api/machines/{machine.id}")
        assert agent.is_closed() == (4001, "machine-revoked")
    assert (answer["closedConnections"], answer["unconfirmedNodes"]) == (1, [])
    assert team.machines() == []


def test_names_are_taken_kept_and_refused_on_every_node(team: Team) -> None:
    """The newest registration has the name; a chosen one is unique without regard to case; the former one resolves."""
    here, there = team.cluster.urls
    first, second = BareMachine(team, "prod-api"), BareMachine(team, "other")
    owner = team.owner.on(there)
    with first.agent(here), second.agent(there):
        refused = owner("PATCH", f"/api/machines/{second.id}", {"name": "PROD-API"}, status=409)
        assert refused["code"] == "name-taken"
        owner("PATCH", f"/api/machines/{second.id}", {"name": "Straße"})
        owner("PATCH", f"/api/machines/{first.id}", {"name": "STRASSE"}, status=409)
        assert team.machine("other")["id"] == second.id
        newer = BareMachine(team, "prod-api")
        assert newer.id != first.id
        with newer.agent(there):
            assert team.machine("prod-api")["id"] == newer.id
            assert owner("GET", f"/api/machines/{first.id}")["shadowedBy"] == newer.id


def test_restarted_nodes_find_everything_although_redis_forgot_it_too(team: Team) -> None:
    """Machines and their tokens, keys, members, what was revoked, and who did it."""
    cluster = team.cluster
    jane = team.person("jane", "viewer")
    revoked, kept = BareMachine(team, "revoked"), BareMachine(team, "kept")
    with kept.agent(cluster.urls[0]), revoked.agent(cluster.urls[1]):
        team.owner("DELETE", f"/api/machines/{revoked.id}")
    for node in cluster.nodes:
        assert node.stop() == 0
    cluster.valkey.empty()
    for node, url in zip(cluster.nodes, cluster.urls, strict=True):
        node.start_again()
        cluster.wait_ready(url)
    with bare(cluster.urls[1], "/ws/agent", revoked.token) as agent:
        agent.say(**revoked.hello())
        assert agent.is_closed() == (4001, "machine-revoked")
    with kept.agent(cluster.urls[1]):
        [seen] = jane.on(cluster.urls[0])("GET", "/api/machines")["machines"]
        assert (seen["id"], seen["online"], seen["name"]) == (kept.id, True, "kept")
    with BareMachine(team, "new").agent(cluster.urls[0]):
        assert len(team.machines()) == 2
    again = {"name": "revoked", "hostname": "h", "version": "1", "instanceId": revoked.instance}
    assert Rest(cluster.urls[0], team.key)("POST", "/api/machines", again, status=410)["code"] == "machine-revoked"
    entries = team.owner("GET", f"/api/workspaces/{team.workspace}/audit")["entries"]
    assert any(revoked.id in str(entry) and "revoke" in str(entry) for entry in entries)
