"""Stays attached to one session across sockets, nodes and the machine's absence: exact output, input applied once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import NamedTuple

from relay.client import events
from relay.client.comeback import Comeback
from relay.client.connection import Connection
from relay.client.feed import Feed
from relay.client.input_stream import pieces
from relay.client.keyboard import NOT_DRIVER, Keyboard
from relay.client.line import Line
from relay.client.output_track import OutputTrack, Start, Verdict
from relay.client.pending import Lost
from relay.client.subscription import connected_again
from relay.errors import Forbidden, MachineRevoked, NotFound, Offline, RelayError, TimedOut, Unavailable
from relay.rules import frames, limits
from relay.rules.browser_messages import Attach, BrowserAttaching, Detached
from relay.rules.fields import Mode
from relay.rules.frames import Header, Kind
from relay.rules.messages import After, Attached, DriverChanged, InputRefused, Message, Operator


class Target(NamedTuple):
    """What to attach to."""

    workspace: str
    machine: str
    session: str


class Manner(NamedTuple):
    """How to attach."""

    mode: Mode = "drive"
    take: bool = False  # take the keyboard from whoever holds it, at the first attach
    columns: int | None = None
    rows: int | None = None
    after: After | None = None  # what of the output is there already


class Attachment:
    """One session as its user sees it: an iterator of events, and input; use `attached(...)` to get one."""

    def __init__(self, connection: Connection, target: Target, manner: Manner, random: Random | None = None) -> None:
        self.target = target
        self._connection = connection
        self._manner = manner
        self._line = Line(connection, target.session)
        self._live = False  # it has caught up: frames for everybody apply
        self._track = OutputTrack(manner.after)
        self._keyboard = Keyboard(self._line.send_input)
        self._feed = Feed()
        self._comeback = Comeback(random or SystemRandom())
        self._machine_away = False
        self._interrupted = False
        self._refusal_told = False
        self._left = False
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- for whoever uses it ----------------------------------------------------------------------------------------

    @property
    def driver(self) -> bool:
        """Whether the keyboard is ours."""
        return self._keyboard.mine

    @property
    def live(self) -> bool:
        """Whether the attachment has all there is, and gets what comes as it comes."""
        return self._live

    async def started(self) -> None:
        """Return once the first attach was answered; raises why it was refused."""
        await asyncio.shield(self._started)

    async def events(self) -> AsyncIterator[events.Event]:
        """What happens, in order. Taking the next event says that the one before is on the screen. Ends after `Exited`
        or `leave`; raises what made the attachment end otherwise."""
        while (taken := await self._feed.next()) is not None:
            event, sequence, size = taken
            yield event
            if sequence:
                self._line.handed(sequence, size)
            if self._feed.overflown and not len(self._feed):
                self._feed.overflown = False
                self._reattach()
        self._line.report_seen()

    async def write(self, data: bytes) -> bool:
        """Type these bytes, each exactly once however often the connection changes; waits while the window is full.
        False when they were not taken, because somebody else has the keyboard or the session is over; an `InputRefused`
        tells it once."""
        for piece in pieces(data):
            if not await self._keyboard.enter(Kind.INPUT, piece):
                if not (self._refusal_told or self._keyboard.over):  # each key would be one more
                    self._refusal_told = True
                    self._feed.put(events.InputRefused(NOT_DRIVER))
                return False
        return True

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the session that this window has a new size."""
        columns = max(1, min(columns, limits.TERMINAL_COLUMNS))
        rows = max(1, min(rows, limits.TERMINAL_ROWS))
        self._manner = self._manner._replace(columns=columns, rows=rows)
        await self._keyboard.enter(Kind.RESIZE, frames.SIZE.pack(columns, rows))

    async def end_input(self) -> None:
        """Say that standard input ends here."""
        await self._keyboard.enter(Kind.END_INPUT, b"")

    def take(self) -> None:
        """Ask for the keyboard; a `KeyboardMoved` tells when it is ours."""
        if self._live:
            self._line.take()

    def leave(self) -> None:
        """Detach; the session goes on. The iterator of events ends."""
        self._left = True
        self._line.detach(self._line.number)
        self._pause()
        self._keyboard.close()
        self._feed.close()

    # --- coming back ------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Attach, and again whenever that is needed; owned by `attached(...)`."""
        self._comeback.want()
        while True:
            await self._comeback.wanted()
            try:
                await self._connection.ready()
                if self._machine_away:
                    await connected_again(self._connection, self.target.workspace, self.target.machine)
                    self._machine_away = False
                await self._comeback.due()
                await self._attach()
            except RelayError as error:
                if not self._try_again(error):
                    self._end(error)
                    return

    async def _attach(self) -> None:
        before = self._line.number
        manner = self._manner
        ask = Attach(
            ref=0,
            machine=self.target.machine,
            session=self.target.session,
            mode=manner.mode,
            after=self._track.after(),
            columns=manner.columns,
            rows=manner.rows,
            take=manner.take and not self._started.done(),
        )
        await self._connection.request(ask)
        if before != self._line.number:
            # Only now: had the old one been detached first, the keyboard would have been free for a moment.
            self._line.detach(before)
        if not self._started.done():
            self._started.set_result(None)

    def _try_again(self, error: RelayError) -> bool:
        """Arrange for the next attempt after a failed one, unless the failure is a lasting one."""
        if self._connection.failure is not None:
            return False
        if isinstance(error, Lost):
            self._comeback.want()
            return True
        if not self._started.done():
            return False
        if isinstance(error, Offline):
            self._away("the machine is offline", self._comeback.refused_seconds())
            return True
        if isinstance(error, Unavailable | TimedOut):
            self._interrupt(error.message)
            self._reattach(self._comeback.refused_seconds())
            return True
        return False

    def _reattach(self, delay: float = 0.0) -> None:
        self._live = False
        self._keyboard.pause()
        self._comeback.want_in(delay)

    def _away(self, reason: str, delay: float) -> None:
        self._machine_away = True
        self._interrupt(reason)
        self._reattach(delay)

    def _interrupt(self, reason: str) -> None:
        if self._started.done() and not self._interrupted:
            self._interrupted = True
            self._feed.put(events.Interrupted(reason))

    def _pause(self) -> None:
        self._line.number = None
        self._live = False
        self._keyboard.pause()

    def _end(self, error: RelayError) -> None:
        self._pause()
        self._keyboard.close()
        self._feed.close(error)
        if not self._started.done():
            self._started.set_exception(error)

    # --- told by the connection, in stream order --------------------------------------------------------------------

    def on_connected(self) -> None:
        """Attach on the new socket with what there is."""
        if self._started.done():
            self._reattach()

    def on_lost(self, end: RelayError) -> None:
        """Wait for the next socket, or end with the connection."""
        self._pause()
        if self._connection.failure is not None:
            self._end(self._connection.failure)
        else:
            self._interrupt("the connection to the relay is lost")

    def on_message(self, message: Message) -> None:
        """Act on what is said about this session."""
        if isinstance(message, BrowserAttaching):
            self._attaching(message)
        elif isinstance(message, DriverChanged):
            self._driver_changed(message)
        elif self._line.number is not None and getattr(message, "attachment", None) == self._line.number:
            match message:
                case Attached():
                    self._attached(message)
                case Detached():
                    self._detached(message)
                case InputRefused():
                    self._keyboard.refuse(message.sequence, message.reason)
                    self._feed.put(events.InputRefused(message.reason))

    def on_frame(self, header: Header, frame: bytes) -> None:
        """Take a frame in: deliver it, drop it, or notice that one is missing."""
        number = self._line.number
        if number is None or header.attachment not in (frames.EVERYBODY, number):
            return
        if header.kind == Kind.ACK:
            if header.attachment == number and header.epoch == self._line.epoch:
                self._keyboard.acknowledge(header.sequence)
            return
        if self._feed.overflown or (header.attachment == frames.EVERYBODY and not self._live):
            return
        match self._track.take(header.epoch, header.sequence):
            case Verdict.DELIVER:
                self._deliver(header, frames.payload(frame))
            case Verdict.DROP:
                pass
            case Verdict.RESUME:
                self._reattach()

    def _attaching(self, message: BrowserAttaching) -> None:
        if self._left:
            self._line.detach(message.attachment)
            return
        start = self._track.begin(message.epoch, message.first, message.recovered)
        same_life = message.epoch == self._line.epoch or not self._line.epoch
        unheard = self._keyboard.resume(message.input, same_life=same_life, mine=message.driver, term=message.term)
        self._refusal_told = self._refusal_told and not message.driver
        self._live = False
        if start is not Start.CONTINUED:
            self._feed.forget_numbers()
        self._line.begin(message.attachment, message.epoch, message.first, continued=start is Start.CONTINUED)
        if unheard is not None:
            self._feed.put(unheard)
        if start is Start.GAP or (start is Start.FRESH and message.first > 1):
            self._feed.put(events.Gap(beginning=start is Start.FRESH))
        if start is not Start.CONTINUED:
            self._feed.put(events.Resized(message.columns, message.rows))

    def _attached(self, message: Attached) -> None:
        if self._feed.overflown:
            return
        if self._track.misses(message.head):
            self._reattach()
            return
        self._live = True
        self._comeback.succeeded()
        if self._interrupted:
            self._interrupted = False
            self._feed.put(events.Resumed())
        self._keyboard.go_live()

    def _detached(self, message: Detached) -> None:
        self._pause()
        match message.reason:
            case "machine-gone":
                self._away("the machine is not connected", self._comeback.machine_seconds())
            case "gap":
                self._reattach(self._comeback.gap_seconds())
            case "behind":
                self._reattach()
            case "forbidden":
                self._end(Forbidden("your access to this machine was taken away"))
            case "machine-revoked":
                self._end(MachineRevoked("the machine was revoked"))
            case "left":
                self._end(NotFound("this attachment was ended"))

    def _driver_changed(self, message: DriverChanged) -> None:
        if self._line.number is None:
            return
        self._keyboard.pass_to(mine=message.attachment == self._line.number, term=message.term)
        self._refusal_told = False
        operator = message.operator or Operator(user="")
        self._feed.put(events.KeyboardMoved(self._keyboard.mine, operator.user, operator.client))

    def _deliver(self, header: Header, payload: bytes) -> None:
        event = events.read(header, payload)
        self._feed.put(event, header.sequence, len(payload))
        if isinstance(event, events.Exited):
            self._feed.close()
            self._keyboard.close()
        if self._feed.overflown:
            self._live = False


@asynccontextmanager
async def attached(
    connection: Connection, target: Target, manner: Manner | None = None, random: Random | None = None
) -> AsyncIterator[Attachment]:
    """An attachment that is answered when this begins and left when it ends; raises why it was refused."""
    attachment = Attachment(connection, target, manner or Manner(), random)
    connection.listeners.add(target.session, attachment)
    keeper = asyncio.create_task(attachment.keep())
    try:
        await attachment.started()
        yield attachment
    finally:
        attachment.leave()
        keeper.cancel()
        await asyncio.wait([keeper])
        connection.listeners.remove(target.session)
        if not keeper.cancelled():
            keeper.result()
