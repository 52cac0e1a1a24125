"""Tails the registry's table of changes, which is how this node learns of every change of access."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from relay.errors import RegistryUnavailable, RelayError
from relay.registry import Change, Registry
from relay.rules.timing import CHANGES_SECONDS

Listener = Callable[[Sequence[Change]], None]
PAGE = 1_000  # changes read at once
AWAY_SECONDS = 10.0  # after a failed look only `run` looks for so long: nobody else waits for another timeout
# What was read before the registry went away is shown for as long as a failover takes, if no bell rings meanwhile. A
# node that is cut off from the registry *and* from whoever changes it learns nothing, so this is not for ever.
VOUCHED_SECONDS = 300.0


class Tail:
    """The node's cursor in the table. Rings may be lost; the looks, every `look_seconds`, may not."""

    def __init__(self, registry: Registry) -> None:
        self._changes = registry.changes
        self._listeners: list[Listener] = []
        self._fresh_starts: list[Callable[[], None]] = []
        self._rung = asyncio.Event()
        self._reading = asyncio.Lock()
        self._begun = self._ended = 0  # the number of the newest look, and of the newest that came to its end
        self._failed_at: float | None = None  # monotonic, as all times here; None: the last look did not fail
        self._rung_at = self._current_at = 0.0
        self._mark: str | None = None  # of the change that `number` is
        self.look_seconds = CHANGES_SECONDS
        self.number = 0  # everything up to here has been acted on

    def listen(self, listener: Listener, fresh_start: Callable[[], None]) -> None:
        """Call `listener` with each run of changes, in order; `fresh_start` when some were cleaned up unread, or the
        registry lost its newest and gives their numbers to others."""
        self._listeners.append(listener)
        self._fresh_starts.append(fresh_start)

    async def begin(self) -> None:
        """Start from now: what is read from the registry after this is newer than the cursor."""
        self._current_at = _now()
        head = await self._changes.head()
        self.number, self._mark = head.number, head.mark

    async def catch_up(self) -> None:
        """Act on everything committed before this call; raises `RegistryUnavailable`, at once if it is known to be
        away."""
        if self._failed_at is not None and _now() - self._failed_at < AWAY_SECONDS:
            raise RegistryUnavailable("the registry does not answer")
        await self.look()

    async def look(self) -> None:
        """Act on everything committed before this call, also when the registry was away a moment ago. Whoever asks
        during a look shares the next one, and its failure: a hundred who ask do not wait a hundred timeouts."""
        asked_at, begun = _now(), self._begun
        async with self._reading:
            if self._failed_at is not None and self._failed_at > asked_at:
                raise RegistryUnavailable("the registry does not answer")
            if self._ended > begun:  # and not just begun: whoever looked may have left in the middle of it
                return
            self._begun += 1
            began_at = _now()
            try:
                await self._look()
            except RelayError:
                self._failed_at = _now()
                raise
            self._failed_at, self._current_at, self._ended = None, began_at, self._begun

    def vouched(self) -> bool:
        """Whether what was read before the registry went away is still all that anybody can know: it is not long ago,
        and no bell has rung since, so that nobody else seems to have changed anything."""
        return self._rung_at <= self._current_at and self.age_seconds() <= VOUCHED_SECONDS

    def away(self) -> bool:
        """Whether the last look failed."""
        return self._failed_at is not None

    def age_seconds(self) -> float:
        """How long ago this node knew every change."""
        return _now() - self._current_at

    async def _look(self) -> None:
        head = await self._changes.head()
        cleaned = head.mark is None  # the newest row too, after quiet days: it is read, and nobody can compare it
        other = head.number == self.number and not cleaned and self._mark not in (None, head.mark)
        if head.number < self.number or other:
            self._begin_anew(head.number, head.mark)
        while head.number > self.number:
            page = await self._changes.since(self.number - 1, PAGE)
            if page and page[0].number == self.number:
                own, page = page[0], page[1:]
                if self._mark not in (None, own.mark):
                    page = []
            if not page:
                self._begin_anew(head.number, head.mark)
                return
            self._act(page)

    def _act(self, changes: Sequence[Change]) -> None:
        missed = changes[0].number != self.number + 1
        self.number, self._mark = changes[-1].number, changes[-1].mark
        if missed:
            for fresh_start in self._fresh_starts:
                fresh_start()
        for listener in self._listeners:
            listener(changes)

    def _begin_anew(self, number: int, mark: str | None) -> None:
        structlog.get_logger().warning("changes of access were missed", number=self.number, begins=number)
        self.number, self._mark = number, mark
        for fresh_start in self._fresh_starts:
            fresh_start()

    def bell(self) -> bytes:
        """What to ring with for others: up to which change the table has grown, if this node knows."""
        return b"" if self.away() else str(self.number).encode()

    def ring(self, message: bytes = b"") -> None:
        """The table has grown: look now, unless it says up to where and that was read."""
        if message.isdigit() and int(message) <= self.number:
            return
        self._rung_at = _now()
        self._rung.set()

    async def run(self) -> None:
        """Look at every ring and every `look_seconds`, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self.look_seconds):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
            try:
                await self.look()
            except RelayError as error:
                structlog.get_logger().warning("the table of changes cannot be read", why=error.message)


def _now() -> float:
    return asyncio.get_running_loop().time()
