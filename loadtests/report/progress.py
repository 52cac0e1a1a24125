"""Shows a run while it goes on: a live table on a terminal, a line now and then elsewhere, nothing where quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtests.report.axis import clock, short

LINE_SECONDS = 5.0  # between lines where nothing can be overwritten: a log of CI stays short
REFRESHES_PER_SECOND = 4


@dataclass(frozen=True)
class State:
    """A run at one moment, as the conductor sees it; percentiles are those of the last second."""

    scenario: str
    phase: str
    seconds: float
    of_seconds: float | None
    connections: int
    frames_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    lost: int
    duplicated: int
    reordered: int
    generators: int = 1

    @property
    def time(self) -> str:
        """How long it has been running, and of how long where that is known."""
        of = "" if self.of_seconds is None else f" of {clock(round(self.of_seconds))}"
        return f"{clock(round(self.seconds))}{of}"

    @property
    def latency(self) -> str:
        """The percentiles of the last second."""
        shown = ((word, value) for word, value in (("p50", self.p50_ms), ("p99", self.p99_ms)) if value is not None)
        return ", ".join(f"{word} {short(value, 'ms')}" for word, value in shown) or "none"

    @property
    def wrong(self) -> str:
        """Everything that should be nought."""
        return f"{self.lost} lost, {self.duplicated} repeated, {self.reordered} out of order, {self.errors} errors"

    def line(self) -> str:
        """All of it on one line."""
        rate = short(self.frames_per_second, "frames/s")
        return f"{self.time}  {self.phase}: {self.connections:,} connections, {rate}, {self.latency}, {self.wrong}"


class Progress:
    """The display of one run: a context in which `show` is called as often as the conductor likes."""

    def __init__(self, clock: Callable[[], float], *, quiet: bool = False, console: Console | None = None) -> None:
        self._clock = clock
        self._quiet = quiet
        self._console = console or Console(stderr=True)  # what a run prints for programs stays alone on stdout
        self._live: Live | None = None
        self._next_line = clock()
        self._phase = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(console=self._console, refresh_per_second=REFRESHES_PER_SECOND, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: State) -> None:
        """Show this state; where it is not a terminal, only every few seconds and when a phase begins."""
        if self._live is not None:
            self._live.update(_table(state))
        elif not self._quiet and (self._clock() >= self._next_line or state.phase != self._phase):
            self._next_line, self._phase = self._clock() + LINE_SECONDS, state.phase
            self._console.print(state.line(), highlight=False, soft_wrap=True)


def _table(state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    bad = state.lost or state.duplicated or state.reordered
    colour = "bold red" if bad else "yellow" if state.errors else "green"
    for name, value, style in (
        (state.scenario, f"{state.phase}, {state.time}", "bold"),
        ("connections", f"{state.connections:,} from {state.generators} processes", ""),
        ("rate", short(state.frames_per_second, "frames/s"), ""),
        ("latency", f"{state.latency} (of the last second)", ""),
        ("wrong", state.wrong, colour),
    ):
        table.add_row(name, f"[{style}]{value}[/]" if style else value)
    return table
