"""Carries the plan out against a cluster under load, step by step, and sums up what became of every promise."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from loadtests.chaos import deeds, plan
from loadtests.chaos.people import People
from loadtests.chaos.plan import Step
from loadtests.numbers import summary
from tests.faults.checker import Violation
from tests.faults.cluster import FaultCluster, fault_cluster
from tests.faults.load import Load, loading
from tests.support.valkey import running

NODES = 3
MACHINES = ("builder", "laptop", "studio")
CAUGHT_UP_SECONDS = 60.0  # after everything is mended, or it is a violation


Say = Callable[[str], None]


class Storm:
    """One run: what was done, and how long everybody took to be where they belong."""

    def __init__(self, cluster: FaultCluster, load: Load, people: People, say: Say) -> None:
        self.done: Counter[str] = Counter()
        self.took: dict[str, list[float]] = {}
        self.violations: list[Violation] = []  # that are about no session
        self._cluster = cluster
        self._load = load
        self._people = people
        self._say = say
        self._began = time.monotonic()
        self._told = 0  # violations

    async def step(self, step: Step) -> None:
        """Do what the step says, mend it, and wait until everybody is back."""
        began = time.monotonic()
        lasts = all(deed.kind.lasts for deed in step.deeds)
        mends = [await deeds.begin(self._cluster, deed, step.seconds) for deed in step.deeds]
        beside = asyncio.create_task(self._people.do(step.beside))
        waiting = None if lasts else asyncio.create_task(self._back(step, began))
        await asyncio.sleep(max(0.0, began + step.seconds - time.monotonic()))
        mended = time.monotonic()
        for mend in mends:
            await mend()
        await self._ready(step)
        took = await (waiting or self._back(step, mended))
        self.violations += await beside
        await self._people.afterwards()
        self.done.update(deed.kind.name for deed in step.deeds)
        self.done.update([step.beside] if step.beside else [])
        self._tell(step, took)
        await asyncio.sleep(step.pause_seconds)

    async def _ready(self, step: Step) -> None:
        try:
            await deeds.ready(self._cluster)
        except AssertionError as error:
            self.violations.append(Violation("not ready", str(step), str(error).partition("\n")[0]))

    async def _back(self, step: Step, since: float) -> list[float]:
        try:
            took = await self._load.catches_up(since, CAUGHT_UP_SECONDS)
        except AssertionError as error:
            self.violations.append(Violation("left behind", str(step), str(error)))
            return []
        for deed in step.deeds:
            name = deed.kind.name if len(step.deeds) == 1 else "two at once"
            self.took.setdefault(name, []).extend(took)
        return took

    def _tell(self, step: Step, took: list[float]) -> None:
        load, passed = self._load, time.monotonic() - self._began
        longest = f"{max(took):.1f} s" if took else "never"
        beside = f", {step.beside}" if step.beside else ""
        violations = [str(each) for each in (*self.violations, *load.found)]
        self._say(
            f"{passed // 60:02.0f}:{passed % 60:02.0f} {step} for {step.seconds:.1f} s{beside}: "
            f"caught up after {longest}; {load.records} records, {load.inputs} inputs, {load.gaps} gaps, "
            f"{len(violations)} violations"
        )
        for violation in violations[self._told :]:
            self._say(f"      {violation}")
        self._told = max(self._told, len(violations))

    def summary(self, found: list[Violation]) -> dict[str, Any]:
        """What the run was, in numbers."""
        load = self._load
        return {
            "faults": dict(sorted(self.done.items())),
            "recordsChecked": load.records,
            "inputsChecked": load.inputs,
            "sessions": load.begun,
            "interruptions": load.interruptions,
            "gapsDeclared": load.gaps,
            "welcomes": load.machines.output().count("event='connected'"),
            "revocations": self._people.summary(),
            "caughtUpSeconds": {name: summary(times) for name, times in sorted(self.took.items())},
            "violations": [str(each) for each in (*self.violations, *found)],
        }


async def left(load: Load) -> list[Violation]:
    """What nodes still hold of what was given up; nothing, once everybody is back."""
    try:
        await load.one_of_each()
    except AssertionError as error:
        return [Violation("held twice", "attachments", str(error))]
    return []


class Outcome(NamedTuple):
    """What came of a run: the summary, with every violation in words; by fault, the seconds until all caught up."""

    found: dict[str, Any]
    took: dict[str, list[float]]


async def storm(seed: int, minutes: float, say: Say) -> Outcome:
    """Run the plan of this seed for so long."""
    with running() as valkey, fault_cluster(valkey, nodes=NODES) as cluster:
        team = cluster.team()
        machines = cluster.machines(team, *MACHINES)
        people = People(cluster, team, minutes)
        try:
            async with AsyncExitStack() as stack:
                load = await stack.enter_async_context(loading(cluster, team, machines, seed))
                await people.join(load, stack)
                storm = Storm(cluster, load, people, say)
                end = time.monotonic() + 60 * minutes
                for step in plan.steps(seed, NODES):
                    if time.monotonic() >= end:
                        break
                    await storm.step(step)
                found = [*await left(load), *await load.finish(), *await people.finish()]
                summed = {"scenario": "chaos", "seed": seed, "minutes": minutes, **storm.summary(found)}
                return Outcome(summed, storm.took)
        finally:
            machines.kill()
            people.kill()
