"""Decides how many agents each of several nodes should give to which other one, so that all hold about as many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TOLERATED_PART = 0.1  # over the mean: less than this is not worth anybody's reconnect


class Transfer(NamedTuple):
    """So many agents of one node are to move to another."""

    giver: str
    taker: str
    agents: int


def transfers(loads: Mapping[str, int]) -> list[Transfer]:
    """What evens out these loads, by node: nodes far above the mean give what they have beyond it to those below, the
    fullest to the emptiest first. Empty when no node is far above."""
    mean = sum(loads.values()) / max(1, len(loads))
    surplus = {node: load - round(mean) for node, load in loads.items() if load > mean * (1 + TOLERATED_PART)}
    room = {node: round(mean) - load for node, load in loads.items() if load < mean}
    found = []
    for giver, more in sorted(surplus.items(), key=lambda item: (-item[1], item[0])):
        for taker, free in sorted(room.items(), key=lambda item: (-item[1], item[0])):
            agents = min(more, free)
            if agents > 0:
                found.append(Transfer(giver, taker, agents))
                room[taker] -= agents
                more -= agents
    return found
