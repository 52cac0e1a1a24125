"""Plays one browser's attachment to one session: attaches, resumes, types within the window, and checks what comes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from loadtests.engine import payload
from loadtests.engine.ledger import Stream
from loadtests.engine.line import Line
from loadtests.engine.peer import Reporting, World
from relay.client.comeback import GAP_SPREAD_SECONDS
from relay.client.input_stream import Entry, InputStream
from relay.client.output_track import SeenMeter
from relay.rules import frames, ids, timing
from relay.rules.browser_messages import Attach, BrowserAttaching, Detach, Detached
from relay.rules.fields import Mode
from relay.rules.frames import EVERYBODY, Header, Kind
from relay.rules.messages import After, Attached, ErrorMessage, InputRefused

AGAIN_SECONDS = 1.0  # between two tries to attach while the relay says "not now"; its random part is all of it
ANSWER_SECONDS = timing.REQUEST_SECONDS + 2 * timing.HOP_SECONDS
UNTYPED_MOST = 10_000  # pieces that wait while the window is full; beyond it the load is void
PATIENT = frozenset({"offline", "unavailable", "timed-out", "not-found", "conflict"})
NAMES = {payload.OUTPUT: "delivery", payload.ECHO: "echo"}


class Target(NamedTuple):
    """What to attach to, and how."""

    machine: str
    session: str
    mode: Mode = "watch"


class Browser(Protocol):
    """What a view needs of the browser that it is in."""

    line: Line | None
    world: World
    slow: bool
    asleep: bool
    client: str

    def ref(self, view: View) -> int:
        """A number for a request of this view, so that it hears of the answer."""


class View(Reporting):
    """One attachment, however often it has to be made again."""

    def __init__(self, browser: Browser, target: Target) -> None:
        self.target = target
        self.live = False
        self.output = Stream(browser.world.tally.wrong)
        self.attaching_since: float | None = None  # an answer is awaited
        self._browser = browser
        self._raw = ids.raw(target.session)
        self._wanted_since: float | None = None
        self._number: int | None = None
        self._epoch: int | None = None
        self._inputs = InputStream()
        self._meter = SeenMeter()
        self._untyped: deque[tuple[float, int]] = deque()  # due, bytes
        self._attached_before = False
        self._counts_from = 0.0  # what was due before is history to somebody who comes for the first time

    # --- what a person does ------------------------------------------------------------------------------------------

    @property
    def typed(self) -> int:
        """The number of the last input that there is, sent or not."""
        waiting = self._inputs.waiting()
        return (waiting[-1].sequence if waiting else self.acknowledged) + len(self._untyped)

    @property
    def client(self) -> str:
        """Who types here."""
        return self._browser.client

    @property
    def asleep(self) -> bool:
        """Whether it takes nothing at the moment, on purpose."""
        return self._browser.asleep

    def behind(self, said: Mapping[str, int]) -> bool:
        """Whether something that was said has not come here yet, or something typed here was not applied."""
        return not self.live or self.unseen(said) > 0 or self.typed > self.acknowledged

    def unseen(self, said: Mapping[str, int]) -> int:
        """How many frames of what was said have not come."""
        return max(0, said.get(self.target.session, 0) - self.output.last)

    acknowledged = 0  # inputs that the machine has applied

    def attach(self) -> None:
        """Ask for the session, with what there is of it."""
        line = self._browser.line
        if line is None or self.live or self.attaching_since is not None:
            return  # it was made again meanwhile, or is about to be
        self.attaching_since = time.monotonic()
        if self._wanted_since is None:
            self._wanted_since = self.attaching_since
        if self._epoch is None:
            self._counts_from = self.attaching_since
        after = After(epoch=self._epoch, sequence=self.output.last) if self._epoch is not None else None
        target = self.target
        line.tell(
            Attach(
                ref=self._browser.ref(self),
                machine=target.machine,
                session=target.session,
                mode=target.mode,
                after=after,
            )
        )

    def type(self, due: float, size: int) -> None:
        """Type so many bytes, now or when there is room."""
        if self.live and not self._untyped and size <= self._inputs.room:
            self._send(self._inputs.add(Kind.INPUT, payload.write(payload.TYPED, due, size)))
        elif len(self._untyped) < UNTYPED_MOST:
            self._untyped.append((due, size))
        else:
            self._browser.world.tally.errors["browser: a machine took no input for so long that it was dropped"] += 1

    def overdue(self, now: float) -> None:
        """Ask again if nobody ever answered."""
        if self.attaching_since is not None and now - self.attaching_since > ANSWER_SECONDS:
            self._browser.world.tally.errors["browser: an attach was not answered"] += 1
            self.attaching_since = None
            self.attach()

    # --- what the browser's line says --------------------------------------------------------------------------------

    def dropped(self) -> None:
        """The line is gone."""
        self._pause()
        self.attaching_since = None

    def refused(self, error: ErrorMessage) -> None:
        """The attach was not possible; most reasons pass."""
        self.attaching_since = None
        tally = self._browser.world.tally
        if error.code in PATIENT:
            tally.begun["attaches that had to wait"] += 1
            self._attach_later(AGAIN_SECONDS)
        else:
            tally.errors[f"browser: attach: {error.code}"] += 1

    def attaching(self, told: BrowserAttaching) -> None:
        """The machine answered: frames follow."""
        same = self._epoch == told.epoch
        if told.recovered and same:
            self.output.continues(told.first)
        else:
            if self._epoch is not None:
                self._browser.world.tally.gaps += 1
            self.output.begins(told.first)
        continued = told.recovered and same
        self._leave_older()
        self._epoch, self._number, self.live = told.epoch, told.attachment, False
        if self._meter.restart(told.first, continued=continued):
            self._browser.world.unseen.add(self)
        if self.target.mode == "drive":
            lost = self._inputs.resume(told.input).lost_bytes
            self.acknowledged = told.input
            if lost:
                self._browser.world.tally.errors["browser: nobody knows whether what was typed was applied"] += 1

    def attached(self, told: Attached) -> None:
        """Everything up to now is here; frames for everybody apply."""
        if told.attachment != self._number:
            return
        self.output.missing(told.head)
        self.live, self.attaching_since = True, None
        name, self._attached_before = ("resume" if self._attached_before else "attach"), True
        if self._wanted_since is not None:
            self._browser.world.tally.took[name].append(time.monotonic() - self._wanted_since)
        self._wanted_since = None
        for entry in self._inputs.waiting():
            self._send(entry)
        self._type_on()

    def detached(self, told: Detached) -> None:
        """It is over, and comes back unless it may not."""
        if told.attachment != self._number:
            return
        self._pause()
        self.attaching_since = None
        tally = self._browser.world.tally
        tally.begun[f"detached: {told.reason}"] += 1
        match told.reason:
            case "machine-gone":
                self._attach_later(AGAIN_SECONDS)
            case "gap":
                tally.gaps += 1
                self._attach_later(GAP_SPREAD_SECONDS)
            case "behind":
                self._attach_later(0.0)
            case "left":
                pass
            case _:
                tally.errors[f"browser: detached: {told.reason}"] += 1

    def input_refused(self, told: InputRefused) -> None:
        """What was typed was not taken."""
        self._browser.world.tally.errors[f"browser: input refused: {told.reason}"] += 1
        self._inputs.refuse(told.sequence)

    def given(self, kind: int, attachment: int, epoch: int, sequence: int, frame: bytes) -> None:
        """A frame of this session."""
        if attachment not in (EVERYBODY, self._number) or epoch != self._epoch:
            return
        if kind == Kind.ACK:
            self._inputs.acknowledge(sequence)
            self.acknowledged = max(self.acknowledged, sequence)
            if self._untyped:
                self._type_on()
            return
        tally = self._browser.world.tally
        if self._number is None or (attachment == EVERYBODY and not self.live):
            return
        self.output.take(sequence)
        tally.frames += 1
        tally.bytes += len(frame) - frames.HEADER_BYTES
        if kind == Kind.OUTPUT:
            read = payload.read(frames.payload(frame))
            if read is None:
                tally.wrong.changed += 1
            elif read[1] >= self._counts_from and not self._browser.slow:
                tally.took[NAMES[read[0]]].append(time.monotonic() - read[1])
        if self._meter.handed(sequence, len(frame)):
            self.report()
        else:
            self._browser.world.unseen.add(self)

    def report(self) -> None:
        """Say what has been seen, if anything new was."""
        self._browser.world.unseen.discard(self)
        line = self._browser.line
        if line is None or self._number is None or self._epoch is None:
            return
        seen = self._meter.report()
        if seen is not None:
            line.send(frames.pack(Header(Kind.SEEN, 0, self._number, self._epoch, self._raw, seen)))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if self.live:
            self._wanted_since = time.monotonic()
        self.live, self._number = False, None

    def _leave_older(self) -> None:
        """An attach that nobody answered was made again, and answered both times: two would be given every frame."""
        line = self._browser.line
        if self._number is not None and line is not None:
            line.tell(Detach(session=self.target.session, attachment=self._number))

    def _attach_later(self, spread_seconds: float) -> None:
        wait = self._browser.world.random.uniform(0, spread_seconds)
        asyncio.get_running_loop().call_later(wait, self.attach)

    def _type_on(self) -> None:
        while self._untyped and self.live and self._untyped[0][1] <= self._inputs.room:
            due, size = self._untyped.popleft()
            self._send(self._inputs.add(Kind.INPUT, payload.write(payload.TYPED, due, size)))

    def _send(self, entry: Entry) -> None:
        line = self._browser.line
        if line is not None and self._number is not None and self._epoch is not None:
            header = Header(entry.kind, 0, self._number, self._epoch, self._raw, entry.sequence)
            line.send(frames.pack(header, entry.payload))
