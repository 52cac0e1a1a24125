"""Shows from outside what a node that stands still for a moment costs: the session that floods it, and nobody else."""

from __future__ import annotations

from redis import Redis

from relay.rules.limits import KIB, LANE_WINDOW_BYTES
from tests.support.bare import BareMachine, a_session, attach, bare_browser, output
from tests.support.cluster import Team
from tests.support.metrics import Metrics

CHUNK_BYTES = 8 * KIB
CHUNKS = 2 * LANE_WINDOW_BYTES // CHUNK_BYTES  # whatever the window, its agent does not heed it
QUIET_EVERY = 50


def connections(redis: Redis) -> set[str]:
    """The ids of all subscribers."""
    return {client["id"] for client in redis.client_list(_type="pubsub")}


def test_a_node_that_stands_still_for_a_moment_loses_nothing_but_what_floods_it(team: Team) -> None:
    near, far = team.cluster.urls
    machine, flood, quiet = BareMachine(team, "still"), a_session(), a_session()
    metrics = Metrics(team.cluster, near)
    with (
        Redis(unix_socket_path=str(team.cluster.valkey.socket)) as redis,
        machine.agent(near, flood, quiet) as agent,
        bare_browser(far, team.owner.token) as flooded,
        bare_browser(far, team.owner.token) as neighbour,
    ):
        attach(flooded, agent, machine, flood)
        attach(neighbour, agent, machine, quiet)
        before = connections(redis)
        team.cluster.node_at(far).freeze()
        try:
            for number in range(1, CHUNKS + 1):
                agent.frame(output(flood, number), bytes(CHUNK_BYTES))
                if number % QUIET_EVERY == 0:
                    agent.frame(output(quiet, number // QUIET_EVERY), b"quiet")
            metrics.reaches(1, "relay_limits_reached", limit="LANE_WINDOW_BYTES")
            agent.hears("detach", session=flood["id"], dropped=True)
        finally:
            team.cluster.node_at(far).thaw()
        for number in range(1, CHUNKS // QUIET_EVERY + 1):
            assert neighbour.hears_frame() == (output(quiet, number), b"quiet")
        told = flooded.hears("detached")
        assert told["reason"] in {"gap", "behind"}  # behind: it did not read what had room as fast as it came
        assert connections(redis) == before
        attach(flooded, agent, machine, flood)
