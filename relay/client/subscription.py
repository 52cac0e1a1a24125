"""Follows the machines of one workspace over a connection, asking for a new snapshot whenever something is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from relay.client.connection import Connection
from relay.client.picture import Applied, Picture
from relay.errors import MachineRevoked, RelayError, TimedOut, Unavailable
from relay.rules import frames
from relay.rules.browser_messages import LastSeen, MachineChanged, MachineGone, Snapshot, Subscribe
from relay.rules.machine import Machine
from relay.rules.messages import Message

ASK_AGAIN_SECONDS = 1.0  # between two tries to subscribe when a node could not


class Subscription:
    """The picker's view of a workspace: always the last known picture, and a bell that rings at each change."""

    def __init__(self, connection: Connection, workspace: str) -> None:
        self.workspace = workspace
        self.picture = Picture()
        self._connection = connection
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._failure: RelayError | None = None

    @property
    def machines(self) -> dict[str, Machine]:
        """The machines by id as last told; not brought up to date while the connection is down."""
        return self.picture.machines

    async def changes(self) -> AsyncIterator[Picture]:
        """The picture now and after each change; changes that come while nobody looks are one. Raises what ended it."""
        while True:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            if self.picture.whole:
                yield self.picture
            await self._changed.wait()

    async def until(self, wanted: Callable[[Picture], bool]) -> Picture:
        """Wait for a whole picture of which `wanted` is true."""
        async for picture in self.changes():
            if wanted(picture):
                return picture
        raise AssertionError("changes() never ends by itself")

    async def keep(self) -> None:
        """Subscribe, and again after each gap and each new socket; owned by the connection."""
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._connection.request(Subscribe(ref=0, workspace=self.workspace))
            except RelayError as error:
                if not isinstance(error, Unavailable | TimedOut) or self._connection.failure is not None:
                    self._end(error)
                    return
                await asyncio.sleep(ASK_AGAIN_SECONDS)
                self._wanted.set()

    def on_connected(self) -> None:
        """Ask for a snapshot on the new socket."""
        self._wanted.set()

    def on_lost(self, end: RelayError) -> None:
        """Keep showing what there is, unless the connection is over."""
        self.picture.lose()
        if self._connection.failure is not None:
            self._end(end)
        self._changed.set()

    def on_frame(self, header: frames.Header, frame: bytes) -> None:
        """Workspaces have no frames."""

    def on_message(self, message: Message) -> None:
        """Take a change in, in stream order."""
        match message:
            case Snapshot() | MachineChanged() | MachineGone() | LastSeen():
                match self.picture.apply(message):
                    case Applied.CHANGED:
                        self._changed.set()
                    case Applied.GAP:
                        self._wanted.set()
                    case Applied.OLD | Applied.PARTIAL:
                        pass

    def _end(self, error: RelayError) -> None:
        self._failure = error
        self._changed.set()


def follow(connection: Connection, workspace: str) -> Subscription:
    """The connection's one subscription to a workspace, made at first use and kept until the connection ends."""
    listener = connection.listeners.find(workspace)
    if listener is None:
        subscription = Subscription(connection, workspace)
        connection.listeners.add(workspace, subscription)
        connection.own(subscription.keep())
        return subscription
    assert isinstance(listener, Subscription), f"{workspace} is no workspace"
    return listener


async def connected_again(connection: Connection, workspace: str, machine: str) -> None:
    """Wait until a machine is connected; raises `MachineRevoked` when it never will be."""
    subscription = follow(connection, workspace)
    picture = await subscription.until(lambda seen: machine not in seen.machines or seen.machines[machine].connected)
    if machine not in picture.machines:
        raise MachineRevoked("the machine was revoked, or is not yours to see any more")
