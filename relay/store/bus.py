"""Carries messages between nodes: publishes at once, calls back at once, and says when it may have missed something."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from itertools import count

import structlog
from redis.exceptions import RedisError

from relay.errors import LimitReached, RelayError, Unavailable
from relay.rules.limits import MIB
from relay.rules.timing import PROBE_SECONDS
from relay.store.branch import Branch, back_off
from relay.store.keys import Keys
from relay.store.memory import servers
from relay.store.servers import Address
from relay.store.wire import Wire

Callback = Callable[[bytes], None]
BUS_BYTES = 8 * MIB  # what may wait for one server to read: more than a node's windows, so that it takes a slow Redis
BUS_CONTROL_BYTES = 1 * MIB  # on top for messages that nobody sends again, such as the end of a revoked connection
ROUTES = 2_000  # channels whose server is remembered, far more than a cluster has nodes; then all are looked up anew
PROBES = 100_000  # names tried for a channel that a server holds: enough for one with a single slot


def _nothing() -> None:
    """What a bus tells nobody."""


class Bus:
    """One connection for both directions to each server that holds channels, kept by `run`: one, or the primaries of a
    Cluster. All to one channel goes over one connection, so it keeps its order. `publish`, `subscribe` and callbacks
    never await.

    `on_lost` is called when a connection breaks: messages of others are being missed from some moment before.
    `on_restored` is called when all are back *and* every channel is confirmed again: read your letters now. It does not
    wait for a server that is away for long, and is called again when that is back.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        on_lost: Callable[[], None] = _nothing,
        on_restored: Callable[[], None] = _nothing,
        limit_bytes: int = BUS_BYTES,
    ) -> None:
        self.on_lost = on_lost
        self.on_restored = on_restored
        self.losses = 0  # how often a bus that worked lost a connection
        self._servers = servers(url)
        self._keys = keys
        self._limit_bytes = limit_bytes
        self._callbacks: dict[bytes, Callback] = {}  # those of the branches' own voices among them
        self._branches: dict[Address, Branch] = {}
        self._tasks: dict[Branch, asyncio.Task[None]] = {}
        self._routes: dict[str, Branch] = {}  # where channels were published to, so that nobody computes it again
        self._failed: asyncio.Future[None]  # for as long as it runs
        self._broken: set[Branch] = set()  # those that lost a connection since the owner was told to read
        self._strays: set[bytes] = set()  # channels that nobody is known to hold
        self._sought = asyncio.Event()  # somebody wants such a channel
        self._token = secrets.token_hex(8)
        self._restored = asyncio.Event()  # connected, with every channel confirmed and every voice heard
        self._progress = asyncio.Event()  # set and replaced whenever a channel is confirmed

    @property
    def connected(self) -> bool:
        """Whether messages can be published now, whatever their channel."""
        return bool(self._branches) and all(branch.wire is not None for branch in self._branches.values())

    @property
    def deaf(self) -> bool:
        """Whether something may be missed: some server has not sent the bus its own voice for 5 s, or never yet, or
        nobody is known to hold some channel."""
        now = asyncio.get_running_loop().time()
        return not self._branches or bool(self._strays) or any(each.deaf(now) for each in self._branches.values())

    def deaf_to(self, channel: str) -> bool:
        """The same of one channel, with the server that holds it."""
        branch = self._branch(channel)
        return branch is None or branch.deaf(asyncio.get_running_loop().time())

    @property
    def round_trip_seconds(self) -> float | None:
        """Of the latest probes that came back, the slowest."""
        found = [branch.round_trip_seconds for branch in self._branches.values()]
        return max((each for each in found if each is not None), default=None)

    @property
    def waiting_bytes(self) -> int:
        """How much has been published and not yet taken by the operating system."""
        return sum(branch.wire.waiting_bytes for branch in self._branches.values() if branch.wire is not None)

    def publish(self, channel: str, data: bytes, *, control: bool = False, at_once: bool = False) -> None:
        """Send at the end of this loop tick, in order, in one write with all others of the tick; or `at_once`, for
        whoever has waited for that already, with all that waits. Raises `Unavailable` when not connected and
        `LimitReached` when too much waits, later for control messages than for others. Whether anybody listens is not
        known."""
        branch = self._routes.get(channel) or self._route(channel)
        wire = branch.wire
        if wire is None:
            raise Unavailable("the bus between nodes is not connected")
        limit = self._limit_bytes + BUS_CONTROL_BYTES if control else self._limit_bytes
        if wire.waiting_bytes + len(data) > limit:
            raise LimitReached("the bus between nodes is full", limit="BUS_CONTROL_BYTES" if control else "BUS_BYTES")
        wire.publish(channel.encode(), data)
        if at_once:
            wire.flush()

    def subscribe(self, channel: str, callback: Callback) -> None:
        """Call back with each message's bytes, from inside the socket read, until unsubscribed; a second call for the
        same channel replaces the callback. Survives reconnects."""
        name = channel.encode()
        known = name in self._callbacks
        self._callbacks[name] = callback
        if known:
            return
        if (branch := self._branch(channel)) is not None:
            branch.join(name)
        elif self._branches:
            self._stray(name)

    def unsubscribe(self, channel: str) -> None:
        """Stop; unknown channels are fine."""
        name = channel.encode()
        self._strays.discard(name)
        if self._callbacks.pop(name, None) is not None and (branch := self._branch(channel)) is not None:
            branch.leave(name)

    async def confirmed(self, channel: str) -> None:
        """Wait until Redis confirmed the subscription: what is published from here on is heard (while connected)."""
        name = channel.encode()
        while True:
            branch = self._branch(channel)
            if branch is not None and branch.wire is not None and name in branch.wire.confirmed:
                return
            await self._progress.wait()

    async def ready(self) -> None:
        """Wait until the bus is connected, subscribed to everything and has heard itself once."""
        await self._restored.wait()

    async def run(self) -> None:
        """Connect, serve, reconnect, for ever; ends only by being cancelled, and then leaves no connection."""
        self._failed = asyncio.get_running_loop().create_future()
        seeking = asyncio.create_task(self._seek())
        seeking.add_done_callback(self._over)
        try:
            attempt = 0
            while not self._branches:
                await self._look()
                if not self._branches:
                    await back_off(attempt)
                    attempt += 1
            await self._failed
        finally:
            tasks = [seeking, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._branches.clear()
            self._routes.clear()
            await self._servers.aclose()

    # --- branches ----------------------------------------------------------------------------------------------

    def _branch(self, channel: str) -> Branch | None:
        try:
            return self._branches.get(self._servers.owner(channel))
        except Unavailable:  # nobody is known to hold it; whoever does is joined when that is known
            return None

    def _route(self, channel: str) -> Branch:
        branch = self._branch(channel)
        if branch is None:
            self._sought.set()
            raise Unavailable("the bus between nodes is not connected")
        if len(self._routes) >= ROUTES:
            self._routes.clear()
        self._routes[channel] = branch
        return branch

    async def _look(self) -> None:
        """Find out which servers hold channels now, and have a branch for each."""
        try:
            await self._servers.learn()
        except RelayError as error:
            structlog.get_logger().warning("the bus cannot reach Redis", why=error.message)
        addresses = self._servers.addresses
        for address in self._branches.keys() - addresses:
            self._fell(self._branches.pop(address))
        for address in addresses - self._branches.keys():
            heard = asyncio.get_running_loop().time() if self.losses else float("-inf")
            branch = self._branches[address] = Branch(address, heard, self._check_restored)
            task = self._tasks[branch] = asyncio.create_task(self._keep(branch))
            task.add_done_callback(partial(self._ended, branch))
        self._routes.clear()
        voices = {branch.probe for branch in self._branches.values()}
        carried: dict[Branch | None, set[bytes]] = {}
        for name in self._callbacks.keys() - voices:
            carried.setdefault(self._branch(name.decode()), set()).add(name)
        for branch in self._branches.values():
            branch.carry(carried.get(branch, set()))
        self._strays.clear()
        for name in carried.get(None, ()):
            self._stray(name)

    def _stray(self, name: bytes) -> None:
        """Nobody is known to hold this channel, and so it is missed."""
        self._strays.add(name)
        self._lost()
        self._sought.set()

    async def _seek(self) -> None:
        """Look again each second for channels that nobody holds: no wire will break to tell that somebody does."""
        while True:
            await self._sought.wait()
            self._sought.clear()
            if self._branches:  # else whoever begins looks anyway
                await self._look()
            await asyncio.sleep(PROBE_SECONDS)

    def _fell(self, branch: Branch) -> None:
        """A server holds no channels any more."""
        self._callbacks.pop(branch.probe, None)
        self._broken.discard(branch)  # it never comes back
        if (task := self._tasks[branch]) is not asyncio.current_task():
            task.cancel()

    def _ended(self, branch: Branch, task: asyncio.Task[None]) -> None:
        self._tasks.pop(branch, None)
        self._over(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)  # a mistake of ours: `run` ends with it

    async def _keep(self, branch: Branch) -> None:
        """Connect to one server again and again, for as long as it holds channels."""
        attempt = 0
        while self._branches.get(branch.address) is branch:
            try:
                self._give_voice(branch)
                wire = await Wire.open(self._servers.connection(branch.address), self._deliver)
            except (RedisError, OSError, TimeoutError, RelayError) as error:
                structlog.get_logger().warning("the bus cannot reach Redis", why=str(error))
            else:
                wire.on_confirmed = self._confirmed
                try:
                    worked = await branch.serve(wire)
                finally:
                    self._broken |= {branch} & set(self._branches.values())  # not one that holds no channels any more
                    self._lost()
                attempt = 0 if worked else attempt
            await back_off(attempt)
            attempt += 1
            await self._look()

    def _give_voice(self, branch: Branch) -> None:
        """A channel of its own that this server holds now; raises `Unavailable` when it holds none."""
        self._callbacks.pop(branch.probe, None)
        for number in count():
            probe = self._keys.probe(f"{self._token}:{number}")
            if self._branch(probe) is branch:
                break
            if number == PROBES:
                raise Unavailable(f"{branch.address.host}:{branch.address.port} holds no channels")
        branch.probe = probe.encode()
        self._callbacks[branch.probe] = branch.hear

    # --- what happens on them ----------------------------------------------------------------------------------

    def _deliver(self, channel: bytes, data: bytes) -> None:
        callback = self._callbacks.get(channel)
        if callback is None:
            return  # unsubscribed a moment ago
        try:
            callback(data)
        except Exception:
            structlog.get_logger().exception("a message from the bus could not be handled")

    def _confirmed(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _check_restored(self) -> None:
        branches, now = self._branches.values(), asyncio.get_running_loop().time()
        if self._restored.is_set() or not all(branch.whole or branch.deaf(now) for branch in branches):
            return
        back = {branch for branch in self._broken if branch.whole}
        self._broken -= back
        whole = not self._strays and all(branch.whole for branch in branches)
        if whole:
            self._restored.set()
        if self.losses if whole else back:
            self._tell(self.on_restored)

    def _lost(self) -> None:
        if self._restored.is_set():
            self._restored.clear()
            self.losses += 1
            self._tell(self.on_lost)

    def _tell(self, listener: Callable[[], None]) -> None:
        try:
            listener()
        except Exception:
            structlog.get_logger().exception("a listener of the bus failed")
