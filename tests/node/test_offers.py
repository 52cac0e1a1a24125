"""Shows which agents are asked to move, by an operator's order or for want of Redis, and that none is closed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import pytest

from relay.errors import Unavailable
from relay.node.agent import Agent
from relay.node.hub import Hub
from relay.node.offers import SHARED_SECONDS, Offers
from relay.node.orders import Orderly
from relay.node.outage import TICKS, Outage
from relay.node.pace import Step
from relay.rules.timing import REDIS_LOST_SECONDS
from relay.store import AnyOrder, DrainOrder, OfferOrder
from tests.node.two_nodes import WAIT_SECONDS, Peer

BOOT = "boot"


class Orders:
    """What Redis holds for one node."""

    def __init__(self) -> None:
        self.held: list[AnyOrder] = []
        self.was_done: list[AnyOrder] = []
        self.answers = True
        self.read = asyncio.Event()

    async def given(self, boot: str) -> list[AnyOrder]:
        """As it stands."""
        assert boot == BOOT
        self.read.set()
        if not self.answers:
            raise Unavailable("no Redis")
        return list(self.held)

    async def done(self, boot: str, order: AnyOrder) -> None:
        """One less, if Redis answers, which may have forgotten it."""
        if not self.answers:
            raise Unavailable("no Redis")
        self.was_done.append(order)
        self.held = [each for each in self.held if each != order]


class HeldPace:
    """Takes a few steps of a plan, and the others when the test lets it."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.held, self.goes_on, self.walked = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def walk(self, plan: Iterable[tuple[float, Step]]) -> None:
        """As `Pace` does, without its time."""
        for number, (_, step) in enumerate(plan):
            if number == self._after:
                self.held.set()
                await self.goes_on.wait()
            step()
        self.walked.set()


class Scene:
    """A node with ten agents."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.peers = []
        for _ in range(10):
            machine, peer = str(uuid4()), Peer()
            self.hub.agents[machine] = Agent(peer, "w", machine, cast(Any, None), 0.0)
            self.peers.append(peer)
        self.offers = Offers(self.hub)
        self.orders = Orders()
        self.orderly = Orderly(BOOT, cast(Any, self.orders), self.offers)
        self.answered_at = 0
        self.others = ["http://b", "http://c"]
        self.ready = list(self.others)
        self.asked_nodes = 0
        self.outage = Outage(lambda: self.answered_at, lambda: self.others, self._ready, self.offers)

    async def _ready(self, urls: Sequence[str]) -> list[str]:
        self.asked_nodes += 1
        return [url for url in urls if url in self.ready]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What this node does by itself goes on."""
        parts = [asyncio.create_task(part.run()) for part in (self.outage, self.offers)]
        try:
            yield
        finally:
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)

    def moves(self) -> Counter[str]:
        """How many agents were sent where so far."""
        return Counter(" ".join(told["nodes"]) for peer in self.peers for told in peer.heard("move"))

    async def asked(self) -> Counter[str]:
        """Let everybody be asked who is to be; how many agents were sent where."""
        async with self.running():
            for _ in range(20):
                await asyncio.sleep(0)
        return self.moves()

    def seconds(self, count: int) -> None:
        """Time passes in which this node is awake."""
        for _ in range(count):
            self.outage.tick()


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Nothing was asked yet; what is to be spread takes no time."""
    monkeypatch.setattr("relay.node.offers.OFFER_SECONDS", 0.0)
    monkeypatch.setattr("relay.node.outage.LOOK_SECONDS", 0.0)
    return Scene()


async def test_so_many_agents_as_were_ordered_are_asked_each_to_one_place(scene: Scene) -> None:
    scene.orders.held = [OfferOrder(id="1", to={"http://b": 3, "http://c": 2})]
    await scene.orderly.look()
    assert await scene.asked() == {"http://b": 3, "http://c": 2}
    assert max(len(peer.heard("move")) for peer in scene.peers) == 1
    assert scene.orders.held == []


async def test_an_order_is_carried_out_once_even_if_it_cannot_be_taken_off_the_list(scene: Scene) -> None:
    order = OfferOrder(id="1", to={"http://b": 1})
    scene.orders.held = [order]
    await scene.orderly.look()
    scene.orders.held = [order]
    await scene.orderly.look()
    assert await scene.asked() == {"http://b": 1}


async def test_a_second_share_that_was_worked_out_before_the_first_showed_is_not_begun(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An impatient operator rebalances twice: the leases still count those who were asked to leave."""
    loop = asyncio.get_running_loop()
    now = began = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    scene.offers.share({"http://b": 4})
    now = began + SHARED_SECONDS - 1
    scene.offers.share({"http://b": 4})
    now = began
    assert await scene.asked() == {"http://b": 4}
    now = began + SHARED_SECONDS
    scene.offers.share({"http://b": 1})
    assert await scene.asked() == {"http://b": 5}


async def test_more_than_there_are_is_everybody(scene: Scene) -> None:
    scene.orders.held = [OfferOrder(id="1", to={"http://b": 8, "http://c": 8})]
    await scene.orderly.look()
    assert await scene.asked() == {"http://b": 8, "http://c": 2}


async def test_an_order_to_drain_stays_listed_until_the_node_has_drained(scene: Scene) -> None:
    scene.orders.held = [DrainOrder(id="1")]
    await scene.orderly.look()
    assert scene.orderly.asked_to_drain.is_set()
    assert len(scene.orders.held) == 1
    await scene.orderly.drained()
    assert scene.orders.held == []
    scene.orders.answers = False
    await scene.orderly.drained()  # nobody can be told, and the process ends all the same


async def test_a_node_says_that_it_has_drained_also_to_a_redis_that_forgot_the_order(scene: Scene) -> None:
    scene.orders.held = [DrainOrder(id="1")]
    await scene.orderly.look()
    scene.orders.held = []
    await scene.orderly.drained()
    assert scene.orders.was_done == [DrainOrder(id="1")]


async def test_a_ring_is_heard_at_once_and_a_redis_that_is_away_is_asked_again(scene: Scene) -> None:
    scene.orders.answers = False
    running = asyncio.create_task(scene.orderly.run())
    async with asyncio.timeout(WAIT_SECONDS):
        await scene.orders.read.wait()
        scene.orders.answers, scene.orders.held = True, [DrainOrder(id="1")]
        scene.orderly.rung()
        await scene.orderly.asked_to_drain.wait()
    running.cancel()


async def test_without_redis_for_too_long_everybody_is_asked_once_to_move_anywhere(scene: Scene) -> None:
    scene.seconds(1 + int(REDIS_LOST_SECONDS) - 1)
    assert not scene.outage.lost
    assert await scene.asked() == {}
    scene.seconds(1)
    assert scene.outage.lost
    assert await scene.asked() == {"http://b http://c": 10}
    scene.seconds(100)
    assert await scene.asked() == {"http://b http://c": 10}


async def test_when_redis_is_back_nobody_else_is_asked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = HeldPace(after=3)
    monkeypatch.setattr("relay.node.offers.Pace", lambda: pace)
    scene.seconds(TICKS + 1)
    async with scene.running(), asyncio.timeout(WAIT_SECONDS):
        await pace.held.wait()
        assert scene.moves() == {"http://b http://c": 3}
        scene.answered_at += 1
        scene.seconds(1)
        assert not scene.outage.lost
        pace.goes_on.set()
        await pace.walked.wait()
    assert scene.moves() == {"http://b http://c": 3}


async def test_a_share_that_an_operator_ordered_is_not_withdrawn_because_redis_is_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = HeldPace(after=1)
    monkeypatch.setattr("relay.node.offers.Pace", lambda: pace)
    scene.offers.share({"http://b": 4})
    async with scene.running(), asyncio.timeout(WAIT_SECONDS):
        await pace.held.wait()
        scene.offers.withdraw()
        pace.goes_on.set()
        await pace.walked.wait()
    assert scene.moves() == {"http://b": 4}


async def test_who_is_back_with_redis_before_anybody_was_asked_asks_nobody(scene: Scene) -> None:
    scene.seconds(TICKS + 1)
    scene.answered_at += 1
    scene.seconds(1)
    assert not scene.outage.lost
    assert await scene.asked() == {}


async def test_while_all_nodes_are_without_redis_nobody_is_asked_and_then_those_are_named_that_have_it(
    scene: Scene,
) -> None:
    scene.ready = []
    scene.seconds(TICKS + 1)
    assert await scene.asked() == {}
    assert scene.asked_nodes > 1
    scene.ready = ["http://c"]
    scene.outage._rung.set()  # the task that looked was ended with this test's last question
    assert await scene.asked() == {"http://c": 10}


async def test_where_no_other_node_is_known_nobody_is_asked(scene: Scene) -> None:
    scene.others = []
    scene.seconds(TICKS + 1)
    assert scene.outage.lost
    assert await scene.asked() == {}


async def test_a_node_that_stood_still_has_not_lost_redis(scene: Scene) -> None:
    """Only seconds count in which it was awake and could have been answered."""
    for _ in range(100):
        scene.seconds(5)
        scene.answered_at += 1
    assert not scene.outage.lost


async def test_whoever_has_moved_already_is_not_asked(scene: Scene) -> None:
    scene.outage.tick()
    scene.seconds(TICKS)
    scene.hub.agents.clear()
    assert await scene.asked() == {}
