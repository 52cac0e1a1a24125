"""Shows on a real server that a node which stops reading is not cut off, and who pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from redis.asyncio import Redis

from relay.rules.limits import KIB, LANE_CONTROL_BYTES, LANE_WINDOW_BYTES, MIB
from relay.store import Bus, Keys
from tests.node.two_nodes import WAIT_SECONDS, Node, attach, peer
from tests.store.listening import Inbox, listening
from tests.support.valkey import Valkey

HELD_BYTES = 8 * MIB  # of one subscriber for 60 s, and the server cuts it
CHUNK = bytes(8 * KIB)  # one publish each; newer servers hold larger ones without counting them
CHUNKS = 5_000  # 40 MiB, for which the server cuts at once
QUIET_EVERY = 50
FLOOD, QUIET = str(uuid4()), str(uuid4())


@asynccontextmanager
async def on_bus(valkey: Valkey, keys: Keys) -> AsyncIterator[tuple[Node, Bus]]:
    """A node that listens on a bus of its own."""
    async with listening(valkey.url, keys) as bus:

        def publish(boot: str, data: bytes, *, control: bool) -> None:
            bus.publish(keys.inbox(boot), data, control=control)

        node = Node(publish)
        bus.subscribe(keys.inbox(node.boot), node.lanes.received)
        await bus.confirmed(keys.inbox(node.boot))
        yield node, bus


async def taken_by_server(bus: Bus, keys: Keys) -> None:
    """Wait until the server has all that was published: what is published last comes back last."""
    inbox, channel = Inbox(), keys.inbox("done")
    bus.subscribe(channel, inbox.hear)
    bus.publish(channel, b"")
    await inbox.until(lambda messages: len(messages) == 1)


def transport(bus: Bus) -> asyncio.Transport:
    """The socket of a bus on one server."""
    (branch,) = bus._branches.values()
    assert branch.wire is not None
    assert branch.wire._transport is not None
    return branch.wire._transport


async def waiting_bytes(redis: Redis) -> int:
    """What the server holds for the slowest subscriber."""
    return max(int(client["omem"]) for client in await redis.client_list(_type="pubsub"))


async def test_a_node_that_stops_reading_is_not_cut_and_a_quiet_session_loses_nothing(
    valkey: Valkey, keys: Keys, redis: Redis
) -> None:
    async with on_bus(valkey, keys) as (near, near_bus), on_bus(valkey, keys) as (far, far_bus):
        near.home, far.home = far, near
        agent, flooded, quiet = near.agent(FLOOD, QUIET), far.browser(), far.browser()
        await attach(flooded, far, agent, near, FLOOD)
        await attach(quiet, far, agent, near, QUIET)
        far_socket = transport(far_bus)
        far_socket.pause_reading()
        for number in range(CHUNKS):
            near.says(agent, FLOOD, CHUNK)
            if number % QUIET_EVERY == 0:
                near.says(agent, QUIET, b"%d" % number)
            await asyncio.sleep(0)
        await taken_by_server(near_bus, keys)
        held = await waiting_bytes(redis)
        assert LANE_WINDOW_BYTES // 2 < held < LANE_WINDOW_BYTES + LANE_CONTROL_BYTES <= HELD_BYTES
        far_socket.resume_reading()
        await asyncio.wait_for(peer(flooded).until(lambda: peer(flooded).heard("detached")), WAIT_SECONDS)
        await peer(quiet).until(lambda: len(peer(quiet).frames) == CHUNKS // QUIET_EVERY)
        assert [message["reason"] for message in peer(flooded).heard("detached")] == ["gap"]
        assert not peer(quiet).heard("detached")
        assert (near_bus.losses, far_bus.losses) == (0, 0)
