"""Invents a fleet and what becomes of each machine, alike in every process that is given the same seed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from loadtests.bench import population
from loadtests.bench.population import Member
from relay.rules.timing import BEAT_JITTER, BEAT_SECONDS
from relay.store import Keys

LEAVING_PART = 0.01  # fall silent and stay so
PAUSING_PART = 0.01  # fall silent, and are heard again before anybody may call them offline
LEAVE_WITHIN_SECONDS = 10.0  # after the beginning
PAUSE_SECONDS = (40.0, 62.0)  # less than 90 s by a beat before, a beat after and a flush
NEVER = float("inf")


class Life(NamedTuple):
    """One machine, and when it says nothing, in seconds from the beginning."""

    member: Member
    silent_from: float
    silent_until: float

    @property
    def leaves(self) -> bool:
        """Whether it is not heard again."""
        return self.silent_from < NEVER and self.silent_until == NEVER


def invent(machines: int, seed: int) -> list[Life]:
    """So many machines, spread over all shards."""
    random = Random(seed)
    members = [each for shard in population.invent(Keys(), machines, random) for each in shard][:machines]
    random.shuffle(members)  # a node holds machines of all shards
    leaving, pausing = int(machines * LEAVING_PART), int(machines * PAUSING_PART)
    lives = []
    for number, member in enumerate(members):
        begins = random.uniform(0.0, LEAVE_WITHIN_SECONDS)
        if number < leaving:
            lives.append(Life(member, begins, NEVER))
        elif number < leaving + pausing:
            lives.append(Life(member, begins, begins + random.uniform(*PAUSE_SECONDS)))
        else:
            lives.append(Life(member, NEVER, NEVER))
    random.shuffle(lives)
    return lives


def next_beat(random: Random, last: float) -> float:
    """When a machine beats again, as agents do: up to a fifth early."""
    return last + BEAT_SECONDS * (1 - BEAT_JITTER * random.random())
