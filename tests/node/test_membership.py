"""Shows which nodes one believes alive when Redis forgets them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from relay.errors import Unavailable
from relay.node.hub import Hub
from relay.node.membership import Membership
from relay.rules.messages import Nodes
from relay.store import Lease

HERE, THERE = Lease("here", "http://here", 1), Lease("there", "http://there", 1)


class Leases:
    """What Redis lists: the nodes that renewed since it last forgot everything."""

    def __init__(self) -> None:
        self.listed: list[Lease] = []
        self.unreadable = False
        self.takes = asyncio.Event()  # renewals arrive while it is set
        self.takes.set()

    async def live(self) -> list[Lease]:
        """The list as it stands."""
        if self.unreadable:
            raise Unavailable("no list can be read")
        return list(self.listed)

    async def release(self, boot: str) -> None:
        """Take a node off it."""
        self.listed = [each for each in self.listed if each.boot != boot]

    async def renew(self, lease: Lease) -> bool:
        """Put a node on it; whether it was there."""
        await self.takes.wait()
        known = lease.boot in {each.boot for each in self.listed}
        self.listed = [*(each for each in self.listed if each.boot != lease.boot), lease]
        return known


@pytest.fixture
def leases() -> Leases:
    """A list without anybody."""
    return Leases()


@pytest.fixture
async def here(leases: Leases) -> Membership:
    """A node that has seen the other one listed."""
    membership = Membership(HERE.boot, HERE.url, HERE.started_ms, cast(Any, leases), Hub())
    leases.listed = [HERE, THERE]
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
    leases.listed.append(THERE)
    for _ in range(2):
        await here.renew()
    assert agent.told == browser.told == [[HERE.url, THERE.url]]
    assert not stranger.told  # nothing comes before the welcome, which says it too


async def test_nodes_behind_one_address_are_no_news(leases: Leases) -> None:
    hub, agent = Hub(), Peer()
    here = Membership(HERE.boot, HERE.url, HERE.started_ms, cast(Any, leases), hub)
    hub.agents["machine"] = cast(Any, agent)
    await here.renew()
    leases.listed.append(Lease("there", HERE.url, 1))
    await here.renew()
    assert not agent.told


def alive(here: Membership, leases: Leases) -> set[str]:
    return here.alive(lease.boot for lease in leases.listed)


async def test_a_node_that_redis_forgot_may_live_until_it_has_had_time_to_say_so(
    here: Membership, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever revokes a machine asks it, however the two renew."""
    leases.listed = []
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
        leases.listed = []
        await here.renew()
        assert here.urls() == ["http://here", "http://there"]
    monkeypatch.undo()


async def test_a_node_that_is_listed_again_and_then_leaves_is_gone_at_once(here: Membership, leases: Leases) -> None:
    leases.listed = []
    await here.renew()
    await leases.renew(THERE)
    await here.renew()
    assert alive(here, leases) == {"here", "there"}
    leases.listed = [HERE]
    await here.renew()
    assert alive(here, leases) == {"here"}


async def test_a_node_that_left_is_not_asked(here: Membership, leases: Leases) -> None:
    leases.listed = [HERE]
    assert alive(here, leases) == {"here"}


async def test_a_node_that_left_does_not_come_back_with_a_renewal_that_was_due(
    here: Membership, leases: Leases
) -> None:
    await here.leave()
    await here.renew()
    assert leases.listed == [THERE]


async def test_a_renewal_that_arrives_behind_the_leave_does_not_bring_the_node_back(
    here: Membership, leases: Leases
) -> None:
    leases.takes.clear()
    late = asyncio.create_task(here.renew())
    await asyncio.sleep(0)
    await here.leave()
    leases.takes.set()
    await late
    assert leases.listed == [THERE]


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
    assert [lease.draining for lease in leases.listed if lease.boot == "here"] == [True]


async def test_a_node_that_cannot_read_who_lives_has_still_said_that_it_does(here: Membership, leases: Leases) -> None:
    leases.unreadable, leases.listed = True, []
    here.renewed_at = None
    with pytest.raises(Unavailable):
        await here.renew()
    assert not here.lapsed
    assert leases.listed[0].boot == "here"
    leases.unreadable = False
    await here.renew()
    assert alive(here, leases) == {"here", "there"}  # Redis had forgotten everybody before the list could not be read
