"""Holds the machines and people of one process, and does with them what the conductor orders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from loadtests.engine.arrivals import Kind, arrivals, pace
from loadtests.engine.machine import Machine, Seat
from loadtests.engine.peer import Peer, World
from loadtests.engine.person import Chair, Person
from loadtests.engine.view import View

LOOK_SECONDS = 0.05
TICK_SECONDS = 1.0
SEEN_SECONDS = 0.1  # as the real client reports at least this often what it has seen


class Crew:
    """All peers of this process. `order` finds the method that an order names; each gives plain data."""

    def __init__(self, world: World, seats: Sequence[Seat], chairs: Sequence[Chair], *, removes: bool) -> None:
        self.world = world
        self._machines = [Machine(seat, world, removes=removes) for seat in seats]
        self._people = [Person(chair, world) for chair in chairs]
        self._traffic: set[asyncio.Task[int]] = set()
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def order(self, name: str, told: dict[str, Any]) -> Any:
        """Do what was ordered."""
        orders: dict[str, Callable[..., Any]] = {
            "connect": self.connect,
            "talk": self.talk,
            "type": self.type,
            "ask": self.ask,
            "leave": self.leave,
            "churn": self.churn,
            "drop": self.drop,
            "stop": self.stop,
            "wake": self.wake,
            "seated": self.seated,
            "heads": self.heads,
            "settled": self.settled,
        }
        return await orders[name](**told)

    # --- coming and going --------------------------------------------------------------------------------------------

    async def connect(self, who: str, rate: float, within: float, kind: Kind = "poisson") -> dict[str, int]:
        """Let all of them connect, so many a second, and wait until they are where they belong, or time is up."""
        peers = self._peers(who)
        coming = iter(peers)
        if peers:
            dues = arrivals(rate, time.monotonic(), self.world.random, kind)
            await pace(_first(dues, len(peers)), float("inf"), lambda due: self._begin(next(coming), due))
        give_up = time.monotonic() + within
        while not all(map(_seated, peers)) and time.monotonic() < give_up:  # noqa: ASYNC110 - of thousands of peers
            await asyncio.sleep(LOOK_SECONDS)
        return {"asked": len(peers), "seated": sum(map(_seated, peers))}

    async def leave(self, who: str, rate: float, within: float) -> int:
        """Let all of them go, so many a second; how many are gone."""
        peers = [peer for peer in self._peers(who) if peer.name in self._lives]
        going = iter(peers)
        tasks: list[asyncio.Task[None]] = []

        def go(_: float) -> None:
            tasks.append(asyncio.create_task(self._leave(next(going), for_good=True)))

        if peers:
            dues = arrivals(rate, time.monotonic(), self.world.random, "even")
            await pace(_first(dues, len(peers)), float("inf"), go)
            await asyncio.wait(tasks, timeout=within)
        return len(peers)

    async def churn(self, who: str, rate: float, seconds: float, stay_seconds: float) -> int:
        """Let one after the other come, stay for a while, and go, so many a second; how many came."""
        turns = cycle(self._peers(who))
        visits: set[asyncio.Task[None]] = set()
        tally, begin = self.world.tally, time.monotonic()

        def come(due: float) -> None:
            peer = next(turns)
            if peer.name in self._lives:
                tally.begun["visits left out, because everybody was there"] += 1
                return
            self._begin(peer, due)
            visit = asyncio.create_task(self._visit(peer, stay_seconds))
            visits.add(visit)
            visit.add_done_callback(visits.discard)

        came = await pace(arrivals(rate, begin, self.world.random), begin + seconds, come)
        if visits:
            await asyncio.wait(visits, timeout=stay_seconds + TICK_SECONDS * 10)
        return came

    async def drop(self, node: str) -> int:
        """Lose every connection to this node at once, as if it had died; how many."""
        lines = [peer.line for peer in self.world.peers.values() if peer.line is not None and peer.line.node == node]
        for line in lines:
            line.abort()
        return len(lines)

    async def wake(self) -> None:
        """Let those who stopped reading read on."""
        for person in self._people:
            person.wake()

    async def seated(self, node: str = "") -> dict[str, int]:
        """How many of those who have come are where they belong, how many are at this node, and how many connections
        have ended so far."""
        peers = [peer for peer in (*self._machines, *self._people) if peer.name in self._lives]
        there = sum(peer.line is not None and peer.line.node == node for peer in peers)
        ended = sum(codes.total() for codes in self.world.tally.closes.values())
        return {"asked": len(peers), "seated": sum(map(_seated, peers)), "there": there, "ended": ended}

    async def _visit(self, peer: Peer, stay_seconds: float) -> None:
        give_up = time.monotonic() + stay_seconds
        await asyncio.sleep(stay_seconds)
        if not _seated(peer) and time.monotonic() > give_up + stay_seconds:
            self.world.tally.errors[f"{peer.role}: not seated within its visit"] += 1
        await self._leave(peer)

    def _begin(self, peer: Peer, due: float) -> None:
        peer.leaving = False
        self.world.tally.took["late"].append(time.monotonic() - due)
        self._lives[peer.name] = asyncio.create_task(peer.live(due))

    async def _leave(self, peer: Peer, *, for_good: bool = False) -> None:
        await peer.leave(for_good=for_good)
        peer.lost(None)
        life = self._lives.pop(peer.name, None)
        if life is not None:
            life.cancel()
            await asyncio.wait([life])

    # --- traffic -----------------------------------------------------------------------------------------------------

    async def talk(self, rate: float, bytes: int, seconds: float, kind: Kind = "poisson") -> int:
        """Let every session that somebody has attended say so many frames a second; how many in all."""
        talks = [talk for machine in self._machines for talk in machine.talks if talk.attended]
        return await self._each(talks, rate, seconds, kind, lambda talk, due: talk.say(due, bytes))

    async def type(self, rate: float, bytes: int, seconds: float, kind: Kind = "poisson") -> int:
        """Let everybody who drives type so many times a second."""
        views = [view for view in self._views() if view.target.mode == "drive"]
        return await self._each(views, rate, seconds, kind, lambda view, due: view.type(due, bytes))

    async def ask(self, rate: float, seconds: float, kind: Kind = "poisson") -> int:
        """Let every person ask their node for a sign of life so many times a second, while they are here: of their own
        will, whether or not the relay lets them."""
        people = [person for person in self._people if not person.slow]

        def ask(person: Person, due: float) -> None:
            if person.name in self._lives:
                person.ask(due)

        return await self._each(people, rate, seconds, kind, ask)

    async def stop(self) -> None:
        """End all traffic now."""
        for task in self._traffic:
            task.cancel()

    async def _each(
        self, them: Sequence[Any], rate: float, seconds: float, kind: Kind, do: Callable[[Any, float], None]
    ) -> int:
        """At random anybody's turn: together that is what each does at random by itself."""
        if not them or rate <= 0:
            return 0
        random, took = self.world.random, self.world.tally
        turns = cycle(them)

        def begin(due: float) -> None:
            took.took["late"].append(time.monotonic() - due)
            do(next(turns) if kind == "even" else them[int(random.random() * len(them))], due)

        start = time.monotonic()
        pacing = asyncio.create_task(pace(arrivals(rate * len(them), start, random, kind), start + seconds, begin))
        self._traffic.add(pacing)
        try:
            await asyncio.wait([pacing])
        finally:
            self._traffic.discard(pacing)
        return 0 if pacing.cancelled() else pacing.result()

    # --- the end of the account --------------------------------------------------------------------------------------

    async def heads(self) -> dict[str, Any]:
        """How far every session here has come, and what was applied and typed, by session and client."""
        talks = [talk for machine in self._machines for talk in machine.talks if talk.attended]
        return {
            "said": {talk.id: talk.head for talk in talks},
            "bytes": self.world.tally.bytes,
            "unsaid": sum(talk.unsaid for talk in talks),
            "applied": {f"{talk.id} {client}": number for talk in talks for client, number in talk.applied().items()},
            "typed": {f"{view.target.session} {view.client}": view.typed for view in self._views(present=True)},
        }

    async def settled(self, said: dict[str, int], within: float) -> dict[str, Any]:
        """Wait until everybody here has seen what was said, and had applied what they typed; what is missing then."""
        views = [view for view in self._views(present=True) if not view.asleep]
        give_up = time.monotonic() + within
        while True:
            late = [view for view in views if view.behind(said)]
            if not late or time.monotonic() > give_up:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return {"behind": len(late), "missing": sum(view.unseen(said) for view in late)}

    # --- what goes on meanwhile --------------------------------------------------------------------------------------

    async def tick_often(self) -> None:
        """What sessions and views do by time alone."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for machine in self._machines:
                machine.tick()
            for view in self._views():
                view.overdue(now)

    async def report_often(self) -> None:
        """Let views say what they have seen."""
        while True:
            await asyncio.sleep(SEEN_SECONDS)
            for view in list(self.world.unseen):
                view.report()

    def connected(self) -> dict[str, int]:
        """Peers with a connection, by role, and how many attachments are live."""
        here = [peer for peer in self.world.peers.values() if peer.line is not None]
        agents = sum(peer.role == "agent" for peer in here)
        return {"agent": agents, "browser": len(here) - agents, "attached": sum(view.live for view in self._views())}

    def end(self) -> None:
        """End every life."""
        for life in self._lives.values():
            life.cancel()

    def _views(self, *, present: bool = False) -> list[View]:
        people = [person for person in self._people if not present or person.name in self._lives]
        return [view for person in people for view in person.views]

    def _peers(self, who: str) -> Sequence[Peer]:
        """`machines` or `people`, or behind a slash those of one group."""
        kind, _, group = who.partition("/")
        if kind == "machines":
            return [machine for machine in self._machines if not group or machine.seat.group == group]
        return [person for person in self._people if not group or person.chair.group == group]


def _seated(peer: Peer) -> bool:
    if isinstance(peer, Person):
        return peer.line is not None and all(view.live for view in peer.views)
    return peer.line is not None


def _first(dues: Any, count: int) -> Any:
    return (due for due, _ in zip(dues, range(count), strict=False))
