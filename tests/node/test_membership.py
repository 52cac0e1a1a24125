"""Shows which nodes one believes alive when Redis forgets them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from relay import store
from relay.errors import Unavailable
from relay.node.hub import Hub
from relay.node.membership import Membership
from relay.node.trust import Trust
from relay.rules.messages import Nodes
from relay.store import Keys, Lease
from relay.store.leases import LEASE_MS, Listed

TRUST_SECONDS = 30.0
HERE, THERE = Lease("here", "http://here", 1), Lease("there", "http://there", 1)


class Leases:
    """What Redis lists: the nodes that renewed since it last forgot everything."""

    def __init__(self) -> None:
        self.rows: list[Lease] = []
        self.vanished: list[str] = []
        self.unreadable = False
        self.takes = asyncio.Event()  # renewals arrive while it is set
        self.takes.set()

    async def listed(self) -> Listed:
        """The list as it stands."""
        if self.unreadable:
            raise Unavailable("no list can be read")
        return Listed(list(self.rows), list(self.vanished))

    async def release(self, boot: str) -> None:
        """Take a node off it."""
        self.rows = [each for each in self.rows if each.boot != boot]

    async def renew(self, lease: Lease) -> bool:
        """Put a node on it; whether it was there."""
        await self.takes.wait()
        known = lease.boot in {each.boot for each in self.rows}
        self.rows = [*(each for each in self.rows if each.boot != lease.boot), lease]
        return known


@pytest.fixture
def leases() -> Leases:
    """A list without anybody."""
    return Leases()


@pytest.fixture
async def here(leases: Leases) -> Membership:
    """A node that has seen the other one listed."""
    membership = Membership(HERE.boot, HERE.url, HERE.started_ms, cast(Any, leases), Hub())
    leases.rows = [HERE, THERE]
    await membership.renew()
    return membership


class Peer:
    """Somebody connected, with what they were told; `client` is a browser's name once it has said hello."""

    def __init__(self, client: str = "") -> None:
        self.client = client
        self.secret = ""
        self.told: list[list[str]] = []

    def send(self, message: Nodes) -> None:
        """It is told."""
        self.told.append(message.nodes)


async def test_who_came_while_a_node_knew_no_other_is_told_once_when_it_does(leases: Leases) -> None:
    hub, agent, browser, stranger = Hub(), Peer(), Peer("client"), Peer()
    here = Membership(HERE.boot, HERE.url, HERE.started_ms, cast(Any, leases), hub)
    hub.agents["machine"] = cast(Any, agent)
    hub.browsers |= {cast(Any, browser), cast(Any, stranger)}
    await here.renew()
    assert not agent.told
    leases.rows.append(THERE)
    for _ in range(2):
        await here.renew()
    assert agent.told == browser.told == [[HERE.url, THERE.url]]
    assert not stranger.told  # nothing comes before the welcome, which says it too


async def test_nodes_behind_one_address_are_no_news(leases: Leases) -> None:
    hub, agent = Hub(), Peer()
    here = Membership(HERE.boot, HERE.url, HERE.started_ms, cast(Any, leases), hub)
    hub.agents["machine"] = cast(Any, agent)
    await here.renew()
    leases.rows.append(Lease("there", HERE.url, 1))
    await here.renew()
    assert not agent.told


def alive(here: Membership, leases: Leases) -> set[str]:
    return here.alive(lease.boot for lease in leases.rows)


async def test_a_node_that_redis_forgot_may_live_until_it_has_had_time_to_say_so(
    here: Membership, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever revokes a machine asks it, however the two renew."""
    leases.rows = []
    assert alive(here, leases) == {"there"}
    await here.renew()
    assert alive(here, leases) == {"here", "there"}
    await here.renew()
    assert alive(here, leases) == {"here", "there"}
    assert here.urls() == ["http://here", "http://there"]
    monkeypatch.setattr("relay.node.membership.LEASE_SECONDS", 0.0)
    await here.renew()
    assert alive(here, leases) == {"here"}
    assert here.urls() == ["http://here"]


async def test_a_redis_that_forgets_again_and_again_makes_no_node_dead(
    here: Membership, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgot each time before this node had seen the other one listed again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for passed in (1, 6, 11, 16, 21):
        monkeypatch.setattr(loop, "time", lambda passed=passed: began + passed)
        leases.rows = []
        await here.renew()
        assert here.urls() == ["http://here", "http://there"]
    monkeypatch.undo()


async def test_a_node_that_is_listed_again_and_then_leaves_is_gone_at_once(here: Membership, leases: Leases) -> None:
    leases.rows = []
    await here.renew()
    await leases.renew(THERE)
    await here.renew()
    assert alive(here, leases) == {"here", "there"}
    leases.rows = [HERE]
    await here.renew()
    assert alive(here, leases) == {"here"}


async def test_a_node_that_left_is_not_asked(here: Membership, leases: Leases) -> None:
    leases.rows = [HERE]
    assert alive(here, leases) == {"here"}


async def test_a_node_that_left_does_not_come_back_with_a_renewal_that_was_due(
    here: Membership, leases: Leases
) -> None:
    await here.leave()
    await here.renew()
    assert leases.rows == [THERE]


async def test_a_renewal_that_arrives_behind_the_leave_does_not_bring_the_node_back(
    here: Membership, leases: Leases
) -> None:
    leases.takes.clear()
    late = asyncio.create_task(here.renew())
    await asyncio.sleep(0)
    await here.leave()
    leases.takes.set()
    await late
    assert leases.rows == [THERE]


async def test_a_renewal_that_arrives_behind_the_word_that_the_node_drains_does_not_take_it_back(
    here: Membership, leases: Leases
) -> None:
    leases.takes.clear()
    late = asyncio.create_task(here.renew())
    await asyncio.sleep(0)
    here.draining = True
    on_time, leases.takes = leases.takes, asyncio.Event()
    leases.takes.set()
    await here.renew()
    on_time.set()
    await late
    assert [lease.draining for lease in leases.rows if lease.boot == "here"] == [True]


async def test_a_node_that_cannot_read_who_lives_has_still_said_that_it_does(here: Membership, leases: Leases) -> None:
    leases.unreadable, leases.rows = True, []
    here.renewed_at = None
    with pytest.raises(Unavailable):
        await here.renew()
    assert not here.lapsed
    assert leases.rows[0].boot == "here"
    leases.unreadable = False
    await here.renew()
    assert alive(here, leases) == {"here", "there"}  # Redis had forgotten everybody before the list could not be read


async def test_a_node_that_drained_and_left_between_two_looks_is_not_missed(redis: Redis, keys: Keys) -> None:
    """Where nobody is connected that takes no time at all."""
    stays, leaves = await entered(redis, keys, "stays"), await entered(redis, keys, "leaves")
    await stays.renew()
    await leaves.leave()
    assert await trusts(stays)


async def test_one_that_vanished_is_missed_also_by_who_starts_after_it(redis: Redis, keys: Keys) -> None:
    await entered(redis, keys, "vanished")
    for listed, _ in keys.leases:
        await redis.zincrby(listed, -LEASE_MS, "vanished")
    starts = await entered(redis, keys, "starts")
    assert not await trusts(starts)


async def test_one_that_redis_forgot_and_that_does_not_come_back_is_missed(
    here: Membership, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.trust = Trust(lambda: True, TRUST_SECONDS)
    leases.rows = []
    await here.renew()
    assert await trusts(here)  # it may be listed again
    monkeypatch.setattr("relay.node.membership.LEASE_SECONDS", 0.0)
    assert not await trusts(here)


async def entered(redis: Redis, keys: Keys, boot: str) -> Membership:
    """A node that cannot read the registry any more."""
    membership = Membership(boot, f"http://{boot}", 1, store.Leases(redis, keys), Hub())
    membership.trust = Trust(lambda: True, TRUST_SECONDS)
    await membership.enter()
    return membership


async def trusts(membership: Membership) -> bool:
    """Whether a node that has looked would let machines in for longer than those seconds."""
    await membership.renew()
    return membership.trust.holds(asyncio.get_running_loop().time() + TRUST_SECONDS + 1)
