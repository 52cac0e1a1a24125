"""Decides by a seed which faults come when: the same seed is the same plan, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import NamedTuple

PAUSE_SECONDS = (1.0, 4.0)  # between two steps, in which everybody is to be where they belong
BOTH = 0.3  # of all steps have two faults at once
BESIDE = 0.5  # and in this part of them somebody does something meanwhile


class Kind(NamedTuple):
    """One sort of fault."""

    name: str
    weight: int
    shortest_seconds: float
    longest_seconds: float
    lasts: bool = True  # browsers catch up when it is over; else they do at once, however long it takes to mend it


# What is done to a node, to the networks on either side of it, and to Redis. No two of one row at once: two of three
# nodes may be gone together, which is a fault of its own, but a cluster without any node promises nothing.
NODES = (
    Kind("kill", 6, 1, 8, lasts=False),
    Kind("kill-two", 1, 1, 5, lasts=False),
    Kind("drain", 4, 0, 2, lasts=False),
    Kind("freeze", 4, 1, 20),
    Kind("network-reset", 3, 0, 0, lasts=False),
    Kind("machines-cut-off", 3, 0, 0, lasts=False),
    Kind("network-half-open", 3, 3, 14),
    Kind("machines-half-open", 2, 3, 14),
    Kind("browsers-half-open", 2, 3, 14),
    Kind("network-held", 2, 1, 6),
    Kind("network-slow", 2, 3, 10),
    Kind("network-cuts", 2, 2, 5),
)
REDIS = (
    Kind("bus-deaf", 4, 2, 12),
    Kind("redis-cut-off", 2, 0, 0, lasts=False),
    Kind("redis-half-open", 3, 2, 15),
    Kind("redis-held", 2, 1, 8),
    Kind("redis-slow", 2, 3, 10),
    Kind("redis-flushed", 3, 0, 0, lasts=False),
    Kind("redis-restarted-empty", 2, 0.5, 25),
    Kind("redis-restarted", 2, 0.5, 10),
    Kind("redis-paused", 2, 1, 6),
    Kind("redis-frozen", 2, 1, 10),
    Kind("redis-full", 1, 2, 8),
    Kind("registry-locked", 2, 1, 8),
    Kind("sweeper-killed", 2, 1, 5, lasts=False),
)
DOINGS = (("session-turn", 5), ("revoke", 3), ("rename", 3))


class Deed(NamedTuple):
    """One fault of one step."""

    kind: Kind
    node: int  # which one, by its place; for faults that are about one
    amount: float  # between 0 and 1, for faults that come in sizes


class Step(NamedTuple):
    """Faults that come together, how long they last, and what people do meanwhile."""

    number: int
    deeds: tuple[Deed, ...]
    seconds: float
    beside: str  # "" for nothing
    pause_seconds: float

    def __str__(self) -> str:
        return " + ".join(f"{deed.kind.name}({deed.node})" for deed in self.deeds)


def steps(seed: int, nodes: int) -> Iterator[Step]:
    """The plan, without an end."""
    random = Random(seed)
    for number in count(1):
        both = random.random() < BOTH
        first = random.random() < 0.5
        rows = (NODES, REDIS) if both else (NODES if first else REDIS,)
        deeds = tuple(Deed(_chosen(random, row), random.randrange(nodes), random.random()) for row in rows)
        shortest = max(deed.kind.shortest_seconds for deed in deeds)
        longest = max(shortest, min(deed.kind.longest_seconds for deed in deeds))
        seconds = random.uniform(shortest, longest)
        beside = ""
        if random.random() < BESIDE:
            beside = random.choices([name for name, _ in DOINGS], [weight for _, weight in DOINGS])[0]
        yield Step(number, deeds, seconds, beside, random.uniform(*PAUSE_SECONDS))


def _chosen(random: Random, row: tuple[Kind, ...]) -> Kind:
    return random.choices(row, [kind.weight for kind in row])[0]
