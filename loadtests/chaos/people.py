"""Plays the people who go on working meanwhile: they end and begin sessions, rename machines, and revoke some."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from loadtests.numbers import summary
from tests.faults.checker import Life, Violation
from tests.faults.cluster import FaultCluster
from tests.faults.load import Load
from tests.support.cluster import Team

THIEVES_EACH_MINUTE = 0.5  # machines that there are to be revoked, more or less as many as the plan asks for
PATIENCE_SECONDS = 90.0  # with a relay that says "not now", or says nothing
AGAIN_SECONDS = 0.5
OUT_SECONDS = 20.0  # after a revocation was answered: half-open sockets are missed after seven, then it redials


class People:
    """Everybody whose doings are checked by what they were answered."""

    def __init__(self, cluster: FaultCluster, team: Team, minutes: float) -> None:
        self._cluster = cluster
        self._team = team
        self._names = [f"thief-{number}" for number in range(2 + int(minutes * THIEVES_EACH_MINUTE))]
        self._thieves = cluster.machines(team, *self._names)
        self._ids = {machine["name"]: str(machine["id"]) for machine in team.machines()}
        self._left = list(self._names)
        self._out: list[float] = []  # seconds from the answer until the machine knew
        self._renamed: dict[str, str] = {}  # by machine: the name that was acknowledged last
        self._to_renew: list[str] = []
        self._load: Load | None = None
        self._stack: AsyncExitStack | None = None

    async def join(self, load: Load, stack: AsyncExitStack) -> None:
        """Work on this load from now on."""
        self._load, self._stack = load, stack
        load.lives += [Life(self._ids[name], time.monotonic()) for name in self._names]

    async def do(self, what: str) -> list[Violation]:
        """Do one thing, however long the relay takes to let it be done; what was wrong with that."""
        match what:
            case "revoke":
                return await self._revoke()
            case "rename":
                return await self._rename()
            case "session-turn":
                assert self._load is not None
                self._to_renew.append(await self._load.retire(PATIENCE_SECONDS))
        return []

    async def afterwards(self) -> None:
        """What has to wait until the cluster is whole: sessions that ended are replaced."""
        assert self._load is not None
        assert self._stack is not None
        while self._to_renew:
            await self._load.renew(self._stack, self._to_renew.pop())

    async def _revoke(self) -> list[Violation]:
        if not self._left:
            return []
        assert self._load is not None
        name = self._left.pop(0)
        machine = self._ids[name]
        try:
            await self._persistently("DELETE", f"/api/machines/{machine}")
        except TimeoutError:
            return [Violation("no answer", name, "nobody could revoke it")]
        at = self._load.revoked[machine] = time.monotonic()
        self._load.lives = [each for each in self._load.lives if each.machine != machine]
        words = f"machine='{name}' event='left'"
        try:
            async with asyncio.timeout(OUT_SECONDS):
                while words not in self._thieves.output():  # noqa: ASYNC110 - it writes into a file
                    await asyncio.sleep(AGAIN_SECONDS)
        except TimeoutError:
            return [Violation("revoked, yet connected", name, f"{OUT_SECONDS:g} s after it was answered")]
        self._out.append(time.monotonic() - at)
        return []

    async def _rename(self) -> list[Violation]:
        assert self._load is not None
        machine = self._load.random.choice(self._load.ids)
        name = f"box-{self._load.random.randrange(10**6)}"
        try:
            await self._persistently("PATCH", f"/api/machines/{machine}", {"name": name})
        except TimeoutError:
            return [Violation("no answer", machine, "nobody could rename it")]
        self._renamed[machine] = name
        return []

    async def _persistently(self, method: str, path: str, body: Any = None) -> Any:
        """Ask any node until one says that it is done."""
        assert self._load is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                ask = self._team.owner.on(self._load.random.choice(self._cluster.urls))
                try:
                    return await asyncio.to_thread(ask, method, path, body)
                except (AssertionError, OSError):  # refused, or not answered
                    await asyncio.sleep(AGAIN_SECONDS)

    async def finish(self) -> list[Violation]:
        """What is wrong in the end: names that are not as acknowledged, and thieves that were let in."""
        found = []
        for url in self._cluster.urls:
            listed = self._team.owner.on(url)("GET", f"/api/machines?workspace={self._team.workspace}")["machines"]
            names = {machine["id"]: machine["name"] for machine in listed}
            for machine, name in self._renamed.items():
                if names.get(machine) != name:
                    found.append(Violation("not kept", machine, f"{names.get(machine)} at {url}, acknowledged: {name}"))
        if "let in although revoked" in self._thieves.output():
            found.append(Violation("revoked, yet connected", "thieves", "a node welcomed a revoked machine"))
        return found

    def summary(self) -> dict[str, Any]:
        """How many were revoked and how soon they were out, and how often they tried to come back."""
        tries = self._thieves.output().count("event='not let in'")
        return {"outSeconds": summary(self._out), "refusedAfterwards": tries}

    def kill(self) -> None:
        """End the thieves."""
        self._thieves.kill()
