"""Keeps one machine connected by the rules of the real agent: back-off, turns at busy nodes, moves; no sessions."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from loadtests.comeback.journal import Journal
from loadtests.comeback.line import Busy, Line, open_line
from relay.agent.agent import MOVE_ATTEMPTS
from relay.agent.verdict import Return, judge
from relay.client.addresses import usable
from relay.client.dial import AGENT_PATH, BackOff, Shed, Unreachable, in_random_order
from relay.errors import RelayError
from relay.rules import messages as m
from relay.rules import timing


class Seat(NamedTuple):
    """Who one agent is."""

    machine: str
    instance: str
    hostname: str
    token: str


@dataclass(frozen=True)
class Surroundings:
    """What all agents of a process share."""

    urls: list[str]
    random: Random
    journal: Journal
    first: asyncio.Semaphore  # first handshakes under way: the storm is to come later


class Agent:
    """One simulated agent; `live` never ends unless the relay says so."""

    def __init__(self, seat: Seat, around: Surroundings) -> None:
        self.line: Line | None = None
        self._seat = seat
        self._around = around
        self._nodes = around.urls
        self._generation = 0
        self._moving: asyncio.Task[Line | None] | None = None

    async def live(self) -> None:
        """Connect, stay, and come back as the real one does."""
        journal, random = self._around.journal, self._around.random
        back_off, turn = BackOff(random=random), None
        while True:
            end: RelayError
            try:
                if self._generation:
                    line = await self._connect([turn.node] if turn else self._nodes)
                else:
                    async with self._around.first:
                        line = await self._connect(self._nodes)
            except RelayError as error:
                turn = error if isinstance(error, Shed) and turn is None else None
                end = error
            else:
                turn = None
                end = await self._stay(line, back_off)
            if not isinstance(judge(end), Return):
                journal.ended.append(end.message)
                return
            await asyncio.sleep(back_off.after(end))

    async def _stay(self, line: Line, back_off: BackOff) -> RelayError:
        """Beat on this connection and on those that follow it by `move`; how the last one ended."""
        loop = asyncio.get_running_loop()
        while True:
            since, self.line = loop.time(), line
            end = await line.ended
            self.line = None
            back_off.connected_for(loop.time() - since)
            moving, self._moving = self._moving, None
            moved = await moving if moving is not None else None
            if moved is None:
                self._around.journal.note_lost(self._seat.machine, end.close_code)
                return end
            self._around.journal.note_moved()
            line = moved

    async def _connect(self, nodes: list[str]) -> Line:
        """As `relay.client.dial.open_socket` and a greeting: the nodes in any order, and the shortest turn if all are
        busy; raises what they raise."""
        journal, seat = self._around.journal, self._seat
        turns: dict[str, float] = {}
        for node in in_random_order(nodes, self._around.random):
            hello = m.AgentHello(
                instance=seat.instance,
                hostname=seat.hostname,
                version="1.0.0",
                pid=1,
                generation=self._generation,
            )
            try:
                line, welcome = await open_line(node, AGENT_PATH, seat.token, hello, self._asked_to_move)
            except Busy as busy:
                journal.refused[busy.message] += 1
                journal.turns.append(busy.seconds)
                turns[node] = busy.seconds
            except OSError as error:
                journal.refused[os.strerror(error.errno).lower() if error.errno else "no connection in time"] += 1
            except Unreachable as error:
                journal.refused[error.message] += 1
            except RelayError as error:
                journal.refused[error.message] += 1
                raise
            else:
                return self._welcomed(line, welcome)
        if turns:
            soonest = min(turns, key=lambda node: turns[node])
            raise Shed("all nodes are busy", soonest, turns[soonest])
        raise Unreachable("no node can be reached")

    def _welcomed(self, line: Line, welcome: m.AgentWelcome) -> Line:
        random = self._around.random
        self._generation = welcome.generation
        self._nodes = list(dict.fromkeys([*self._around.urls, *welcome.nodes]))
        self._around.journal.note_welcomed(self._seat.machine, line.node)
        line.beat_every(lambda: welcome.beat_seconds * (1 - random.uniform(0, timing.BEAT_JITTER)))
        return line

    def _asked_to_move(self, line: Line, move: m.Move) -> None:
        if line is self.line and (self._moving is None or self._moving.done()):
            self._moving = asyncio.get_running_loop().create_task(self._move(line, move.nodes))

    async def _move(self, old: Line, nodes: list[str]) -> Line | None:
        """Connect elsewhere and only then let go of the old connection."""
        back_off = BackOff(random=self._around.random)
        named = usable(nodes, self._around.urls[0])
        for _ in range(MOVE_ATTEMPTS):
            try:
                line = await self._connect([node for node in named if node != old.node] or named)
            except RelayError as error:
                await asyncio.sleep(back_off.after(error))
            else:
                old.leave("moved")
                return line
        return None
