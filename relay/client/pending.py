"""Keeps the requests that wait for an answer: numbered, limited, and failed together when their socket ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from relay.errors import TimedOut, Unavailable, from_body
from relay.rules import limits, messages
from relay.rules.messages import ErrorMessage, Message


class Lost(Unavailable):
    """The socket ended before the answer; nobody knows whether the request was carried out."""


class Pending:
    """Requests by their `ref`; more than a node takes wait here for their turn."""

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._slots = asyncio.Semaphore(limits.PENDING_PER_BROWSER)
        self._ref = 0

    async def ask(self, message: Any, send: Callable[[str], None], seconds: float) -> Message:
        """Number the message, send it and wait; raises the error in the answer, `Lost`, or `TimedOut`."""
        async with self._slots:
            self._ref += 1
            ref = message.ref = self._ref
            answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            self._answers[ref] = answer
            try:
                send(messages.encode(message).decode())
                async with asyncio.timeout(seconds):
                    return await answer
            except TimeoutError:
                raise TimedOut(f"no answer within {seconds:g} s") from None
            finally:
                self._answers.pop(ref, None)

    def settle(self, message: Message) -> None:
        """Give an answer to whoever waits for it; nobody waits for one that comes late."""
        ref = getattr(message, "ref", None)
        answer = self._answers.get(ref) if ref is not None else None
        if answer is None or answer.done():
            return
        if isinstance(message, ErrorMessage):
            told = {name: value for name, value in msgspec.to_builtins(message).items() if value is not None}
            answer.set_exception(from_body(told))
        else:
            answer.set_result(message)

    def lose(self) -> None:
        """The socket ended: fail all that wait."""
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(Lost("the connection to the relay was lost before the answer"))
