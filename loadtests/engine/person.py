"""Plays one person's browser: attaches to sessions, follows a workspace, asks, and stays by the real client's rules."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from loadtests.engine.line import Line
from loadtests.engine.peer import Peer, World
from loadtests.engine.view import Target, View
from relay.client.addresses import usable
from relay.client.connection import BACK_OFF_SECONDS
from relay.client.dial import BROWSER_PATH
from relay.client.ends import Closed
from relay.rules import frames, ids
from relay.rules.browser_messages import (
    BrowserAttaching,
    BrowserHello,
    BrowserWelcome,
    Detached,
    MachineChanged,
    Ping,
    Pong,
    Snapshot,
    Subscribe,
    to_browser,
)
from relay.rules.machine import Machine
from relay.rules.messages import Attached, ErrorMessage, InputRefused

MICROSECONDS = 1_000_000
UNASKED_MOST = 10_000  # questions that wait for the one before; beyond it the load is void


class Chair(NamedTuple):
    """Who one browser is, and what it looks at."""

    client: str
    token: str
    targets: tuple[Target, ...] = ()
    workspace: str = ""  # whose machines it follows
    slow: bool = False  # it stops reading once it is attached to everything
    group: str = ""  # with whom it comes and goes


class Person(Peer):
    """One browser."""

    role, path, steps = "browser", BROWSER_PATH, BACK_OFF_SECONDS

    def __init__(self, chair: Chair, world: World) -> None:
        super().__init__(chair.client, chair.token, world)
        self.chair = chair
        self.slow = chair.slow
        self.asleep = False  # it has stopped reading
        self._sleeps = chair.slow
        self.views: list[View] = []
        self.client = ""  # names what it types
        self._visits = 0
        self._by_raw: dict[bytes, View] = {}
        self._by_id: dict[str, View] = {}
        self._online: set[str] = set()  # machines, as this browser was told last
        self._asked: dict[int, View] = {}
        self._refs = 1
        self._unasked: deque[float] = deque()  # dues of questions that wait for an answer to the one before
        self._asking = False

    # --- what a person does ------------------------------------------------------------------------------------------

    def ask(self, due: float) -> None:
        """Ask the node for a sign of life; one question at a time, and each counts from when it was due."""
        if len(self._unasked) < UNASKED_MOST:
            self._unasked.append(due)
            self._ask_on()
        else:
            self.world.tally.errors["browser: a node answered nothing for so long that questions were dropped"] += 1

    def wake(self) -> None:
        """Read on, for good."""
        self._sleeps = False
        if self.asleep and self.line is not None:
            self.line.read_on()
        self.asleep = False

    def _ask_on(self) -> None:
        if self._unasked and not self._asking and self.line is not None:
            self._asking = True
            self.line.tell(Ping(at=int(self._unasked[0] * MICROSECONDS)))

    def ref(self, view: View) -> int:
        """A fresh number."""
        self._refs += 1
        self._asked[self._refs] = view
        return self._refs

    # --- a peer's life -----------------------------------------------------------------------------------------------

    def begins(self) -> None:
        """As a page that was just loaded: with a client id of its own, attached to nothing."""
        self._visits += 1
        self._unasked.clear()  # what was to be asked at the end of the last visit, and was not answered before it
        self.client = f"{self.chair.client}-{self._visits}"
        self.views = [View(self, target) for target in self.chair.targets]
        self._by_raw = {ids.raw(view.target.session): view for view in self.views}
        self._by_id = {view.target.session: view for view in self.views}

    def hello(self) -> BrowserHello:
        """Under the client id that names what it types."""
        return BrowserHello(client=self.client, label="load test")

    def welcomed(self, line: Line, text: bytes) -> bool:
        """Attach to everything, again if need be."""
        welcome = to_browser(text)
        if not isinstance(welcome, BrowserWelcome):
            return False
        self.nodes = list(dict.fromkeys([*self.world.urls, *usable(welcome.nodes, self.world.urls[0])]))
        self.line = line
        if self.chair.workspace:
            line.tell(Subscribe(ref=1, workspace=self.chair.workspace))
        for view in self.views:
            view.attach()
        self._asking = False
        self._ask_on()
        return True

    def lost(self, end: Closed | None) -> None:
        """Nothing is attached any more."""
        self._asked.clear()
        for view in self.views:
            view.dropped()

    async def replacement(self) -> Line | None:
        """Browsers do not move by themselves."""
        return None

    # --- what the relay says -----------------------------------------------------------------------------------------

    def heard(self, text: bytes) -> None:
        """A control message."""
        match to_browser(text):
            case Pong(at=at):
                self._answered(at)
            case BrowserAttaching() as told:
                view = self._asked.pop(told.ref, None)
                if view is not None:
                    view.attaching(told)
                else:
                    self.world.tally.errors["browser: an attach was answered although it had been refused"] += 1
            case Attached() | Detached() | InputRefused() as told:
                self._tell_view(told)
            case ErrorMessage() as error:
                view = self._asked.pop(error.ref, None) if error.ref is not None else None
                if view is not None:
                    view.refused(error)
                elif error.code == "not-attached":  # what it had seen was told to an attachment that had just ended
                    self.world.tally.begun["said after a detach"] += 1
                else:
                    self.world.tally.errors[f"browser: {error.code}"] += 1
            case Snapshot(machines=machines):
                self._look(machines)
            case MachineChanged(machine=machine):
                self._look([machine])

    def _look(self, machines: Sequence[Machine]) -> None:
        tally = self.world.tally
        tally.begun["machines told"] += len(machines)
        for machine in machines:
            if machine.online:
                self._online.add(machine.id)
            elif machine.id in self._online:  # others on a relay that is not ours alone may have been away all along
                self._online.discard(machine.id)
                tally.begun["machines told offline"] += 1

    def _tell_view(self, told: Attached | Detached | InputRefused) -> None:
        view = self._by_id.get(told.session)
        if view is None:
            return
        match told:
            case Attached():
                view.attached(told)
                if self._sleeps and self.line is not None and all(each.live for each in self.views):
                    self.asleep, self._sleeps = True, False
                    self.line.stop_reading()
            case Detached():
                view.detached(told)
            case InputRefused():
                view.input_refused(told)

    def _answered(self, at: int) -> None:
        self._asking = False
        if self._unasked and at == int(self._unasked[0] * MICROSECONDS):
            self.world.tally.took["ping"].append(time.monotonic() - self._unasked.popleft())
        self._ask_on()

    def given(self, line: Line, frame: bytes) -> None:
        """A frame of one of the sessions."""
        kind, _, attachment, epoch, session, sequence = frames.HEADER.unpack_from(frame)
        view = self._by_raw.get(session)
        if view is not None and line is self.line:
            view.given(kind, attachment, epoch, sequence, frame)
