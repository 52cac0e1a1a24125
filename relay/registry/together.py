"""Does in one transaction what waits together: in a storm most of what a transaction costs is shared."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import structlog

from relay.errors import RegistryUnavailable, RelayError
from relay.registry.failures import BUSY

AT_ONCE = 200  # that one transaction does: a tenth of a second, for which it holds a workspace
WAITING = 5_000  # that wait for one place: more than are done while one of them waits for its answer

Later = Literal["later"]  # what a job met that is done for another one of the same transaction first


class Elsewhere(NamedTuple):
    """Where a job is done that would keep the others of this place waiting."""

    place: str


J = TypeVar("J")
A = TypeVar("A")


class Waiting(NamedTuple, Generic[J, A]):
    """One job that waits, with who is told how it went."""

    job: J
    answer: asyncio.Future[A]


class Together(Generic[J, A]):
    """One transaction at a time for each place; who comes meanwhile is in the next. So nobody waits for company, and
    the more there are, the less each costs. Each job has an answer or an error of its own."""

    def __init__(
        self,
        work: Callable[[str, Sequence[J]], Awaitable[Sequence[A | RelayError | Later | Elsewhere]]],
        answer_seconds: float,
    ) -> None:
        self._work = work
        self._answer_seconds = answer_seconds
        self._waiting: dict[str, deque[Waiting[J, A]]] = {}  # by place, for as long as somebody does its work
        self._working: set[asyncio.Task[None]] = set()

    async def do(self, place: str, job: J) -> A:
        """What the job answers; raises what it alone met, or `RegistryUnavailable`. Then it was done whole, or not at
        all; a caller who has left before it was begun is left out."""
        mine = Waiting[J, A](job, asyncio.get_running_loop().create_future())
        self._join(place, mine)
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await mine.answer
        except TimeoutError:
            raise RegistryUnavailable(BUSY) from None

    def _join(self, place: str, mine: Waiting[J, A]) -> None:
        waiting = self._waiting.get(place)
        if waiting is None:
            self._waiting[place] = deque([mine])
            task = asyncio.create_task(self._do_all(place))  # begins when all who are here in this turn are in
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        elif len(waiting) >= WAITING:
            raise RegistryUnavailable(BUSY)
        else:
            waiting.append(mine)

    async def finished(self) -> None:
        """Wait until nobody waits any more."""
        while self._working:
            await asyncio.wait(self._working)  # some may go on elsewhere

    async def _do_all(self, place: str) -> None:
        waiting = self._waiting[place]
        try:
            while waiting:
                some = [waiting.popleft() for _ in range(min(AT_ONCE, len(waiting)))]
                # Who left before it was begun is left out.
                waiting += await self._do(place, [mine for mine in some if not mine.answer.done()])
        finally:
            for mine in self._waiting.pop(place):
                mine.answer.cancel()  # only at the end of the process

    async def _do(self, place: str, some: list[Waiting[J, A]]) -> list[Waiting[J, A]]:
        """Do some jobs; the answer is those that are to be done later. If all of them fail by what is no error of the
        registry, each is done by itself, so that it is only told to whom it concerns."""
        if not some:
            return []
        try:
            answers = await self._work(place, [mine.job for mine in some])
        except RelayError as error:
            answers = [error] * len(some)
        except Exception as error:
            if len(some) > 1:
                words = "what waited together is done one by one"  # whom it concerns is logged with all of it
                structlog.get_logger().warning(words, error=type(error).__name__)
                return [left for mine in some for left in await self._do(place, [mine])]
            if not some[0].answer.done():
                some[0].answer.set_exception(error)
            return []
        later = []
        for mine, answer in zip(some, answers, strict=True):
            if answer == "later":
                later.append(mine)
            elif mine.answer.done():
                continue  # whoever asked has left
            elif isinstance(answer, Elsewhere):
                self._move(answer.place, mine)
            elif isinstance(answer, RelayError):
                mine.answer.set_exception(answer)
            else:
                mine.answer.set_result(answer)
        return later

    def _move(self, place: str, mine: Waiting[J, A]) -> None:
        try:
            self._join(place, mine)
        except RelayError as error:
            mine.answer.set_exception(error)
