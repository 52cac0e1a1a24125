"""Keeps the questions that other nodes were asked until they are answered, refused, or their node is lost."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, TypeVar

from relay.errors import RelayError, TimedOut, Unavailable
from relay.rules.timing import HOP_SECONDS, REQUEST_SECONDS

T = TypeVar("T")


class Call:
    """One question under way to a node."""

    __slots__ = ("answered", "boot", "taken")

    def __init__(self, boot: str, loop: asyncio.AbstractEventLoop) -> None:
        self.boot = boot
        self.taken: asyncio.Future[None] = loop.create_future()
        self.answered: asyncio.Future[dict[str, Any]] = loop.create_future()


class Calls:
    """Numbers questions to other nodes and wakes who asked."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}

    def begin(self, boot: str) -> int:
        """A number for a new question to a node."""
        number = next(self._numbers)
        self._calls[number] = Call(boot, asyncio.get_running_loop())
        return number

    async def outcome(
        self, number: int, seconds: float = REQUEST_SECONDS, *, taken_seconds: float = HOP_SECONDS
    ) -> dict[str, Any]:
        """Wait for the answer; raises `Unavailable` if the node does not take the question within a second, `TimedOut`
        if the answer does not come, or the error that the other side answered with."""
        call = self._calls[number]
        try:
            await self._within(
                call.taken, taken_seconds, Unavailable("the node that holds this machine does not answer")
            )
            return await self._within(call.answered, seconds, TimedOut("the machine does not answer"))
        finally:
            del self._calls[number]
            for future in (call.taken, call.answered):
                if future.done() and not future.cancelled():
                    future.exception()  # seen, also when we stopped waiting before it came
                future.cancel()

    async def _within(self, future: asyncio.Future[T], seconds: float, late: RelayError) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()  # it came as the time ran out, and what it brought is in place already
            raise late from None

    def waits(self, number: int) -> bool:
        """Whether an answer would still be one: nobody has given up, or been given one."""
        call = self._calls.get(number)
        return call is not None and not call.answered.done() and not call.taken.cancelled()

    def taken(self, number: int) -> None:
        """The other node has the question."""
        call = self._calls.get(number)
        if call is not None and not call.taken.done():
            call.taken.set_result(None)

    def answer(self, number: int, result: dict[str, Any]) -> None:
        """The answer came; late and repeated ones are nobody's."""
        self.taken(number)
        call = self._calls.get(number)
        if call is not None and not call.answered.done():
            call.answered.set_result(result)

    def refuse(self, number: int, error: RelayError) -> None:
        """The answer is an error."""
        self.taken(number)
        call = self._calls.get(number)
        if call is not None and not call.answered.done():
            call.answered.set_exception(error)

    def boots(self) -> set[str]:
        """The nodes whose answers are waited for."""
        return {call.boot for call in self._calls.values()}

    def boots_with_questions(self) -> set[str]:
        """Those of them that said that they have the question."""
        return {call.boot for call in self._calls.values() if call.taken.done() and not call.answered.done()}

    def node_lost(self, boot: str) -> None:
        """Fail every question to a node whose answers may be lost."""
        for number, call in list(self._calls.items()):
            if call.boot == boot:
                self.refuse(number, Unavailable("the node that holds this machine was lost"))
