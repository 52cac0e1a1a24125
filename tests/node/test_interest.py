"""Shows that a node with very many attachments repeats them in short parts, and forgets none."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.node import hops
from tests.node.two_nodes import Between, attach

SESSION = str(uuid4())


async def test_interest_is_repeated_a_little_each_second_and_without_those_who_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.node.interest.INTEREST_AT_ONCE", 2)
    between = Between()
    agent = between.far.agent(SESSION)
    browsers = [between.near.browser() for _ in range(5)]
    numbers = [await attach(browser, between.near, agent, between.far, SESSION) for browser in browsers]
    sent: list[list[int]] = []

    def note(boot: str, hop: hops.Hop) -> None:
        assert boot == between.far.boot
        if isinstance(hop, hops.InterestHop):
            sent.append([number for _machine, _session, number, _generation in hop.attachments])

    monkeypatch.setattr(between.near.lanes, "send_hop", note)
    router = between.near.router
    router.tick(0.0, repeat_interest=True)
    assert [len(part) for part in sent] == [2]
    router.browser_left(browsers[4])
    router.tick(1.0, repeat_interest=True)  # the list is not at its end: nobody is named twice
    router.tick(2.0, repeat_interest=False)
    router.tick(3.0, repeat_interest=False)
    assert [len(part) for part in sent] == [2, 2]
    assert sorted(number for part in sent for number in part) == sorted(numbers[:4])
    router.tick(10.0, repeat_interest=True)
    assert len(sent) == 3
