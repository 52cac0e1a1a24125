"""Shows that machines which Redis forgot are put back, also by a node whose registry is away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from relay.errors import RegistryUnavailable
from relay.node.beats import Beats
from relay.node.hub import Agent, Hub
from relay.node.meters import Meters
from relay.rules.presence import Fence, Info
from relay.store import Beat, Lost, Reannouncement
from relay.store.heartbeats import UNCHECKED

UPTO = 7


class Forgetful:
    """A Redis that was flushed."""

    def __init__(self) -> None:
        self.back: list[tuple[int, str]] = []

    async def beat(self, node: str, beats: Iterable[Beat]) -> list[Lost]:
        """It knows none of them."""
        return [Lost(beat.workspace, beat.machine, "unknown", beat.fence) for beat in beats]

    async def reannounce(self, node: str, upto: int, machines: Sequence[Reannouncement]) -> list[Lost]:
        """Note who comes back, and up to where the mirror was made complete for it."""
        self.back += [(upto, machine.machine) for machine in machines]
        return []


@pytest.mark.parametrize(("away", "upto"), [(False, UPTO), (True, UNCHECKED)])
async def test_machines_are_put_back_with_the_mirror_made_complete_if_that_can_be(away: bool, upto: int) -> None:
    async def load(workspace: str) -> int:
        if away:
            raise RegistryUnavailable("the registry does not answer")
        return UPTO

    hub, redis, machine = Hub(), Forgetful(), str(uuid4())
    agent = Agent(cast(Any, None), "workspace", machine, cast(Any, None), 1.0)
    agent.fence, agent.heard = Fence(1, 7, "c"), 2.0
    hub.agents[machine] = agent
    await Beats("boot", hub, cast(Any, redis), lambda agent: Info(), load, Meters(CollectorRegistry())).flush()
    assert redis.back == [(upto, machine)]
