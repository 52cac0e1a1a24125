"""Plays one session of a machine: says what is due, echoes what is typed, checks that input comes once, in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import cast

from loadtests.engine import payload
from loadtests.engine.ledger import Stream
from loadtests.engine.tally import Tally
from relay.agent.clock import Clock
from relay.agent.outlet import Outlet
from relay.agent.program import Program
from relay.agent.session import Session
from relay.rules import frames, messages
from relay.rules.agent_messages import AgentAttach, AgentDetach
from relay.rules.frames import Header, Kind

EPOCH = 1
UNSAID_MOST = 10_000  # pieces of output that wait while the driver is too far behind; beyond it the load is void
INPUT_KINDS = frozenset({Kind.INPUT, Kind.RESIZE, Kind.END_INPUT})


class Talk:
    """One session. What real agents decide about rings, replays, keyboards and stalls is decided by their own code."""

    def __init__(self, id: str, outlet: Outlet, tally: Tally, *, echoes: bool) -> None:
        described = messages.Session(id=id, epoch=EPOCH, kind="terminal", started_at=time.time(), title="load test")
        self.session = Session(described, outlet, Clock())
        self.attended = False  # somebody has been attached at some time
        self._echoes = echoes
        self._tally = tally
        self._clients: dict[int, str] = {}  # by attachment
        self._typed: dict[int, Stream] = {}  # by attachment
        self._applied: Counter[str] = Counter()  # by client
        self._typing = ""  # the client whose input is being taken
        self._unsaid: deque[tuple[float, int]] = deque()  # due, bytes
        self._paused = True
        self._running = self.session.run(cast(Program, self))  # it has the methods of one that sessions use
        self._running.close()  # it would wait for the program's end, which never comes

    @property
    def id(self) -> str:
        """Of the session."""
        return self.session.id

    @property
    def head(self) -> int:
        """The number of its newest output."""
        return self.session.ring.head

    @property
    def unsaid(self) -> int:
        """How many pieces of output wait for the driver."""
        return len(self._unsaid)

    def applied(self) -> dict[str, int]:
        """By client, how many of its inputs the program was given."""
        return dict(self._applied)

    def say(self, due: float, size: int) -> None:
        """Put out so many bytes, or keep them until the driver has caught up."""
        if self._paused or self._unsaid:
            if len(self._unsaid) < UNSAID_MOST:
                self._unsaid.append((due, size))
            else:
                self._tally.errors["machine: a driver was behind for so long that output was left unsaid"] += 1
        else:
            self.session.received(payload.write(payload.OUTPUT, due, size), 0)

    # --- what the machine's connection calls -------------------------------------------------------------------------

    def attach(self, ask: AgentAttach) -> None:
        """Somebody comes, or comes back."""
        self.attended = True
        # Each attachment is told what was applied, and numbers on from there. An input that it sends again may still be
        # under way on the one before; it is given to the program once, which `applied` counts.
        self._clients[ask.attachment] = ask.client
        self._typed[ask.attachment] = Stream(self._tally.wrong, self._applied[ask.client])
        self.session.attach(ask)

    def detach(self, message: AgentDetach) -> None:
        """Somebody left."""
        self._clients.pop(message.attachment, None)
        self._typed.pop(message.attachment, None)
        self.session.detach(message.attachment, dropped=message.dropped)

    def disconnected(self) -> None:
        """The connection is gone, and all attachments with it."""
        self._clients.clear()
        self._typed.clear()
        self.session.disconnected()

    def frame(self, header: Header, frame: bytes) -> None:
        """Input, or word of what has been seen."""
        if header.kind in INPUT_KINDS:
            client = self._clients.get(header.attachment)
            if client is None:
                return  # of an attachment that is gone; whoever typed sends it again
            self._typed[header.attachment].take(header.sequence)
            self._typing = client
            self._tally.frames += 1
            self._tally.bytes += len(frame) - frames.HEADER_BYTES
        self.session.frame(header, frames.payload(frame))

    # --- what sessions need of a program -----------------------------------------------------------------------------

    unwritten_bytes = 0

    def write(self, data: bytes, written: Callable[[], None]) -> None:
        """Take input at once, and echo it."""
        written()
        if not data:
            return
        read = payload.read(data)
        if read is None:
            self._tally.wrong.changed += 1
            return
        self._applied[self._typing] += 1
        self._tally.took["input"].append(time.monotonic() - read[1])
        if self._echoes:
            self.session.received(payload.again(data, payload.ECHO), 0)

    def pause(self) -> None:
        """Say nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """Say what waits."""
        if self._paused:
            self._paused = False
            if self._unsaid:
                asyncio.get_running_loop().call_soon(self._say_on)

    def _say_on(self) -> None:
        while self._unsaid and not self._paused:
            due, size = self._unsaid.popleft()
            self.session.received(payload.write(payload.OUTPUT, due, size), 0)

    def resize(self, columns: int, rows: int) -> None:
        """Nothing here has a size."""

    def end_input(self) -> None:
        """Nothing here ends."""

    async def ended(self) -> int:
        """Never."""
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await never
