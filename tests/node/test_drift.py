"""Shows which differences between a node and Redis an operator hears of."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from relay.node.agent import Agent
from relay.node.drift import Drift
from relay.node.hub import Hub
from relay.rules.agent_messages import AgentHello
from relay.rules.presence import Fence, Info, Record
from relay.store import Readout

HERE, THERE = "here", "there"
FENCE = Fence(1, 7, "c")


class Memory:
    """Redis, as far as it says where machines are; what it says may change between two looks."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.later: dict[str, Record] | None = None
        self.looks = 0
        self.now_ms = 0

    async def read(self, workspace: str, machines: list[str]) -> Readout:
        """The records of these machines."""
        self.looks += 1
        records, self.records = self.records, self.later if self.later is not None else self.records
        return Readout(self.now_ms, True, {machine: records[machine] for machine in machines if machine in records}, 1)

    async def page(self, boot: str) -> list[tuple[str, str]]:
        """Everybody who is said to be on this node."""
        return [("w", machine) for machine, record in self.records.items() if record.node == boot]


def record(machine: str, node: str, fence: Fence = FENCE, *, connected: bool = True) -> Record:
    """What Redis knows of a machine."""
    return Record(machine, fence, node, 0, 0, connected, None, Info())


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setattr("relay.node.drift.AGAIN_SECONDS", 0)
    monkeypatch.setattr("relay.node.drift.PAGES", 1)
    return Memory()


def drift(memory: Memory, *machines: str) -> Drift:
    """A node's comparison, with these machines on it."""
    hub = Hub()
    for machine in machines:
        hello = AgentHello(instance="0b5b0d0e-3c6f-4b6e-9d65-3d2f5c1f8a11", hostname="h", version="1")
        agent = Agent(cast(Any, None), "w", "0b5b0d0e-3c6f-4b6e-9d65-3d2f5c1f8a12", hello, 0.0)
        agent.machine, agent.fence = machine, FENCE
        hub.agents[machine] = agent
    return Drift(HERE, hub, cast(Any, memory), cast(Any, memory))


async def test_a_node_of_which_redis_knows_the_same_says_that_nothing_drifts(memory: Memory) -> None:
    memory.records = {"mac": record("mac", HERE), "elsewhere": record("elsewhere", THERE)}
    looked = drift(memory, "mac")
    await looked.look()
    assert (looked.total, looked.compared) == (0, 1)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ({}, "unknown"),
        ({"mac": record("mac", HERE, connected=False)}, "unknown"),
        ({"mac": record("mac", THERE)}, "elsewhere"),
        ({"mac": record("mac", HERE, Fence(1, 8, "c"))}, "elsewhere"),
        ({"mac": record("mac", HERE), "ghost": record("ghost", HERE)}, "ghost"),
    ],
)
async def test_what_lasts_is_counted_by_its_kind(memory: Memory, stored: dict[str, Record], kind: str) -> None:
    memory.records = stored
    looked = drift(memory, "mac")
    await looked.look()
    assert looked.found == Counter({kind: 1})
    assert {name: reading() for name, reading in looked.readings()}[kind] == 1.0


async def test_a_machine_that_was_only_on_its_way_does_not_drift(memory: Memory) -> None:
    memory.records, memory.later = {"mac": record("mac", THERE)}, {"mac": record("mac", HERE)}
    looked = drift(memory, "mac")
    await looked.look()
    assert (looked.total, memory.looks) == (0, 2)


async def test_a_machine_that_left_this_node_is_no_ghost_once_redis_heard_so(memory: Memory) -> None:
    memory.records = {"gone": record("gone", HERE, connected=False)}
    looked = drift(memory)
    await looked.look()
    assert looked.total == 0


@pytest.mark.parametrize(("redis_ms", "ahead"), [(100_000, 0.0), (99_500, 0.0), (70_000, 29.0), (130_000, -30.0)])
async def test_a_clock_that_differs_from_redis_s_is_told_as_far_as_the_way_there_does_not_explain_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, redis_ms: int, ahead: float
) -> None:
    moments = iter([99.0, 100.0])  # before Redis was asked, and when it had answered
    monkeypatch.setattr("relay.node.drift.time.time", lambda: next(moments))
    memory.records, memory.now_ms = {"mac": record("mac", HERE)}, redis_ms
    looked = drift(memory, "mac")
    await looked.look()
    assert looked.clock_ahead_seconds == ahead
