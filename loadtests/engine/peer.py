"""Keeps one peer connected by the rules of the real clients: back-off, turns at busy nodes, and an end for good."""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from loadtests.engine.dialling import Way, open_line
from loadtests.engine.line import Busy, Line, looked_at
from loadtests.engine.tally import Tally
from relay.agent.verdict import Return, judge
from relay.client.back_off import BackOff
from relay.client.dial import in_random_order
from relay.client.ends import Closed, Shed, Unreachable
from relay.errors import RelayError
from relay.rules import timing
from relay.rules.messages import Message


@dataclass
class World:
    """What all peers of a process share."""

    urls: list[str]
    random: Random
    way: Way = field(default_factory=Way)
    tally: Tally = field(default_factory=Tally)
    peers: dict[str, Peer] = field(default_factory=dict)  # by name, those that live
    unseen: set[Reporting] = field(default_factory=set)  # views that have output to report as seen


class Reporting(ABC):
    """Somebody who has to tell now and then what they have seen."""

    @abstractmethod
    def report(self) -> None:
        """Tell it now."""


class Peer(ABC):
    """One machine's agent, or one browser. `live` is its life; it ends when `leave` is called, or is told for good."""

    role: ClassVar[str]
    path: ClassVar[str]
    steps: ClassVar[Sequence[float]]  # of the back-off, in seconds

    def __init__(self, name: str, token: str, world: World) -> None:
        self.name = name
        self.line: Line | None = None  # on which we were welcomed
        self.leaving = False
        self.for_good = False  # it will not come back
        self.nodes = world.urls
        self.world = world
        self._token = token
        self._welcome: asyncio.Future[Line] | None = None
        self._ends: dict[Line, asyncio.Future[Closed]] = {}

    # --- what kinds of peers differ in -------------------------------------------------------------------------------

    def begins(self) -> None:
        """A new life begins, which knows nothing of one before."""
        return

    @abstractmethod
    def hello(self) -> Message:
        """The first message on a new line."""

    @abstractmethod
    def welcomed(self, line: Line, text: bytes) -> bool:
        """The first answer came; whether it is a welcome, on which this line is the one."""

    @abstractmethod
    def heard(self, text: bytes) -> None:
        """A control message on the line that is the one."""

    @abstractmethod
    def given(self, line: Line, frame: bytes) -> None:
        """A frame."""

    @abstractmethod
    def lost(self, end: Closed | None) -> None:
        """The line is gone, by this end if it was not we who left; another one will come, or a new life."""

    @abstractmethod
    async def replacement(self) -> Line | None:
        """The line that took over before the old one ended, if one did."""

    # --- its life ----------------------------------------------------------------------------------------------------

    async def live(self, due: float) -> None:
        """Connect, stay, and come back. The first connection counts from when it was due."""
        tally, back_off = self.world.tally, BackOff(self.steps, random=self.world.random)
        turn: Shed | None = None
        self.world.peers[self.name] = self
        self.begins()
        try:
            while not self.leaving:
                end: RelayError
                try:
                    line = await self.connect([turn.node] if turn else self.nodes, due)
                except RelayError as error:
                    turn = error if isinstance(error, Shed) and turn is None else None
                    end = error
                else:
                    turn, end = None, await self._stay(line, back_off)
                if self.leaving:
                    return
                if not isinstance(judge(end), Return):
                    tally.errors[f"{self.role}: {end.message}"] += 1
                    return
                await asyncio.sleep(back_off.after(end))
                due = time.monotonic()
        finally:
            self.world.peers.pop(self.name, None)
            for line in self._ends:
                line.abort()

    async def _stay(self, line: Line, back_off: BackOff) -> Closed:
        while True:
            since = time.monotonic()
            end = await self._ends[line]
            del self._ends[line]
            back_off.connected_for(time.monotonic() - since)
            moved = await self.replacement()
            if moved is None:
                if not self.leaving:
                    self.lost(end)
                return end
            line = moved

    async def connect(self, nodes: Sequence[str], due: float) -> Line:
        """A line on which we were welcomed, at any of these nodes; raises `Shed`, `Unreachable` or what one says."""
        tally = self.world.tally
        turns: dict[str, float] = {}
        for node in in_random_order(nodes, self.world.random):
            try:
                line = await open_line(node, self.path, self._token, self, self.world.way)
                tally.took["connect"].append(line.opened.result() - due)
                await self._greet(line)
            except Busy as busy:
                tally.refused[busy.message] += 1
                tally.took["turn"].append(busy.seconds)
                turns[node] = busy.seconds
            except OSError as error:
                tally.refused[os.strerror(error.errno).lower() if error.errno else "no connection"] += 1
            except Unreachable as error:
                tally.refused[error.message] += 1
            except RelayError as error:
                tally.refused[error.message] += 1
                raise
            else:
                tally.connects += 1
                tally.took["hello"].append(time.monotonic() - due)
                return line
        if turns:
            soonest = min(turns, key=lambda node: turns[node])
            raise Shed("all nodes are busy", soonest, turns[soonest])
        raise Unreachable("no node can be reached")

    async def _greet(self, line: Line) -> None:
        """Say hello and wait for the welcome; raises a `Closed`, or `Unreachable` if none comes."""
        loop = asyncio.get_running_loop()
        self._ends[line] = loop.create_future()
        self._welcome = loop.create_future()
        self._welcome.add_done_callback(looked_at)
        try:
            line.tell(self.hello())
            async with asyncio.timeout(timing.HELLO_SECONDS):
                await self._welcome
        except TimeoutError:
            self._give_up(line)
            raise Unreachable("no welcome in time") from None
        except BaseException:
            self._give_up(line)
            raise

    def _give_up(self, line: Line) -> None:
        line.abort()
        self._ends.pop(line, None)

    async def leave(self, *, for_good: bool = False) -> None:
        """Go, saying so; returns when the line is closed."""
        self.leaving, self.for_good = True, for_good
        line = self.line
        if line is not None:
            self.farewell(line)
            end = self._ends.get(line)
            line.leave("bye")
            if end is not None:
                await asyncio.wait([end])

    def farewell(self, line: Line) -> None:
        """Say what is to be said before one goes."""
        return

    # --- what lines call ---------------------------------------------------------------------------------------------

    def said(self, line: Line, text: bytes) -> None:
        """A control message of any of our lines."""
        if line is self.line:
            self.heard(text)
        elif self._greeting(line) and self.welcomed(line, text):
            assert self._welcome is not None
            self.line = line
            self._welcome.set_result(line)

    def _greeting(self, line: Line) -> bool:
        return self._welcome is not None and not self._welcome.done() and line in self._ends

    def ponged(self, line: Line, payload: bytes) -> None:
        """Nobody asked."""
        return

    def crowded(self, line: Line) -> None:
        """Browsers wait for nobody."""
        return

    def ended(self, line: Line, end: Closed) -> None:
        """A line of ours is over."""
        if not self.leaving:
            self.world.tally.closes[self.role][str(end.close_code)] += 1
        if self._greeting(line) and line is not self.line:
            assert self._welcome is not None
            self._welcome.set_exception(end)
        if line is self.line:
            self.line = None
        known = self._ends.get(line)
        if known is not None and not known.done():
            known.set_result(end)
