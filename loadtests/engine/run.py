"""Conducts one run: phases in which peers come, carry traffic and go, and at the end the account of every frame."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loadtests.engine.account import Account
from loadtests.engine.crowd import Crowd
from loadtests.engine.target import Target
from loadtests.report.progress import Progress
from loadtests.report.summary import Phase

RAMP, HOLD, SETTLE, DRAIN = "ramp", "hold", "settle", "drain"
SEATED_SECONDS = 60.0  # after the last one was due: whoever is not where they belong by then is an error
SETTLE_SECONDS = 15.0  # for the last frames; what has not come then is lost
LEAVE_SECONDS = 15.0
BACK_SECONDS = 90.0  # longer, and machines are announced offline
LOOK_SECONDS = 0.1
EVERYBODY = ("machines", "people")  # in the order in which they come
FOREVER_SECONDS = 86_400.0  # until it is told to stop


class Traffic(NamedTuple):
    """What goes on while a phase holds, a second and each: frames a session says, inputs a driver types, questions."""

    talk: float = 0.0
    talk_bytes: int = 128
    type: float = 0.0
    type_bytes: int = 32
    ask: float = 0.0


@dataclass
class Run:
    """What a scenario has in its hands."""

    scenario: str
    sizes: Mapping[str, float]  # after scaling
    seconds: float  # of traffic
    target: Target
    crowd: Crowd
    began: float  # on the monotonic clock
    progress: Progress
    phases: list[Phase] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)  # of the account: found at the end, not by any stream
    carried_bytes: int = 0  # of payloads, both ways, as of the account

    def __post_init__(self) -> None:
        self.account = Account(self.crowd.seconds)
        self._phase = "start"
        self._shown = -1
        self.crowd.on_second = self._show

    def size(self, name: str) -> int:
        """A size of the scenario that is counted."""
        return int(self.sizes[name])

    @property
    def passed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        """A part of the run; the report marks it."""
        begin, self._phase = self.passed, name
        try:
            yield
        finally:
            self.phases.append(Phase(name, round(begin, 3), round(self.passed, 3)))

    # --- what scenarios are made of ----------------------------------------------------------------------------------

    async def seat(self, rate: float, *, who: Sequence[str] = EVERYBODY) -> None:
        """Let machines come, then people, so many a second, until all are where they belong."""
        async with self.phase(RAMP):
            for kind in who:
                told = await self.crowd.shared("connect", rate, who=kind, within=SEATED_SECONDS)
                missing = sum(one["asked"] - one["seated"] for one in told)
                if missing:
                    self.missing["errors"] += missing
                    self.notes.append(
                        f"{missing} {kind} were not where they belong {SEATED_SECONDS:g} s after all were due"
                    )

    async def carry(self, traffic: Traffic, seconds: float) -> None:
        """Let everybody talk, type and ask for so long."""
        orders: list[Awaitable[Any]] = []
        if traffic.talk:
            orders.append(self.crowd.order("talk", rate=traffic.talk, bytes=traffic.talk_bytes, seconds=seconds))
        if traffic.type:
            orders.append(self.crowd.order("type", rate=traffic.type, bytes=traffic.type_bytes, seconds=seconds))
        if traffic.ask:
            orders.append(self.crowd.order("ask", rate=traffic.ask, seconds=seconds))
        await asyncio.gather(*orders or [asyncio.sleep(seconds)])

    @asynccontextmanager
    async def carrying(self, traffic: Traffic) -> AsyncIterator[None]:
        """The same for as long as this lasts."""
        carrying = asyncio.create_task(self.carry(traffic, FOREVER_SECONDS))
        try:
            yield
        finally:
            await self.crowd.order("stop")
            await carrying

    async def waited(self, seconds: float) -> None:
        """Let what goes on go on for so long."""
        await asyncio.sleep(seconds)

    async def seated(self, node: str = "") -> Counter[str]:
        """How many peers there are, are where they belong, and are at this node, and how many connections ended."""
        found: Counter[str] = Counter()
        for one in await self.crowd.order("seated", node=node):
            found.update(one)
        return found

    async def all_back(self, ended: int = 0) -> float | None:
        """Wait until so many connections have ended in all, since nobody is back who has not noticed yet, and everybody
        is where they belong; after how many seconds, or None if that took too long."""
        since = time.monotonic()
        while time.monotonic() - since < BACK_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            now = await self.seated()
            if now["ended"] >= ended and now["asked"] == now["seated"]:
                return time.monotonic() - since
        self.violations.append(f"not everybody was back after {BACK_SECONDS:g} s")
        return None

    def offline_told(self) -> int:
        """How often anybody was told so far, as of the last whole second, that a machine is offline."""
        return self.account.named("begun")["machines told offline"]

    def nobody_offline_since(self, told: int) -> None:
        """A machine that anybody was told to be offline after that is a broken promise: only our side had trouble."""
        more = self.offline_told() - told
        if more:
            self.violations.append(f"people were told {more} times that a machine is offline")

    async def settle(self) -> None:
        """Wait until everybody has what was said, and account for every frame that did not come."""
        async with self.phase(SETTLE):
            heads = await self.crowd.order("heads")
            said = {session: head for one in heads for session, head in one["said"].items()}
            told = await self.crowd.order("settled", said=said, within=SETTLE_SECONDS)
            output = sum(one["missing"] for one in told)
            heads = await self.crowd.order("heads")
            applied = {stream: number for one in heads for stream, number in one["applied"].items()}
            typed = {stream: number for one in heads for stream, number in one["typed"].items()}
            unapplied = sum(max(0, number - applied.get(stream, 0)) for stream, number in typed.items())
            twice = sum(max(0, applied.get(stream, 0) - number) for stream, number in typed.items())
            unsaid = sum(one["unsaid"] for one in heads)
            self.carried_bytes = sum(one["bytes"] for one in heads)
            self.missing["lost"] += output + unapplied
            self.missing["duplicated"] += twice
            for count, what in (
                (output, "frames of output had not come"),
                (unapplied, "inputs had not been applied"),
                (twice, "inputs more were applied than had been typed"),
                (unsaid, "pieces of output were held up at the machine"),
            ):
                if count:
                    self.violations.append(f"{count:,} {what} {SETTLE_SECONDS:g} s after the last was due")

    async def leave(self, rate: float) -> None:
        """Let people go, then machines, so many a second."""
        async with self.phase(DRAIN):
            for who in ("people", "machines"):
                await self.crowd.shared("leave", rate, who=who, within=LEAVE_SECONDS)

    def _show(self, number: int) -> None:
        if number > self._shown and len(self.crowd.seconds[number]) == len(self.crowd.pids):
            self._shown = number
            self.progress.show(self.account.state(number, self._phase, self.scenario, None))
