"""Stands in for what surrounds the agent's parts: time, a connection that keeps what it is given, and a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.agent.clock import Clock
from relay.rules import frames, ids, messages
from relay.rules.agent_messages import AgentAttach
from relay.rules.fields import Mode
from relay.rules.frames import Header, Kind
from relay.rules.messages import After, Attached, Attaching, Message, Operator

SESSION = "0d9f5a58-3bb6-4c0e-9a39-2f1f6d0c7a11"
RAW = ids.raw(SESSION)
EPOCH = 1_790_000_000
JANE = Operator(user="Jane", client="laptop")


class Time(Clock):
    """A clock that moves when the test says so; whoever sleeps wakes when enough has passed."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._asleep = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return EPOCH + self.now

    async def sleep(self, seconds: float) -> None:
        waker = asyncio.get_running_loop().create_future()
        self.slept.append(seconds)
        self._sleepers.append((self.now + seconds, waker))
        self._asleep.set()
        await waker

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self.now]
        for _, waker in due:
            if not waker.done():
                waker.set_result(None)


class Impatient(Clock):
    """The real clock for somebody who has no time: waits are noted and are a hundred times shorter."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.skipped = 0.0  # seconds that passed because a test says so
        self._slept = asyncio.Event()

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._slept.set()
        await asyncio.sleep(seconds / 100)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until this is true; looked at whenever somebody goes to sleep, which an agent does all the time."""
        while not happened():
            self._slept.clear()
            await self._slept.wait()


class Recorder:
    """An outlet that keeps everything in order."""

    def __init__(self) -> None:
        self.pressed = False
        self.all: list[bytes | Message] = []
        self.heard = asyncio.Event()
        self.listener: Callable[[bytes | Message], None] | None = None

    def send(self, frame: bytes) -> None:
        self._take(frame)

    def tell(self, message: Message) -> None:
        self._take(message)

    def _take(self, item: bytes | Message) -> None:
        self.all.append(item)
        self.heard.set()
        if self.listener is not None:
            self.listener(item)

    @property
    def frames(self) -> list[bytes]:
        """The frames alone."""
        return [item for item in self.all if isinstance(item, bytes)]

    def told(self, kind: type[messages.M]) -> list[messages.M]:
        """The messages of one kind."""
        return [item for item in self.all if isinstance(item, kind)]

    def clear(self) -> None:
        """Forget what was said so far."""
        self.all.clear()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until what was heard makes this true."""
        while not happened():
            self.heard.clear()
            await self.heard.wait()


def header(frame: bytes) -> Header:
    """The header of a frame."""
    return Header._make(frames.HEADER.unpack_from(frame))


def typed(sequence: int, payload: bytes, attachment: int = 1, kind: Kind = Kind.INPUT) -> tuple[Header, bytes]:
    """Input as a session takes it."""
    return Header(kind, 0, attachment, EPOCH, RAW, sequence), payload


def seen(sequence: int, attachment: int = 1) -> tuple[Header, bytes]:
    """A report of what was seen, as a session takes it."""
    return Header(Kind.SEEN, 0, attachment, EPOCH, RAW, sequence), b""


def ask(
    attachment: int = 1,
    client: str = "client-one",
    *,
    mode: Mode = "drive",
    after: After | None = None,
    size: tuple[int, int] | None = None,
    take: bool = False,
) -> AgentAttach:
    """An attach as the node passes it on."""
    return AgentAttach(
        session=SESSION,
        attachment=attachment,
        client=client,
        mode=mode,
        operator=JANE,
        after=after,
        columns=size[0] if size else None,
        rows=size[1] if size else None,
        take=take,
    )


class Screen:
    """A browser that checks what it gets: each frame once, in order, none left out."""

    def __init__(self, attachment: int = 1) -> None:
        self.attachment = attachment
        self.text = b""
        self.last = 0
        self.exit: bytes | None = None
        self._following = False

    def take(self, item: bytes | Message) -> bool:
        """Hear one thing; says whether it was a frame that is now on the screen."""
        if isinstance(item, Attaching) and item.attachment == self.attachment:
            if not item.recovered:
                self.text = b""
            self._following, self.last = False, item.first - 1
        elif isinstance(item, Attached) and item.attachment == self.attachment:
            assert item.head == self.last, "attached at the head"
            self._following = True
        elif isinstance(item, bytes):
            return self._frame(item)
        return False

    def leave(self) -> None:
        """Get nothing more until the next attach."""
        self._following = False

    def _frame(self, frame: bytes) -> bool:
        head = header(frame)
        mine = head.attachment == self.attachment or (head.attachment == frames.EVERYBODY and self._following)
        if not mine or head.kind == Kind.ACK:
            return False
        assert head.sequence == self.last + 1, f"frame {head.sequence} after {self.last}"
        self.last = head.sequence
        if head.kind == Kind.OUTPUT:
            self.text += frames.payload(frame)
        elif head.kind == Kind.EXIT:
            self.exit = frames.payload(frame)
        return True
