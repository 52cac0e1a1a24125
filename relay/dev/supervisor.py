"""Keeps parts running: starts each in order, starts a crashed one again with growing pauses, stops all in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from relay.dev.part import Part, Running
from relay.errors import Exit, Misconfigured, Unavailable

READY_SECONDS = 30.0  # a cold start of a node on a busy machine takes a few
READY_LOOK_SECONDS = 0.05
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0)  # before a crashed part starts again
STABLE_SECONDS = 30.0  # a part that ran this long starts again with the first pause

Say = Callable[[str, str], None]  # a part's name, and a sentence for the screen


class Supervisor:
    """Holds every part of one cluster; leaving it stops them all, and nothing of them stays behind."""

    def __init__(self, logs: Path, say: Say) -> None:
        self._logs = logs
        self.say = say
        self._running: dict[str, Running] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for name in reversed(list(self._keepers)):
            await self._stop(name)
        if not self._failed.cancel():
            self._failed.exception()  # whoever called `run` has it; nobody else needs to hear of it

    @property
    def pids(self) -> dict[str, int]:
        """The process of each part that was started, by the part's name."""
        return {name: running.process.pid for name, running in self._running.items()}

    async def start(self, part: Part) -> None:
        """Start a part and wait until it is ready; raises what kept it from becoming so, if the part is needed."""
        assert part.name not in self._keepers, f"{part.name} was started already"
        ready = asyncio.Event()
        keeper = asyncio.create_task(self._keep(part, ready), name=part.name)
        self._keepers[part.name] = keeper
        keeper.add_done_callback(self._note)
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({keeper, waiting}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if ready.is_set():
            return
        if keeper.done():
            keeper.result()
            return
        sentence = f"not ready within {READY_SECONDS:.0f} s; see {self._log(part.name)}"
        if part.needed:
            raise Unavailable(f"{part.name} was {sentence}")
        self.say(part.name, sentence)

    async def run(self) -> None:
        """Wait until a part fails for good; raises its reason."""
        await asyncio.shield(self._failed)

    async def _keep(self, part: Part, ready: asyncio.Event) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._stopping:
            began = loop.time()
            running = await Running.start(part, self._logs)
            self._running[part.name] = running
            async with asyncio.TaskGroup() as tasks:
                look = tasks.create_task(_look(part, ready))
                code = await running.finish(part.name)
                look.cancel()
            if self._stopping:
                return
            if code in part.final:
                self._end(part, running, code, was_ready=ready.is_set())
                return
            failures = 0 if loop.time() - began > STABLE_SECONDS else failures
            pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
            failures += 1
            self.say(part.name, f"stopped ({_ending(code)}), again in {pause:g} s; see {self._log(part.name)}")
            await asyncio.sleep(pause)

    def _end(self, part: Part, running: Running, code: int, *, was_ready: bool) -> None:
        """A part ended for good. A needed one that never got ready, or that cannot be configured, ends everything."""
        reason = running.last_line.removeprefix("relay: ") or _ending(code)
        if part.needed and (code == Exit.CONFIGURATION or not was_ready):
            raise Misconfigured(f"{part.name}: {reason}")
        self.say(part.name, f"ended ({_ending(code)}): {reason}")

    def _note(self, keeper: asyncio.Task[None]) -> None:
        if keeper.cancelled() or self._failed.done():
            return
        error = keeper.exception()
        if error is not None:
            self._failed.set_exception(error)

    async def _stop(self, name: str) -> None:
        keeper, running = self._keepers[name], self._running.get(name)
        if running is not None:
            await running.stop()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


async def _look(part: Part, ready: asyncio.Event) -> None:
    while not await part.ready():  # noqa: ASYNC110 - another process becomes ready, which no event tells us
        await asyncio.sleep(READY_LOOK_SECONDS)
    ready.set()


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
