"""Shows that a batch which a full bus refuses is said to be missing, on whichever side of it the browser is."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.errors import LimitReached
from relay.node.lanes import Lanes
from relay.rules import frames, ids
from relay.rules.frames import Header, Kind
from tests.node.two_nodes import Between, attach, peer

SESSION = str(uuid4())


def refuse_one(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus takes the next batch of this node not, and those behind it again."""
    publish = lanes._publish

    def refuse(boot: str, data: bytes, *, control: bool) -> None:
        monkeypatch.setattr(lanes, "_publish", publish)
        raise LimitReached("the bus between nodes is full", limit="BUS_BYTES")

    monkeypatch.setattr(lanes, "_publish", refuse)


@pytest.mark.parametrize("says", ["agent", "browser"])
async def test_whoever_needed_it_is_told_of_a_gap_with_the_next_batch(
    says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = Between()
    agent, browser = between.far.agent(SESSION), between.near.browser()
    number = await attach(browser, between.near, agent, between.far, SESSION)
    await between.second()
    if says == "agent":
        refuse_one(between.far.lanes, monkeypatch)
        between.far.says(agent, SESSION, b"lost")
    else:
        refuse_one(between.near.lanes, monkeypatch)
        typed = frames.pack(Header(Kind.INPUT, 0, number, 1, ids.raw(SESSION), 1), b"lost")
        between.near.router.fanout.from_browser(browser, typed)
    await between.settled()
    assert not peer(browser).heard("detached")
    await between.second()
    assert [each["reason"] for each in peer(browser).heard("detached")] == ["gap"]
    assert not peer(agent).frames
