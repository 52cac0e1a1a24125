"""Runs one command on several machines at once over one connection, and gathers how it went on each."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from relay.cli.attending import client_label, offline
from relay.cli.outcome import Outcome
from relay.cli.place import Place, note, note_busy, traceparent
from relay.cli.sink import Sink
from relay.cli.standard_input import StandardInput
from relay.client import events, keyboard
from relay.client.attachment import Attachment, Manner, Target, attached
from relay.client.connection import Connection, Options, connected
from relay.client.session import end_session, open_command
from relay.errors import Invalid, RelayError, TimedOut, Unavailable
from relay.rules import limits
from relay.rules.messages import After, Session

AT_ONCE = 32  # machines; half of what one socket may attach to
PATIENCE_SECONDS = 60.0  # without any node for this long a command has failed
SPOOL_BYTES = limits.MIB  # of standard input, kept for machines whose turn comes later
END_SECONDS = 2.0  # to end the remote command when we give up on it


class Order(NamedTuple):
    """What to run and how to show it."""

    command: Sequence[str]
    environment: dict[str, str]
    directory: str | None
    timeout: float | None
    capture: bool  # for --json: nothing is written while it runs
    prefixed: bool
    forward_input: bool


class Commander:
    """One order on its way to several machines."""

    def __init__(self, connection: Connection, order: Order) -> None:
        self._connection = connection
        self._order = order
        self._live: list[Attachment] = []
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._expected: set[str] = set()  # machines whose attachment the input waits for
        self._complete = asyncio.Event()
        self._spooled: bytes | None = None

    async def run(self, machines: Sequence[dict[str, Any]]) -> list[Outcome]:
        """Run on all of them; the outcomes are in the same order."""
        forwarding: asyncio.Task[None] | None = None
        if self._order.forward_input and len(machines) > AT_ONCE:
            self._spooled = await _read_all(StandardInput())
        elif self._order.forward_input:
            self._expected = {machine["id"] for machine in machines}
            forwarding = asyncio.create_task(self._forward())
        try:
            return list(await asyncio.gather(*(self._on(machine) for machine in machines)))
        finally:
            if forwarding is not None:
                forwarding.cancel()
                await asyncio.gather(forwarding, return_exceptions=True)

    async def _on(self, machine: dict[str, Any]) -> Outcome:
        outcome = Outcome(machine)
        sink = Sink(outcome, prefix=machine["name"] if self._order.prefixed else None, capture=self._order.capture)
        async with self._slots:
            try:
                if not machine["online"]:
                    raise offline(machine)
                async with asyncio.timeout(self._order.timeout):
                    await self._carry_out(outcome, sink)
            except TimeoutError:
                outcome.error = TimedOut(f"{machine['name']}: not done within {self._order.timeout:g} s")
            except RelayError as error:
                outcome.error = error
            finally:
                await sink.end()
                self._settled(machine)
        return outcome

    async def _carry_out(self, outcome: Outcome, sink: Sink) -> None:
        machine, order = outcome.machine, self._order
        session = await open_command(
            self._connection,
            machine["id"],
            order.command,
            environment=order.environment,
            directory=order.directory,
        )
        ended = False
        try:
            target = Target(machine["workspaceId"], machine["id"], session.id)
            manner = Manner(after=After(epoch=session.epoch, sequence=0))
            async with attached(self._connection, target, manner) as attachment:
                feeding = asyncio.create_task(self._feed(attachment, machine))
                try:
                    ended = await self._take_output(attachment, outcome, sink)
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)
        finally:
            if not ended:
                await self._end(machine, session)

    async def _take_output(self, attachment: Attachment, outcome: Outcome, sink: Sink) -> bool:
        async for event in attachment.events():
            match event:
                case events.Output(data, stderr):
                    await sink.write(data, stderr=stderr)
                case events.Exited():
                    _finish(outcome, event)
                    return True
                case events.Gap():
                    outcome.gap = True
                    note(f"{outcome.machine['name']}: some output is lost")
                case events.InputRefused(reason) if reason != keyboard.OVER:
                    raise Unavailable(f"{outcome.machine['name']}: the command did not take all of the input: {reason}")
                case events.InputLost(size):
                    raise Unavailable(f"{outcome.machine['name']}: {size} bytes of the input may not have arrived")
                case _:
                    pass
        return False

    async def _feed(self, attachment: Attachment, machine: dict[str, Any]) -> None:
        if machine["id"] in self._expected:
            self._live.append(attachment)
            self._settled(machine)
            return
        if self._spooled:
            await attachment.write(self._spooled)
        await attachment.end_input()

    def _settled(self, machine: dict[str, Any]) -> None:
        self._expected.discard(machine["id"])
        if not self._expected:
            self._complete.set()

    async def _forward(self) -> None:
        """Give everybody the same input, as fast as the slowest of them takes it."""
        await self._complete.wait()
        standard_input = StandardInput()
        while piece := await standard_input.next():
            await asyncio.gather(*(attachment.write(piece) for attachment in self._live))
        await asyncio.gather(*(attachment.end_input() for attachment in self._live))

    async def _end(self, machine: dict[str, Any], session: Session) -> None:
        """Stop what we gave up on; if even that fails, its machine ends it when nobody has read for a minute."""
        with suppress(RelayError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await end_session(self._connection, machine["id"], session.id)


def run(place: Place, machines: Sequence[dict[str, Any]], order: Order) -> list[Outcome]:
    """Run the order on all machines, for those without an event loop."""
    return asyncio.run(_run(place, machines, order))


def stdin_is_forwarded() -> bool:
    """Whether there is input to forward: a pipe or a file, not a person's keyboard and not nothing."""
    try:
        os.fstat(0)
    except OSError:
        return False
    return not sys.stdin.isatty()


async def _run(place: Place, machines: Sequence[dict[str, Any]], order: Order) -> list[Outcome]:
    options = Options(
        label=client_label(), patience_seconds=PATIENCE_SECONDS, on_busy=note_busy, traceparent=traceparent()
    )
    async with connected(place.urls, place.token, options) as connection:
        return await Commander(connection, order).run(machines)


async def _read_all(standard_input: StandardInput) -> bytes:
    """All of the input, for more machines than run at once: each gets it when its turn comes."""
    data = bytearray()
    while piece := await standard_input.next():
        data += piece
        if len(data) > SPOOL_BYTES:
            raise Invalid(f"on more than {AT_ONCE} machines standard input has at most {SPOOL_BYTES} bytes; see -n")
    return bytes(data)


def _finish(outcome: Outcome, event: events.Exited) -> None:
    outcome.code, outcome.signal = event.code, event.signal
    if event.code is None and event.signal is None:
        outcome.error = Unavailable(f"{outcome.machine['name']}: ended by the machine: {event.reason or 'unknown'}")
